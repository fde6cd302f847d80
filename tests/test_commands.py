"""The documented commands: train, test with every script, merge, predict; on tiny prepared data sets."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_data import official_state
from video_files import CLASSES, own_data_flags, write_dataset, write_video

import pkl_to_results
import predict
import test_models_center_crop as center_crop
import train
from errors import InputError
from ops.checkpoint import read_checkpoint, save_checkpoint
from ops.models import NETS
from ops.scores import read_scores

TINY = ["--num_segments", "2", "--input_size", "32", "-j", "0", "--epochs", "1"]
OWN = "runs/H2CN_mine_resnet18_2f/ckpt.pth.tar"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a trained network of an own data set, and prepared Something-Something V1 and Kinetics."""
    folder = tmp_path_factory.mktemp("home")
    write_dataset(folder / "own")
    for name, num_class in (("somethingv1", 174), ("kinetics", 400)):
        classes = tuple(f"{name} class {i}" for i in range(num_class))
        write_dataset(folder / "data" / name, train=3, val=3, classes=classes)
    return folder


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch) -> None:
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def checkpoint(home: Path) -> str:
    flags = [
        "--arch",
        "resnet18",
        *TINY,
        "-b",
        "2",
        "--root_log",
        str(home / "runs"),
        "--root_model",
        str(home / "runs"),
    ]
    train.main(["mine", *own_data_flags(home / "own"), *flags])
    return str(home / OWN)


def test_train_as_published(home: Path) -> None:
    """The command of the paper's Something-Something V1 row, but for its size."""
    command = (
        "somethingv1 RGB --arch resnet50 --net H2CN --num_segments 8 --gd 20 --lr 0.01 --lr_steps 30 45 55 --epochs 60 "
        "--batch-size 8 --wd 5e-4 --dropout 0.5 --consensus_type=avg --eval-freq=1 -j 16 --npb"
    )
    train.main([*command.split(), *TINY])
    stored = read_checkpoint("runs/H2CN_somethingv1_resnet50_2f/ckpt.pth.tar")
    assert stored["trained_on"]["dataset"] == "somethingv1"


def test_centre_crop_and_merge_as_published(capsys) -> None:
    command = (
        "something --archs=resnet50 --weights runs/H2CN_somethingv1_resnet50_2f/ckpt.pth.tar --test_segments=2 "
        "--test_crops=1 --batch_size=16 --gpus 0 --output_dir scores/v1 -j 0 --clip_index=0"
    )
    center_crop.main(command.split())
    pkl_to_results.main(["--num_clips", "1", "--test_crops", "1", "--output_dir", "scores/v1"])
    assert "3 videos, 174 classes" in capsys.readouterr().out


def test_three_crops_of_ten_clips_as_published(capsys) -> None:
    train.main(["kinetics", "--arch", "resnet18", *TINY])
    command = (
        "kinetics --archs=resnet18 --weights runs/H2CN_kinetics_resnet18_2f/ckpt.pth.tar --test_segments=2 "
        "--test_crops=3 --batch_size=16 --full_res --gpus 0 --output_dir scores/k400 -j 0 --clip_index"
    )
    for clip in range(2):  # one by one, as the official recipe does
        center_crop.main([*command.split(), str(clip)], crops=3)
    center_crop.main([*command.split(), "0-9"], crops=3)  # the others in one go
    printed = capsys.readouterr().out
    assert "clip 1: there already" in printed
    assert "random starts, seed 0" in printed
    assert len(list(Path("scores/k400").glob("*_crop*.pkl"))) == 30
    pkl_to_results.main(["--num_clips", "10", "--test_crops", "3", "--output_dir", "scores/k400"])
    assert "10 clips x 3 crops" in capsys.readouterr().out


def test_the_checkpoint_needs_no_repeated_flags(checkpoint: str) -> None:
    center_crop.main(["--weights", checkpoint, "--output_dir", "scores/own", "-j", "0"])
    scores = read_scores(Path("scores/own/0_crop0.pkl"))
    assert scores.video_ids == tuple(f"val {i}" for i in range(5))
    assert scores.labels.tolist() == [0, 1, 2, 0, 1]
    protocol = json.loads(Path("scores/own/protocol.json").read_text())
    assert (protocol["dataset"], protocol["arch"], protocol["num_segments"]) == ("mine", "resnet18", 2)
    assert protocol["sampling"] == "centre of each segment"


def test_the_training_said_where_the_data_are(home: Path, tmp_path: Path, monkeypatch) -> None:
    """A data root given in training is known in the test, by the data set's other name too."""
    flags = ["--data_root", str(home / "data"), "--root_log", str(tmp_path), "--root_model", str(tmp_path)]
    train.main(["something", "--arch", "resnet18", *TINY, *flags])
    monkeypatch.chdir(tmp_path)
    weights = ["--weights", "H2CN_somethingv1_resnet18_2f/ckpt.pth.tar", "-j", "0"]
    center_crop.main([*weights, "--output_dir", "plain"])
    center_crop.main(["something", *weights, "--output_dir", "named"])


def test_the_scores_are_those_of_the_training_evaluation(checkpoint: str) -> None:
    center_crop.main(["--weights", checkpoint, "--output_dir", "scores/same", "-j", "0"])
    scores = read_scores(Path("scores/same/0_crop0.pkl"))
    logged = json.loads(Path("runs/H2CN_mine_resnet18_2f/log.jsonl").read_text())
    loss = torch.nn.functional.cross_entropy(torch.tensor(scores.logits), torch.tensor(scores.labels))
    assert loss.item() == pytest.approx(logged["val/loss"], rel=1e-4)


def test_clips_do_not_depend_on_how_they_are_computed(checkpoint: str) -> None:
    flags = ["--weights", checkpoint, "-j", "0", "--sampling", "random"]
    center_crop.main([*flags, "--output_dir", "scores/once", "--clip_index", "0-2"])
    center_crop.main([*flags, "--output_dir", "scores/apart", "--clip_index", "2", "-b", "1"])
    once, apart = (read_scores(Path(f"scores/{name}/2_crop0.pkl")) for name in ("once", "apart"))
    assert np.allclose(once.logits, apart.logits, atol=1e-5)
    assert not np.allclose(once.logits, read_scores(Path("scores/once/0_crop0.pkl")).logits, atol=1e-5)


def test_overwrite_scores_a_view_again(checkpoint: str) -> None:
    flags = ["--weights", checkpoint, "-j", "0", "--output_dir", "scores/again"]
    center_crop.main(flags)
    path = Path("scores/again/0_crop0.pkl")
    before = path.stat().st_mtime_ns
    center_crop.main(flags)
    assert path.stat().st_mtime_ns == before
    center_crop.main([*flags, "--overwrite"])
    assert path.stat().st_mtime_ns != before


@pytest.mark.parametrize("net", NETS)
def test_every_net_trains_and_is_tested_and_merged(home: Path, net: str, capsys) -> None:
    train.main(["mine", *own_data_flags(home / "own"), "--net", net, "--arch", "resnet18", *TINY, "--suffix", "nets"])
    folder = f"scores/{net}"
    center_crop.main(["--weights", f"runs/{net}_mine_resnet18_2f_nets/ckpt.pth.tar", "--output_dir", folder, "-j", "0"])
    pkl_to_results.main(["--output_dir", folder])
    assert f"{folder}: {net} resnet18, 2 x" in capsys.readouterr().out


def test_a_checkpoint_of_another_net(checkpoint: str) -> None:
    with pytest.raises(InputError, match="net H2CN, but this run has TSN"):
        center_crop.main(["--weights", checkpoint, "--net", "TSN", "--output_dir", "scores/bad", "-j", "0"])
    with pytest.raises(InputError, match="missing|unexpected"):
        train.main(
            [
                "mine",
                *own_data_flags(Path("own")),
                "--arch",
                "resnet18",
                *TINY,
                "--net",
                "TSN",
                "--tune_from",
                checkpoint,
            ]
        )


def test_official_weights(home: Path, monkeypatch) -> None:
    torch.save({"state_dict": {f"module.{k}": v.float() for k, v in official_state().items()}}, "official.pth.tar")
    flags = [
        "something",
        "--weights",
        "official.pth.tar",
        "--output_dir",
        "scores/official",
        "-j",
        "0",
        "--batch_size",
        "1",
    ]
    with pytest.raises(InputError, match=r"does not say its data set; name it"):
        center_crop.main(flags[1:])
    center_crop.main(flags)
    assert read_scores(Path("scores/official/0_crop0.pkl")).logits.shape == (3, 174)


CONTRADICTIONS = [
    (["--archs", "resnet50"], "arch resnet18, but this run has resnet50"),
    (["--test_segments", "4"], "number of segments 2, but this run has 4"),
    (["something"], r"class names \(3 classes\), but this run has 174 classes"),
    (["somethingv4"], "'somethingv4' is not known"),
    (["--root_path", "gone"], "gone"),
    (["--val_list", "gone.txt"], r"gone\.txt"),
    (["--output_dir", "/proc/no"], "--output_dir"),
]


@pytest.mark.parametrize(("flags", "words"), CONTRADICTIONS, ids=[flags[0] for flags, _ in CONTRADICTIONS])
def test_a_test_refuses_what_contradicts_its_weights(checkpoint: str, flags: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        center_crop.main(["--weights", checkpoint, "--output_dir", "scores/bad", "-j", "0", *flags])


def test_weights_of_a_data_set_with_as_many_classes_are_refused(checkpoint: str, home: Path) -> None:
    """Something-Something V1 and V2 both have 174 classes: only the names tell."""
    stored = read_checkpoint(checkpoint)
    stored["trained_on"]["class_names"] = ["a", "b", "c"]
    save_checkpoint(home / "v2.pth.tar", stored)
    with pytest.raises(InputError, match="class names .0: 'a'., but this run has 0: 'Pushing"):
        center_crop.main(["--weights", "v2.pth.tar", "--output_dir", "scores/v2", "-j", "0"])


def test_a_folder_takes_views_of_one_protocol(checkpoint: str) -> None:
    flags = ["--weights", checkpoint, "-j", "0", "--output_dir", "scores/one"]
    center_crop.main(flags)
    with pytest.raises(InputError, match="holds views with sampling 'centre of each segment'"):
        center_crop.main([*flags, "--clip_index", "0-1"])
    with pytest.raises(InputError, match="holds views with test_crops 1, this run has 3"):
        center_crop.main(flags, crops=3)
    center_crop.main([*flags, "--sampling", "random", "--clip_index", "1", "--overwrite"])
    assert [path.name for path in Path("scores/one").glob("*.pkl")] == ["1_crop0.pkl"]  # the other was of another kind


def test_a_test_stops_at_a_truncated_frame(checkpoint: str, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "damaged")
    path = root / "frames" / "val 1" / "00004.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    flags = ["mine", "--weights", checkpoint, *own_data_flags(root), "--output_dir", "scores/damaged", "-j", "2"]
    flags = [part for part in flags if part != "--train_list" and not part.endswith("train.txt")]
    with pytest.raises(InputError, match=r"val 1/00004\.jpg cannot be read"):
        center_crop.main(flags)
    assert not list(Path("scores/damaged").glob("*.pkl"))


@pytest.mark.parametrize("text", ["3-1", "a", "", "1,,2", "-1"])
def test_bad_clip_numbers(text: str, capsys) -> None:
    with pytest.raises(SystemExit):
        center_crop.main(["--weights", "x", "--output_dir", "y", f"--clip_index={text}"])
    assert "write a clip as 0, a range as 0-9" in capsys.readouterr().err


def test_predict_a_folder_an_archive_and_a_video_file(checkpoint: str, tmp_path: Path, capsys) -> None:
    write_video(tmp_path / "clip.mp4", 12)
    shutil.make_archive(str(tmp_path / "clip"), "zip", "own/frames/val 0")
    for source in ("own/frames/val 0", str(tmp_path / "clip.zip"), str(tmp_path / "clip.mp4")):
        predict.main([source, "--weights", checkpoint])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3
        shares = [float(line.split("%")[0]) for line in lines]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert lines[0].split("%  ")[1] in CLASSES


@pytest.mark.parametrize(
    ("content", "words"), [(None, "there is no"), (b"text", "cannot be opened"), ("folder", "no frames")]
)
def test_predict_what_is_no_video(checkpoint: str, tmp_path: Path, content, words: str) -> None:
    source = tmp_path / "source"
    if content == "folder":
        source.mkdir()
    elif content is not None:
        source.write_bytes(content)
    with pytest.raises(InputError, match=words):
        predict.main([str(source), "--weights", checkpoint])
