"""The documented commands: train, test with every script, merge, predict; on tiny prepared data sets."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from golden_data import official_state
from video_files import CLASSES, own_data_flags, write_dataset, write_video

import pkl_to_results
import predict
import test_models_center_crop as center_crop
import train
from common.errors import InputError
from datasets.built_in.moving_digits import Settings, make_moving_digits
from datasets.catalogue import resolve
from datasets.plans import EvalPlan
from datasets.preprocessing import eval_preprocessing
from datasets.view_dataset import ViewDataset
from ops.choices import ABLATIONS
from ops.fuse import fuse_for_inference
from ops.models import FAMILY, build_model
from ops.runtime import start_runtime
from ops.scoring.pickles import read_scores
from ops.weights.checkpoint import Weights
from ops.weights.file import read_checkpoint, save_checkpoint
from ops.weights.load import load_weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

SIZES = ["--num_segments", "2", "--input_size", "32", "-j", "0", "--epochs", "1"]
TINY = ["--arch", "resnet10", *SIZES]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a custom data set, and with Something-Something V1 and Kinetics as prepared."""
    folder = tmp_path_factory.mktemp("home")
    write_dataset(folder / "own")
    for name, num_class in (("somethingv1", 174), ("kinetics", 400)):
        classes = tuple(f"{name} class {i}" for i in range(num_class))
        write_dataset(folder / "data" / name, train=3, val=3, classes=classes)
    return folder


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch, quick_plots) -> None:
    monkeypatch.chdir(home)


def trained(home: Path, *flags: str) -> None:
    runs = ["--root_log", str(home / "runs"), "--root_model", str(home / "runs")]
    train.main(["mine", *own_data_flags(home / "own"), *SIZES, "-b", "2", *runs, *flags])


@pytest.fixture(scope="module")
def h2cn(home: Path) -> str:
    """A checkpoint."""
    trained(home, "--arch", "resnet10")
    return str(home / "runs" / "H2CN_mine_resnet10_2f" / "ckpt.pth.tar")


@pytest.fixture(scope="module")
def checkpoint(tiny_network, home: Path) -> str:
    """Of a network that is read and run quickly."""
    trained(home, "--net", "Tiny")
    return str(home / "runs" / "Tiny_mine_none_2f" / "ckpt.pth.tar")


def test_as_published(capsys) -> None:
    """The commands for the paper's Something-Something V1 row, only smaller: train, score, merge."""
    command = (
        "somethingv1 RGB --arch resnet50 --net H2CN --num_segments 8 --gd 20 --lr 0.01 --lr_steps 30 45 55 --epochs 60 "
        "--batch-size 8 --wd 5e-4 --dropout 0.5 --consensus_type=avg --eval-freq=1 -j 16 --npb"
    )
    train.main([*command.split(), *TINY])
    stored = read_checkpoint("runs/H2CN_somethingv1_resnet10_2f/ckpt.pth.tar")
    assert stored["trained_on"]["dataset"] == "somethingv1"
    command = (
        "something --archs=resnet10 --weights runs/H2CN_somethingv1_resnet10_2f/ckpt.pth.tar --test_segments=2 "
        "--test_crops=1 --batch_size=16 --gpus 0 --output_dir scores/v1 -j 0 --clip_index=0"
    )
    center_crop.main(command.split())
    pkl_to_results.main(["--num_clips", "1", "--test_crops", "1", "--output_dir", "scores/v1"])
    assert "3 videos, 174 classes" in capsys.readouterr().out


def test_three_crops_of_ten_clips_as_published(capsys) -> None:
    train.main(["kinetics", *TINY])
    command = (
        "kinetics --archs=resnet10 --weights runs/H2CN_kinetics_resnet10_2f/ckpt.pth.tar --test_segments=2 "
        "--test_crops=3 --batch_size=16 --full_res --gpus 0 --output_dir scores/k400 -j 0 --clip_index"
    )
    for clip in range(2):  # one by one, as the official recipe does
        center_crop.main([*command.split(), str(clip)], crops=3)
    center_crop.main([*command.split(), "0-9"], crops=3)  # the others in one go
    printed = capsys.readouterr().out
    assert "clip 1: already scored" in printed
    assert "random starts, seed 0" in printed
    assert len(list(Path("scores/k400").glob("*_crop*.pkl"))) == 30
    pkl_to_results.main(["--num_clips", "10", "--test_crops", "3", "--output_dir", "scores/k400"])
    assert "10 clips x 3 crops" in capsys.readouterr().out


def test_the_checkpoint_needs_no_repeated_flags(h2cn: str) -> None:
    center_crop.main(["--weights", h2cn, "--output_dir", "scores/own", "-j", "0"])
    scores = read_scores(Path("scores/own/0_crop0.pkl"))
    assert scores.video_ids == tuple(f"val {i}" for i in range(5))
    assert scores.labels.tolist() == [0, 1, 2, 0, 1]
    protocol = json.loads(Path("scores/own/protocol.json").read_text())
    assert (protocol["dataset"], protocol["arch"], protocol["num_segments"]) == ("mine", "resnet10", 2)
    assert protocol["sampling"] == "centre of each segment"


def test_the_checkpoint_knows_where_the_data_are(home: Path, tmp_path: Path, monkeypatch) -> None:
    """The test uses the data root of the training, also under the data set's other name."""
    flags = ["--data_root", str(home / "data"), "--root_log", str(tmp_path), "--root_model", str(tmp_path)]
    train.main(["something", *TINY, *flags])
    monkeypatch.chdir(tmp_path)
    weights = ["--weights", "H2CN_somethingv1_resnet10_2f/ckpt.pth.tar", "-j", "0"]
    center_crop.main([*weights, "--output_dir", "plain"])
    center_crop.main(["something", *weights, "--output_dir", "named"])


def test_scores_equal_those_of_the_evaluation_in_training(h2cn: str) -> None:
    center_crop.main(["--weights", h2cn, "--output_dir", "scores/same", "-j", "0"])
    scores = read_scores(Path("scores/same/0_crop0.pkl"))
    logged = json.loads(Path("runs/H2CN_mine_resnet10_2f/log.jsonl").read_text())
    loss = torch.nn.functional.cross_entropy(torch.tensor(scores.logits), torch.tensor(scores.labels))
    assert loss.item() == pytest.approx(logged["val/loss"], rel=1e-4)


def pickles(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".pkl"}


@pytest.mark.parametrize(("crops", "flags"), [(1, ["--full_res", "--frame_order", "shuffled"]), (3, ["--no-full_res"])])
def test_one_pass_for_all_clips_equals_one_pass_per_clip(
    checkpoint: str, tmp_path: Path, crops: int, flags: list
) -> None:
    """To the bit, since the batches are the same: one clip of the same videos. The last batch is incomplete."""
    flags = ["--weights", checkpoint, "-j", "0", "-b", "3", "--sampling", "random", "--seed", "3", *flags]
    center_crop.main([*flags, "--output_dir", str(tmp_path / "once"), "--clip_index", "1,4"], crops=crops)
    for clip in (1, 4):
        center_crop.main([*flags, "--output_dir", str(tmp_path / "apart"), "--clip_index", str(clip)], crops=crops)
    once = pickles(tmp_path / "once")
    assert sorted(once) == sorted(f"{clip}_crop{crop}.pkl" for clip in (1, 4) for crop in range(crops))
    assert len(set(once.values())) == 2 * crops
    assert once == pickles(tmp_path / "apart")


@pytest.mark.parametrize(("crops", "sampling"), [(1, "centre"), (3, "random")])
def test_scores_equal_those_of_clips_that_are_read_one_by_one(
    h2cn: str, tmp_path: Path, crops: int, sampling: str
) -> None:
    """To the bit: views are cut on the device from frames that are read once, here each clip is read by itself."""
    clips = (0, 1) if sampling == "random" else (0,)
    flags = ["--weights", h2cn, "-j", "0", "-b", "3", "--sampling", sampling]
    center_crop.main([*flags, "--clip_index", f"0-{clips[-1]}", "--output_dir", str(tmp_path)], crops=crops)
    weights = Weights.read(h2cn)
    model = weights.build(list(CLASSES))
    model = fuse_for_inference(start_runtime([]).place(model))
    dataset, options = weights.data_options(None, dict.fromkeys(("root_path", "val_list", "classes")))
    spec = resolve(dataset, **options, need=("val",))
    for clip in clips:
        numbered = clip if sampling == "random" else None
        plan = EvalPlan(2, 5, eval_preprocessing(32, crops, full_res=crops == 3), clip_index=numbered)
        dataset = ViewDataset(spec, [plan])
        clips_of_videos = torch.stack([dataset[index].clip(0) for index in range(len(dataset))]).movedim(-1, -3)
        with torch.inference_mode():
            logits = [model(batch.flatten(0, 1)).unflatten(0, (-1, crops)) for batch in clips_of_videos.split(3)]
        for crop, expected in enumerate(torch.cat(logits).unbind(1)):
            scores = read_scores(tmp_path / f"{clip}_crop{crop}.pkl")
            assert np.array_equal(scores.logits, expected)
            assert scores.video_ids == tuple(f"val {i}" for i in range(5))


def test_another_batch_size_changes_only_the_last_digits(h2cn: str, tmp_path: Path) -> None:
    flags = ["--weights", h2cn, "-j", "0", "--sampling", "random", "--clip_index", "0-1"]
    center_crop.main([*flags, "--output_dir", str(tmp_path / "16")])
    center_crop.main([*flags, "--output_dir", str(tmp_path / "1"), "-b", "1"])
    for clip in (0, 1):
        first, second = (read_scores(tmp_path / size / f"{clip}_crop0.pkl").logits for size in ("16", "1"))
        assert np.allclose(first, second, atol=1e-5)


def test_only_missing_clips_are_scored(checkpoint: str, tmp_path: Path, capsys) -> None:
    flags = ["--weights", checkpoint, "-j", "0", "--clip_index", "0-2", "--output_dir", str(tmp_path)]
    center_crop.main(flags, crops=3)
    whole = pickles(tmp_path)
    (tmp_path / "1_crop2.pkl").unlink()
    kept = (tmp_path / "2_crop0.pkl").stat().st_mtime_ns
    capsys.readouterr()
    center_crop.main(flags, crops=3)
    printed = capsys.readouterr().out
    assert "clip 0: already scored" in printed
    assert "clip 1: 5 videos" in printed
    assert pickles(tmp_path) == whole
    assert (tmp_path / "2_crop0.pkl").stat().st_mtime_ns == kept


def test_overwrite_scores_a_view_again(checkpoint: str) -> None:
    flags = ["--weights", checkpoint, "-j", "0", "--output_dir", "scores/again"]
    center_crop.main(flags)
    path = Path("scores/again/0_crop0.pkl")
    before = path.stat().st_mtime_ns
    center_crop.main(flags)
    assert path.stat().st_mtime_ns == before
    center_crop.main([*flags, "--overwrite"])
    assert path.stat().st_mtime_ns != before


@pytest.fixture(scope="module")
def digits(home: Path) -> list[str]:
    """Flags of a small copy of the built-in data set."""
    settings = Settings(train_per_class=1, val_per_class=1, num_frames=16, height=34, width=46)
    make_moving_digits(home / "digits", settings)
    return ["moving_digits", *own_data_flags(home / "digits")]


@pytest.mark.parametrize("net", ["H2CN", "TDN", "s3d", "swin3d_t"])  # of each kind
def test_every_net_trains_and_is_tested_and_merged(digits: list[str], net: str, capsys) -> None:
    segments = "8" if net == "s3d" else "2"
    flags = ["--net", net, "--num_segments", segments, "--input_size", "32", "--epochs", "1", "-j", "0"]
    train.main([*digits, *flags, "--suffix", "nets"])
    (run,) = Path("runs").glob(f"{net}_moving_digits_*_{segments}f_nets")
    center_crop.main(["--weights", str(run / "ckpt.pth.tar"), "--output_dir", f"scores/{net}", "-j", "0"])
    shutil.rmtree(run)  # up to a gigabyte
    pkl_to_results.main(["--output_dir", f"scores/{net}"])
    arch = "resnet10" if net in FAMILY else "torchvision"
    printed = capsys.readouterr().out
    assert f"scores/{net}: {net} {arch}, {segments} x" in printed
    assert "12 videos, 12 classes" in printed


@pytest.mark.parametrize("part", ABLATIONS)
def test_an_ablation_is_stored_in_the_checkpoint(home: Path, part: str, capsys) -> None:
    train.main(["mine", *own_data_flags(home / "own"), *TINY, "--ablate", part])
    weights = f"runs/H2CN-{part}_mine_resnet10_2f/ckpt.pth.tar"
    center_crop.main(["--weights", weights, "--output_dir", f"scores/{part}", "-j", "0"])
    assert json.loads(Path(f"scores/{part}/protocol.json").read_text())["ablate"] == [part]
    capsys.readouterr()
    pkl_to_results.main(["--output_dir", f"scores/{part}"])
    assert f"H2CN resnet10 without {part}" in capsys.readouterr().out


def test_weights_without_a_classifier_cannot_be_tested(home: Path) -> None:
    """ImageNet weights are for training; in a test the missing classifier would be random."""
    torch.save(torchvision.models.resnet18().state_dict(), "resnet18.pth")
    flags = ["--net", "TSN", "--archs", "resnet18", "--output_dir", "scores/imagenet", "-j", "0"]
    with pytest.raises(InputError, match=r"2 new.*would be random.*train\.py --net TSN --pretrain resnet18\.pth"):
        center_crop.main(["something", "--weights", "resnet18.pth", *flags])


def test_published_weights_of_a_torchvision_network(home: Path) -> None:
    """As downloaded: with data set and network given, the test uses the input size of the weights."""
    torch.save(torchvision.models.video.r2plus1d_18().state_dict(), "r2plus1d_18.pth")
    flags = ["--net", "r2plus1d_18", "--test_segments", "4", "--output_dir", "scores/r2plus1d", "-j", "0"]
    center_crop.main(["kinetics", "--weights", "r2plus1d_18.pth", *flags])
    assert json.loads(Path("scores/r2plus1d/protocol.json").read_text())["crop_size"] == 112
    with pytest.raises(InputError, match="--arch resnet50: r2plus1d_18 has its own backbone"):
        center_crop.main(["kinetics", "--weights", "r2plus1d_18.pth", *flags, "--archs", "resnet50"])


def test_a_checkpoint_of_another_net(h2cn: str) -> None:
    with pytest.raises(InputError, match="net H2CN, but this run has TSN"):
        center_crop.main(["--weights", h2cn, "--net", "TSN", "--output_dir", "scores/bad", "-j", "0"])
    with pytest.raises(InputError, match="is of H2CN, this network is TSN; build --net H2CN"):
        train.main(["mine", *own_data_flags(Path("own")), *TINY, "--net", "TSN", "--tune_from", h2cn])


@pytest.mark.parametrize("net", ["H2CN", "TSM"])
def test_official_weights(home: Path, net: str) -> None:
    """A file in the official layout scores like the network of the golden data; 8 segments are the default."""
    segments = 8 if net == "H2CN" else 2
    state = official_state(net.lower())
    torch.save({"state_dict": {f"module.{key}": value.float() for key, value in state.items()}}, "official.pth.tar")
    flags = ["--weights", "official.pth.tar", "--output_dir", f"scores/official {net}", "-j", "0"]
    if segments != 8:
        flags += ["--test_segments", str(segments)]
    with pytest.raises(InputError, match="does not name its data set"):
        center_crop.main(flags)
    list_file = home / "data" / "somethingv1" / "val.txt"
    (home / "one.txt").write_text(list_file.read_text().splitlines()[0])
    center_crop.main(["something", *flags, "--val_list", "one.txt"])  # the layout says the network
    model = build_model(net, "resnet50", 174, segments).eval()
    load_weights(model, state)
    spec = resolve("something", need=("val",))
    plan = EvalPlan(segments, model.frames_per_segment, eval_preprocessing(224))
    with torch.inference_mode():
        logits = model(ViewDataset(spec, [plan])[0].clip(0).movedim(-1, -3))
    assert np.allclose(read_scores(Path(f"scores/official {net}/0_crop0.pkl")).logits, logits, atol=1e-4)


CONTRADICTIONS = [
    (["--archs", "resnet50"], "arch resnet10, but this run has resnet50"),
    (["--test_segments", "4"], "number of segments 2, but this run has 4"),
    (["something"], r"class names \(3 classes\), but this run has 174 classes"),
    (["somethingv4"], "'somethingv4' is not known"),
    (["--root_path", "gone"], "gone"),
    (["--val_list", "gone.txt"], r"gone\.txt"),
    (["--output_dir", "/proc/no"], "--output_dir"),
]


@pytest.mark.parametrize(("flags", "words"), CONTRADICTIONS, ids=[flags[0] for flags, _ in CONTRADICTIONS])
def test_flags_that_contradict_the_weights_are_refused(h2cn: str, flags: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        center_crop.main(["--weights", h2cn, "--output_dir", "scores/bad", "-j", "0", *flags])


def test_weights_for_other_classes_are_refused(checkpoint: str, home: Path) -> None:
    """Something-Something V1 and V2 both have 174 classes; only the names differ."""
    stored = read_checkpoint(checkpoint)
    stored["trained_on"]["class_names"] = ["a", "b", "c"]
    save_checkpoint(home / "v2.pth.tar", stored)
    with pytest.raises(InputError, match="class names .0: 'a'., but this run has 0: 'Pushing"):
        center_crop.main(["--weights", "v2.pth.tar", "--output_dir", "scores/v2", "-j", "0"])


def test_a_folder_has_one_protocol(checkpoint: str) -> None:
    flags = ["--weights", checkpoint, "-j", "0", "--output_dir", "scores/one"]
    center_crop.main(flags)
    with pytest.raises(InputError, match="holds views with sampling 'centre of each segment'"):
        center_crop.main([*flags, "--clip_index", "0-1"])
    with pytest.raises(InputError, match="holds views with test_crops 1, this run has 3"):
        center_crop.main(flags, crops=3)
    center_crop.main([*flags, "--sampling", "random", "--clip_index", "1", "--overwrite"])
    assert [path.name for path in Path("scores/one").glob("*.pkl")] == ["1_crop0.pkl"]  # the other was of another kind


def test_a_refused_test_does_not_claim_its_folder(checkpoint: str, tmp_path: Path) -> None:
    """Neither with a wrong list nor with missing videos."""
    (tmp_path / "wrong.txt").write_text("not there 3 0\n")
    (tmp_path / "bad.txt").write_text("val 0 x\n")
    flags = ["--weights", checkpoint, "-j", "0", "--output_dir", str(tmp_path / "scores")]
    for name in ("wrong", "bad"):
        with pytest.raises(InputError):
            center_crop.main([*flags, "--val_list", str(tmp_path / f"{name}.txt")])
    assert list((tmp_path / "scores").iterdir()) == []
    center_crop.main(flags)
    (tmp_path / "scores" / "0_crop0.pkl").unlink()
    center_crop.main([*flags, "--frame_order", "reversed"])
    assert (tmp_path / "scores" / "0_crop0.pkl").exists()


def test_views_without_a_protocol_are_refused(checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "0_crop0.pkl").touch()
    with pytest.raises(InputError, match=r"holds views but no protocol\.json"):
        center_crop.main(["--weights", checkpoint, "-j", "0", "--output_dir", str(tmp_path)])


def test_another_data_set_with_the_same_classes(checkpoint: str, tmp_path: Path, capsys) -> None:
    """Such as a second test set; a message says so."""
    root = write_dataset(tmp_path / "second")
    data = ["--root_path", root / "frames", "--val_list", root / "val.txt", "--classes", root / "classes.txt"]
    folder = tmp_path / "my scores"
    flags = ["--frame_order", "shuffled", "--output_dir", str(folder), "-j", "0"]
    center_crop.main(["second", *map(str, data), "--weights", checkpoint, *flags])
    printed = capsys.readouterr().out
    assert "was trained on mine" in printed
    assert "Tiny none, 2 x 1 frames shuffled, " in printed
    assert json.loads((folder / "protocol.json").read_text())["dataset"] == "second"
    merge = shlex.split(printed.splitlines()[-1])
    assert merge[1:3] == ["python", "pkl_to_results.py"]
    pkl_to_results.main(merge[3:])
    assert "5 videos, 3 classes" in capsys.readouterr().out


def test_a_test_stops_at_a_truncated_frame(checkpoint: str, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "damaged")
    path = root / "frames" / "val 1" / "00004.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    flags = ["mine", "--weights", checkpoint, *own_data_flags(root), "--output_dir", "scores/damaged", "-j", "2"]
    flags = [part for part in flags if part != "--train_list" and not part.endswith("train.txt")]
    with pytest.raises(InputError, match=r"val 1/00004\.jpg cannot be read"):
        center_crop.main(flags)
    assert not list(Path("scores/damaged").glob("*.pkl"))


@pytest.mark.parametrize(("name", "value"), [("fc.bias", "nan"), ("bn1.running_var", "inf")])  # inf: finite scores
def test_weights_that_are_not_finite_are_refused(h2cn: str, tmp_path: Path, name: str, value: str) -> None:
    content = read_checkpoint(Path(h2cn))
    content["state_dict"][name][1] = float(value)
    save_checkpoint(tmp_path / "bad.pth.tar", content)
    weights = ["--weights", str(tmp_path / "bad.pth.tar")]
    with pytest.raises(InputError, match=rf"bad\.pth\.tar: {name} has values that are not finite"):
        center_crop.main([*weights, "-j", "0", "--output_dir", str(tmp_path / "scores")])
    assert not (tmp_path / "scores").exists()
    with pytest.raises(InputError, match=rf"bad\.pth\.tar: {name} has values that are not finite"):
        predict.main(["own/frames/val 0", *weights])


@pytest.mark.parametrize("text", ["3-1", "a", "", "1,,2", "-1", "0-999999999", "10000"])
def test_bad_clip_numbers(text: str, capsys) -> None:
    with pytest.raises(SystemExit):
        center_crop.main(["--weights", "x", "--output_dir", "y", f"--clip_index={text}"])
    assert "write a clip as 0, a range as 0-9" in capsys.readouterr().err


def test_predict_a_folder_an_archive_and_a_video_file(h2cn: str, tmp_path: Path, capsys) -> None:
    write_video(tmp_path / "clip.mp4", 12)
    shutil.make_archive(str(tmp_path / "clip"), "zip", "own/frames/val 0")
    for source in ("own/frames/val 0", str(tmp_path / "clip.zip"), str(tmp_path / "clip.mp4")):
        predict.main([source, "--weights", h2cn])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3
        shares = [float(line.split("%")[0]) for line in lines]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert lines[0].split("%  ")[1] in CLASSES


def test_predict_says_where_it_runs(checkpoint: str, capsys, monkeypatch) -> None:
    """On stderr; stdout has only the classes."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    predict.main(["own/frames/val 0", "--weights", checkpoint])
    out, err = capsys.readouterr()
    assert err == "No GPU found: running on the CPU.\n"
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no"), (b"\0" * 9, "cannot be opened"), (b"text", "is a text file"), ("folder", "no frames")],
)
def test_predict_refuses_other_files(checkpoint: str, tmp_path: Path, content, words: str) -> None:
    source = tmp_path / "source"
    if content == "folder":
        source.mkdir()
    elif content is not None:
        source.write_bytes(content)
    with pytest.raises(InputError, match=words):
        predict.main([str(source), "--weights", checkpoint])
