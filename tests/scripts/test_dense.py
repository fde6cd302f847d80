"""Dense clips and frame rates through whole scripts: trained, recorded, and tested densely by default."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from video_files import CLASSES, write_frames, write_video

import hubconf
import predict
import test_models_center_crop as center_crop
import train
from common.errors import InputError
from datasets.reading.video_decoding import decode_video
from ops.scoring.pickles import read_scores
from ops.weights.checkpoint import Weights
from ops.weights.file import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

DENSE = ["--sampling", "dense", "--frame_stride", "3", "--frame_rate", "5"]
RUN = Path("runs/Tiny_mine_none_4f")
CKPT = str(RUN / "ckpt.pth.tar")


@pytest.fixture(scope="module")
def home(tiny_network, tmp_path_factory) -> Path:
    """Video files of 2 to 8 seconds, and a network trained on them."""
    home = tmp_path_factory.mktemp("home")
    for name in ("train", "val"):
        lengths = [20, 50, 80]
        for label, frames in enumerate(lengths):
            write_video(home / "videos" / f"{name}{label}.mp4", frames, codec="libx264", rate=10)
        (home / f"{name}.txt").write_text("".join(f"{name}{i}.mp4 {n} {i}\n" for i, n in enumerate(lengths)))
    (home / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        train.main([*training(), *DENSE])
    return home


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch) -> None:
    monkeypatch.chdir(home)


def training() -> list[str]:
    flags = ["mine", "--net", "Tiny", "--num_segments", "4", "--input_size", "32", "-j", "0"]
    data = ["--root_path", "videos", "--train_list", "train.txt", "--val_list", "val.txt", "--classes", "classes.txt"]
    return [*flags, *data, "-b", "3", "--epochs", "1"]


def score(folder: Path, *flags: str) -> dict[str, Any]:
    """Score the val list; the protocol."""
    center_crop.main(["--weights", CKPT, "-j", "0", "--output_dir", str(folder), *flags])
    return json.loads((folder / "protocol.json").read_text())


def logits_of(numbers: list[int]) -> np.ndarray:
    """The logits of a clip of these frames of the last val video."""
    frames = np.stack(list(decode_video(Path("videos/val2.mp4"))))
    net = hubconf.load(CKPT)
    with torch.inference_mode():
        return net(net.preprocess(frames[numbers])).numpy()


def test_the_training_is_recorded() -> None:
    made_for = Weights.read(CKPT).require_trained_on()
    assert (made_for.frame_stride, made_for.frame_rate) == (3, 5.0)
    with pytest.raises(InputError, match="--frame_stride 3, but this run has 0"):
        train.main([*training(), "--resume", CKPT, "--epochs", "2"])


def test_without_the_options_the_record_is_that_of_older_versions() -> None:
    train.main([*training(), "--suffix", "plain"])
    stored = read_checkpoint(f"{RUN}_plain/ckpt.pth.tar")["trained_on"]
    assert not {"frame_stride", "frame_rate"}.intersection(stored)


def test_a_dense_network_is_tested_densely(tmp_path: Path) -> None:
    """Val video 2 has 40 frames at 5 per second: each second one. A clip covers 12 of them."""
    assert score(tmp_path / "1")["sampling"] == "dense, 3 frames apart, 1 clip, at 5 frames per second"
    logged = json.loads((RUN / "log.jsonl").read_text())
    scores = read_scores(tmp_path / "1" / "0_crop0.pkl")
    loss = torch.nn.functional.cross_entropy(torch.tensor(scores.logits), torch.tensor(scores.labels))
    assert loss.item() == pytest.approx(logged["val/loss"], rel=1e-4)

    every_second = list(range(0, 80, 2))  # `preprocess` takes the middle clip of these
    assert np.allclose(scores.logits[2], logits_of(every_second)[0], atol=1e-5)
    score(tmp_path / "3", "--clip_index", "0-2")
    for clip, start in enumerate((0, 14, 28)):
        numbers = every_second[start : start + 12]
        expected = logits_of(numbers)[0]
        assert np.allclose(read_scores(tmp_path / "3" / f"{clip}_crop0.pkl").logits[2], expected, atol=1e-5)


def test_other_samplings_do_not_share_a_folder(tmp_path: Path) -> None:
    score(tmp_path, "--clip_index", "1", "--num_clips", "3")
    for flags in (
        ["--sampling", "centre"],
        ["--sampling", "even", "--clip_index", "2"],
        ["--clip_index", "0-1"],
        ["--frame_rate", "0", "--num_clips", "3"],
        ["--sampling", "dense", "--frame_stride", "2", "--num_clips", "3"],
    ):
        with pytest.raises(InputError, match=r"holds views with sampling 'dense, 3 frames apart, 3 clips.*--num_clips"):
            score(tmp_path, *flags)
    score(tmp_path, "--clip_index", "0,2", "--num_clips", "3")
    assert len(list(tmp_path.glob("*.pkl"))) == 3


def test_predictions_are_dense(tmp_path: Path) -> None:
    score(tmp_path, "--clip_index", "0-1")
    scores = [read_scores(tmp_path / f"{clip}_crop0.pkl").logits[2] for clip in (0, 1)]
    expected = torch.tensor(np.stack(scores)).double().softmax(-1).mean(0).max().item()
    assert probability(tmp_path, "--clips", "2") == pytest.approx(expected, abs=1e-4)
    every_second = torch.tensor(logits_of(list(range(0, 40, 2)))).double().softmax(-1).max().item()
    assert probability(tmp_path, "--window", "4") == pytest.approx(every_second, abs=1e-4)  # its first four seconds


def probability(folder: Path, *flags: str) -> float:
    """Of the most likely class of the last val video, or of its first window."""
    predict.main(["videos/val2.mp4", "--weights", CKPT, *flags, "--csv", str(folder / "p.csv")])
    with (folder / "p.csv").open(newline="") as file:
        return float(next(csv.DictReader(file))["probability_1"])


def test_images_are_refused_without_a_rate(tmp_path: Path) -> None:
    shutil.copytree("videos", tmp_path / "videos")
    (tmp_path / "videos" / "val1.mp4").unlink()
    write_frames(tmp_path / "videos" / "val1.mp4", 50)
    with pytest.raises(InputError, match=r"val1\.mp4 has images.*--frame_rate 0"):
        score(tmp_path / "a", "--root_path", str(tmp_path / "videos"))
    score(tmp_path / "b", "--root_path", str(tmp_path / "videos"), "--frame_rate", "0")
