"""Options: the family's spellings, defaults of the built-in data set, help, and the frozen set of flags."""

from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cli import resume_command
from common.errors import InputError
from datasets.augmentation import MAE, TSN_AUGMENTATION, Augmentation
from options.augmentation import chosen_augmentation
from options.groups import train_sampling
from opts import (
    BUILT_IN_DEFAULTS,
    parse_predict,
    parse_results,
    parse_test,
    parse_train,
    predict_parser,
    results_parser,
    train_parser,
    view_parser,
)

ALL_FLAGS = {
    "train": {
        "--net", "--arch", "--num_segments", "--ablate", "--hourglass_start", "--consensus_type", "--dropout",
        "--pretrain", "--tune_from",
        "--optimizer", "--epochs", "--allow_overlap", "--save_every", "--sync_bn",
        "--batch-size", "--accumulate", "--lr", "--lr_type", "--lr_steps", "--warmup", "--momentum", "--wd", "--gd",
        "--label_smoothing", "--fc_lr5", "--npb", "--data_root", "--split", "--root_path", "--train_list", "--val_list",
        "--classes", "--image_tmpl", "--workers", "--input_size", "--no_flip", "--root_log", "--root_model",
        "--suffix", "--resume", "--evaluate", "--eval-freq", "--print-freq", "--seed", "--gpus", "--amp", "--compile",
        "--malloc", "--check_data", "--decoder", "--mix", "--mix_prob", "--mix_alpha", "--log_images",
        "--mix_switch_prob", "--selector_lr", "--teacher_decay", "--eval_teacher",
        "--config", "--dry_run",
        "--multi_label",
        "--sampling", "--frame_stride", "--frame_rate",
        "--preset", "--random_resized_crop", "--auto_augment", "--ra_ops", "--ra_magnitude", "--color_jitter", "--gray",
        "--random_erasing", "--aug_repeats", "--class_weights", "--balanced_sampler", "--best_by", "--mix_off_epochs",
        "--freeze", "--linear_probe", "--drop_path", "--checkpoint_activations", "--optimizer_args", "--min_lr",
        "--scale_lr", "--layer_decay", "--warmup_start", "--ema", "--keep_best", "--deterministic",
    },
    "view": {
        "--weights", "--net", "--archs", "--test_segments", "--test_crops", "--full_res", "--clip_index", "--sampling",
        "--frame_order",
        "--seed", "--output_dir", "--overwrite", "--batch-size", "--print-freq", "--data_root", "--split",
        "--root_path", "--val_list", "--subset", "--classes", "--image_tmpl", "--workers", "--decoder", "--gpus",
        "--amp", "--compile", "--malloc", "--dump_features", "--shard",
        "--frame_stride", "--frame_rate", "--num_clips", "--resize",
        "--ema",
    },
    "results": {
        "--output_dir", "--output_dir1", "--multi_segments", "--num_clips", "--test_crops", "--coeff", "--save_dir",
        "--submission", "--report",
    },
    "predict": {
        "--weights", "--net", "--archs", "--test_segments", "--classes", "--root_path", "--clips", "--crops",
        "--full_res", "--window", "--stride", "--fps", "--timeline", "--save", "--top", "--csv", "--json", "--workers",
        "--decoder", "--gpus", "--amp", "--compile", "--malloc",
        "--frame_stride", "--frame_rate",
        "--ema",
    },
}  # fmt: skip
PARSERS = {
    "train": train_parser(), "view": view_parser(1), "results": results_parser(), "predict": predict_parser(),
}  # fmt: skip


def first_long_names(parser) -> set[str]:
    names = [[o for o in action.option_strings if o.startswith("--")] for action in parser._actions]
    return {options[0] for options in names if options} - {"--help"}


@pytest.mark.parametrize("name", PARSERS)
def test_the_set_of_flags_changes_only_on_purpose(name: str) -> None:
    assert first_long_names(PARSERS[name]) == ALL_FLAGS[name]


@pytest.mark.parametrize("parser", [*PARSERS.values(), view_parser(3)])
def test_every_option_has_help_and_help_has_no_empty_defaults(parser) -> None:
    assert all(action.help for action in parser._actions)
    assert "None" not in parser.format_help()


def test_built_in_defaults_are_used_for_the_built_in_data_set_alone() -> None:
    assert {name: getattr(parse_train([]), name) for name in BUILT_IN_DEFAULTS} == BUILT_IN_DEFAULTS
    published = parse_train(["somethingv1"])
    assert (published.arch, published.input_size, published.epochs, published.lr) == ("resnet50", 224, 60, 0.01)
    assert parse_train(["--epochs", "3"]).epochs == 3


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        (["--batch_size", "4"], "batch_size", 4),
        (["-b", "4"], "batch_size", 4),
        (["--clip-gradient", "20"], "gd", 20.0),
        (["--weight-decay", "0"], "wd", 0.0),
        (["--no_partialbn"], "npb", True),
        (["-ef", "5"], "eval_freq", 5),
        (["--gpus", "0", "1", "2", "3"], "gpus", [0, 1, 2, 3]),
        (["--lr_steps", "20", "40"], "lr_steps", [20.0, 40.0]),
    ],
)
def test_spellings_of_the_family(flags: list[str], name: str, value: object) -> None:
    assert getattr(parse_train(["kinetics", "RGB", *flags]), name) == value


def test_a_wrong_flag_is_an_error_and_not_an_abbreviation(capsys) -> None:
    with pytest.raises(SystemExit):
        parse_train(["mine", "--epoch=3"])
    assert "unrecognized arguments: --epoch=3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "clips"),
    [
        ("0", [0]),
        ("0-9", list(range(10))),
        ("5,0,3", [0, 3, 5]),
        ("0-2,7", [0, 1, 2, 7]),
        (" 0 - 2, 7 ", [0, 1, 2, 7]),
    ],
)
def test_clip_numbers(text: str, clips: list[int]) -> None:
    args = view_parser(3).parse_args(["--weights", "w", "--output_dir", "d", "--clip_index", text])
    assert args.clip_index == clips


@pytest.mark.parametrize("text", ["30m", "30 m", "0.5m", ".5m", "5.m", "500", " 500 "])
def test_intervals_of_checkpoints(text: str) -> None:
    assert parse_train(["--save_every", text]).save_every == text


@pytest.mark.parametrize(("text", "shard"), [("1/1", (1, 1)), ("10/12", (10, 12))])
def test_shards(text: str, shard: tuple[int, int]) -> None:
    assert view_parser(1).parse_args(["--weights", "w", "--output_dir", "d", "--shard", text]).shard == shard


@pytest.mark.parametrize("text", ["", "2", "0/4", "5/4", "-1/4", "1/4/4", "a/b"])
def test_wrong_shards(text: str, capsys) -> None:
    with pytest.raises(SystemExit):
        view_parser(1).parse_args(["--weights", "w", "--output_dir", "d", f"--shard={text}"])
    assert "as 2/4" in capsys.readouterr().err


def test_steps_of_the_learning_rate_are_refused_where_nothing_reads_them() -> None:
    assert parse_train(["kinetics"]).lr_steps == [30, 45, 55]
    with pytest.raises(InputError, match="--lr_steps.* --lr_type step.* cos"):
        parse_train(["--lr_steps", "5"])


@pytest.mark.parametrize("flags", [["--log_images", "2"], ["--mix_prob", "1"], ["--mix", "cutmix", "--eval_teacher"]])
def test_an_option_that_nothing_reads_is_refused_even_at_its_default(flags: list[str]) -> None:
    with pytest.raises(InputError, match=rf"{flags[-2] if flags[-1][0] != '-' else flags[-1]} needs --mix"):
        parse_train(["kinetics", *flags])
    args = parse_train(["kinetics"])
    assert (args.mix_prob, args.log_images, args.selector_lr, args.eval_teacher) == (None, None, None, None)
    args = parse_train(["kinetics", "--mix", "cutmix"])
    assert (args.mix_prob, args.log_images, args.selector_lr, args.eval_teacher) == (1.0, 2, None, None)


def test_a_preset_of_the_augmentation_and_what_replaces_parts_of_it() -> None:
    def chosen(*flags: str) -> Augmentation:
        return chosen_augmentation(parse_train(["kinetics", *flags]))

    assert chosen() == chosen("--preset", "tsn") == TSN_AUGMENTATION
    assert chosen("--preset", "mae") == MAE
    assert chosen("--preset", "mae", "--random_erasing", "0") == replace(MAE, random_erasing=0)
    assert chosen("--auto_augment", "randaugment", "--ra_ops", "3") == replace(
        TSN_AUGMENTATION, auto_augment="randaugment", ra_ops=3
    )
    trivial = parse_train(["kinetics", "--preset", "mae", "--auto_augment", "trivial"])
    assert (trivial.ra_ops, trivial.ra_magnitude, trivial.random_erasing) == (None, None, 0.25)
    everything = "--random_resized_crop 0.5 --color_jitter 0.4 --gray 0.2 --auto_augment none"
    assert chosen("--preset", "mae", *everything.split()) == Augmentation(0.5, "none", 2, 9, 0.4, 0.2, 0.25)
    for flags in (["--ra_magnitude", "9"], ["--preset", "mae", "--auto_augment", "none", "--ra_ops", "2"]):
        with pytest.raises(InputError, match=f"{flags[-2]} needs --auto_augment randaugment, .* has none"):
            parse_train(["kinetics", *flags])


def test_classes_are_not_balanced_twice() -> None:
    with pytest.raises(InputError, match="--class_weights and --balanced_sampler"):
        parse_train(["kinetics", "--class_weights", "sqrt", "--balanced_sampler"])


@pytest.mark.parametrize(
    "flags",
    [["--label_smoothing", "0.1"], ["--balanced_sampler"], ["--class_weights", "sqrt"], ["--best_by", "mean_class"]],
)
def test_options_for_one_label_per_video_are_refused_with_several(flags: list[str]) -> None:
    with pytest.raises(InputError, match=f"{flags[0]}.* is for one label per video"):
        parse_train(["mine", "--multi_label", *flags])


def test_the_best_epoch_is_that_of_the_map_with_several_labels_alone() -> None:
    assert parse_train(["mine", "--multi_label"]).best_by == "map"
    assert parse_train(["mine", "--multi_label", "--best_by", "map"]).best_by == "map"
    assert parse_train(["mine"]).best_by == "top1"
    with pytest.raises(InputError, match="--best_by map .* add --multi_label"):
        parse_train(["mine", "--best_by", "map"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--linear_probe", "--freeze", "stem"], "--linear_probe.* leave --freeze out"),
        (["--linear_probe", "--layer_decay", "1"], "--linear_probe.* leave --layer_decay out"),
        (["--warmup_start", "0.1"], "--warmup_start needs --warmup"),
        (["--checkpoint_activations", "--compile"], "--checkpoint_activations .* --compile"),
        (["--optimizer", "rmsprop", "--momentum", "0.9"], "--momentum is not used with --optimizer rmsprop"),
        (
            ["--optimizer", "adamw", "--momentum", "0.9", "--optimizer_args", "betas=0.9,0.9"],
            "used with --optimizer_args betas",
        ),
        (["--optimizer", "lbfgs"], "lbfgs evaluates the loss several times per step; choose one of adadelta"),
        (["--optimizer", "sgd", "--optimizer_args", "nesterov"], "--optimizer_args nesterov: .*nesterov=False"),
    ],
)
def test_options_of_the_optimiser_that_contradict(flags: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_train(["kinetics", *flags])


def test_a_backbone_is_refused_where_the_network_has_its_own() -> None:
    assert parse_train(["kinetics", "--net", "s3d"]).arch == "torchvision"
    with pytest.raises(InputError, match="--arch resnet50: s3d has its own backbone"):
        parse_train(["kinetics", "--net", "s3d", "--arch", "resnet50"])


def test_the_start_of_hourglasses_is_refused_where_there_are_none() -> None:
    assert parse_train(["--hourglass_start", "published"]).hourglass_start == "published"
    with pytest.raises(InputError, match="--hourglass_start published .*; TSM"):
        parse_train(["--net", "TSM", "--hourglass_start", "published"])


@pytest.mark.parametrize("flags", [["--lr", "inf"], ["--wd", "nan"], ["--seed", str(2**32)], ["--lr_steps", "-5"]])
def test_numbers_out_of_range(flags: list[str], capsys) -> None:
    with pytest.raises(SystemExit):
        parse_train(["kinetics", *flags])
    assert "is out of range" in capsys.readouterr().err


ODD_VALUES = [
    "", "x", "-1", "0", "1", "0.5", "nan", "inf", "1_0", "2/3", "0-9", "../x", "{", "None", "\u0663", "9" * 99,
]  # fmt: skip
PARSE = {"train": parse_train, "view": partial(parse_test, 1), "results": parse_results, "predict": parse_predict}


@pytest.mark.parametrize("name", PARSE)
@given(st.data())
def test_any_flags_are_taken_or_refused(name: str, data: st.DataObject) -> None:
    values = st.none() | st.sampled_from(ODD_VALUES) | st.text()
    flags = data.draw(st.dictionaries(st.sampled_from(sorted(ALL_FLAGS[name])), values))
    words = [word for pair in flags.items() for word in pair if word is not None]
    status = 0
    try:
        with suppress(InputError):
            PARSE[name](words)
    except SystemExit as end:
        status = end.code
    assert status in (0, 2)


def test_a_suffix_is_not_a_path() -> None:
    with pytest.raises(InputError, match="without /"):
        parse_train(["kinetics", "--suffix", "../there"])


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({}, "python"),
        ({"LOCAL_WORLD_SIZE": "4"}, "torchrun --nproc_per_node 4"),
        ({"LOCAL_WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"}, "torchrun --nnodes 2 --nproc_per_node 4"),
    ],
)
@pytest.mark.parametrize("given", [[], ["--resume", "x"], ["--resume=x"]])
def test_the_command_that_continues_a_run(variables: dict[str, str], start: str, given: list[str], monkeypatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    command = resume_command(["train.py", "mine", *given, "--suffix", "a b"], "auto")
    assert command == f"{start} train.py mine --suffix 'a b' --resume auto"


def test_centres_give_one_clip() -> None:
    flags = ["--weights", "w", "--output_dir", "d", "--sampling", "centre"]
    for crops in (1, 3):
        assert parse_test(crops, [*flags, "--full_res"]).clip_index == [0]
        for clips in ("0-9", "3"):
            with pytest.raises(InputError, match="--sampling centre.*--clip_index 0.*--sampling random"):
                parse_test(crops, [*flags, "--clip_index", clips])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sampling", "dense"], "--sampling dense needs --frame_stride"),
        (["--frame_stride", "8"], "--frame_stride 8 needs --sampling dense, not random"),
    ],
)
def test_contradictions_in_the_sampling_of_a_training(flags: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_train(["kinetics", *flags])
    assert train_sampling(parse_train(["kinetics"])) == {"frame_stride": 0, "frame_rate": 0}
    dense = ["--sampling", "dense", "--frame_stride", "8", "--frame_rate", "15"]
    assert train_sampling(parse_train(["kinetics", *dense])) == {"frame_stride": 8, "frame_rate": 15}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sampling", "even", "--frame_stride", "8"], "--frame_stride 8 needs --sampling dense, not even"),
        (["--clip_index", "0-9", "--num_clips", "9"], "--clip_index 9.* first of --num_clips 9"),
        (["--resize", "1", "2", "3"], "--resize has 3 numbers"),
    ],
)
def test_contradictions_in_the_sampling_of_a_test(flags: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_test(1, ["--weights", "w", "--output_dir", "d", *flags])


@pytest.mark.parametrize("flag", ["--frame_rate=-1", "--frame_rate=nan", "--frame_stride=0", "--num_clips=0"])
def test_samplings_out_of_range(flag: str, capsys) -> None:
    with pytest.raises(SystemExit):
        parse_test(1, ["--weights", "w", "--output_dir", "d", flag])
    assert flag.partition("=")[0] in capsys.readouterr().err


def test_weights_of_models_that_overflow(capsys) -> None:
    with pytest.raises(SystemExit):
        parse_results(["--output_dir", "a", "b", "--coeff", "1e308", "1e308"])
    assert "at most 1e+06" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["--window", "--stride", "--fps"])
def test_times_of_predict_are_not_endlessly_small(name: str, capsys) -> None:
    with pytest.raises(SystemExit):
        parse_predict(["a.mp4", "--weights", "c", "--window", "1", name, "1e-9"])
    assert "is out of range" in capsys.readouterr().err
