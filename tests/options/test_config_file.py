"""--config: options from a file, overridden by the command line."""

import json
from pathlib import Path

import pytest

from common.errors import InputError
from options.config_file import as_toml
from opts import parse_train

RUNS = {
    "built-in": [],
    "recipe": ["kinetics", "--lr_steps", "20", "40", "--gd", "20", "--npb", "--ablate", "fmcb", "shift", "-b", "4"],
    "cosine": ["ucf101", "--lr_type", "cos", "--warmup", "5", "--no_flip", "--save_every", "500", "--gpus", "0", "1"],
    "transformer": ["kinetics", "--net", "mvit_v2_s", "--optimizer", "adamw", "--num_segments", "16"],
    "dense": ["kinetics", "--sampling", "dense", "--frame_stride", "4", "--frame_rate", "15"],
    "augmented": ["kinetics", "--preset", "mae", "--ra_ops", "3", "--class_weights", "sqrt", "--best_by", "mean_class"],
    "averaged": [
        "jester",
        "--ema",
        "0.99",
        "--keep_best",
        "3",
        "--optimizer",
        "rmsprop",
        "--optimizer_args",
        "alpha=0.9",
    ],
    "by turns": ["jester", "--mix", "mixup,cutmix", "--mix_alpha", "0.8,1", "--freeze", "stem", "layer1"],
    "mixing": ["diving48", "--mix", "svmix", "--mix_alpha", "0.4", "--eval_teacher"],
}


def options(*argv: str) -> dict:
    return {name: value for name, value in vars(parse_train(list(argv))).items() if name != "config"}


@pytest.mark.parametrize("argv", RUNS.values(), ids=RUNS)
def test_a_run_s_options_give_the_same_options(argv, tmp_path) -> None:
    """As options.json and as the TOML of --dry_run."""
    before = options(*argv)
    (tmp_path / "options.json").write_text(json.dumps({"options": before, "git_revision": "1", "history": []}))
    (tmp_path / "run.toml").write_text(as_toml(before))
    assert options("--config", str(tmp_path / "options.json")) == before
    assert options("--config", str(tmp_path / "run.toml")) == before


def test_another_preset_replaces_what_the_preset_of_the_file_chose(tmp_path) -> None:
    path = tmp_path / "options.json"
    path.write_text(json.dumps(options("jester", "--preset", "mae", "--gray", "0.1")))
    assert options("--config", str(path), "--preset", "tsn") == options("jester", "--gray", "0.1")
    off = ["--preset", "mae", "--gray", "0.1", "--auto_augment", "none"]
    assert options("--config", str(path), "--auto_augment", "none") == options("jester", *off)


def test_the_command_line_overrides_the_file(tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        'dataset = "kinetics"\nbatch-size = 4\nlr_steps = [1, 2]\nnpb = true\ngpus = [0, 1]\nresume = "auto"\n'
    )
    args = parse_train(["jester", "--config", str(path), "--lr_steps", "7", "--gpus", "3"])
    assert (args.dataset, args.batch_size, args.lr_steps, args.npb, args.gpus) == ("jester", 4, [7.0], True, [3])
    assert args.resume is None
    assert parse_train(["--lr", "2", "--config", str(path), "jester"]).dataset == "jester"
    assert parse_train(["--config", str(path), "--net", "s3d"]).dataset == "kinetics"


def test_a_switch_that_is_on_by_default_can_be_off(tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("npb = false\n")
    assert parse_train([]).npb
    assert not parse_train(["--config", str(path)]).npb
    path.write_text("npb = false\n", encoding="utf-8-sig")  # as Windows editors save it
    assert not parse_train(["--config", str(path)]).npb
    assert parse_train(["--config", str(path), "--npb"]).npb


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("epoch = 3", ["epoch", "epochs"]),
        ("help = true", ["help"]),
        ('lr = "fast"', ["--lr", "fast"]),
        ("lr = [1.0, 2.0]", ["lr", "1.0,2.0"]),
        ("lr = true", ["lr", "True"]),
        ("lr = []", ["lr", "''"]),
        ("lr_steps = 3", ["lr_steps", "list"]),
        ("npb = 1", ["npb", "true or false"]),
        ("[network]\nnet = 3", ["network"]),
        ('net = "TNS"', ["--net", "TNS"]),
        ('modality = "Flow"', ["modality", "Flow", "RGB"]),
        ('preset = ["tsn", "mae"]', ["preset", "tsn,mae"]),
        ("lr =", ["TOML"]),
        ("batch_size = 8\nbatch-size = 4", ["batch_size and batch-size"]),
        ("batch-size = 8\nb = 4", ["batch-size and b"]),
    ],
)
def test_wrong_entries_are_named(content, parts, tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        parse_train(["--config", str(path)])
    assert all(part in str(error.value) for part in [str(path), *parts])


@pytest.mark.parametrize("second", [["--config", "b.toml"], ["--config=b.toml"]])
def test_a_second_file_is_refused(second, tmp_path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("lr = 1\n")
    with pytest.raises(InputError, match="--config is given twice"):
        parse_train(["--config", str(path), *second])


@pytest.mark.parametrize("content", ["[1]", "{", "3", '{"options": [1]}', "[" * 100_000])
def test_files_that_hold_no_options_are_refused(content, tmp_path) -> None:
    path = tmp_path / "options.json"
    path.write_text(content)
    with pytest.raises(InputError, match="options.json"):
        parse_train(["--config", str(path)])
    with pytest.raises(InputError, match="missing.json"):
        parse_train(["--config", str(Path(tmp_path, "missing.json"))])
