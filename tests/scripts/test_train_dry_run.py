"""train.py --dry_run: what it prints, that nothing is left behind, and that its options can be read back."""

from pathlib import Path

import pytest
from PIL import Image
from video_files import own_data_flags, write_dataset

import train
from common.errors import InputError

pytestmark = pytest.mark.slow

NAME = "TSN_mine_resnet10_2f"
SMALL = ["--net", "TSN", "--arch", "resnet10", "--num_segments", "2", "--input_size", "32", "-b", "2", "-j", "0"]


def test_a_dry_run_shows_sizes_and_leaves_no_run(run, capsys) -> None:
    rate = ["--epochs", "4", "--lr_steps", "2", "--warmup", "1", "--warmup_start", "0", "--freeze", "stem"]
    run(*rate, "--accumulate", "2", "--mix", "mixup", "--dry_run", "rate.png")
    printed = capsys.readouterr().out
    assert "random weights" in printed
    train_clips, steps, val = 6, 2, 5
    assert f"{NAME}: {train_clips} train videos, {val} val videos" in printed
    assert f"{steps} steps per epoch, {4 * steps} steps in all" in printed
    assert "0 after 0, 0.01 after 1, 0.001 after 2, 0.001 after 3 epochs, 0.001 at the end" in printed
    assert "ms per step (mean of 1)" in printed
    assert "peak memory" in printed
    assert not Path("runs").exists()
    with Image.open("rate.png") as picture:
        assert picture.width > 500
    Path("run.toml").write_text(printed[printed.index("dataset =") : printed.index("\n\n")])
    train.main(["--config", "run.toml", "--epochs", "1"])
    assert (Path("runs") / NAME / "ckpt.pth.tar").exists()


def test_a_dry_run_names_unreadable_frames(run, tmp_path: Path, capsys) -> None:
    root = write_dataset(tmp_path / "damaged")
    for number in range(1, 7):
        (root / "frames" / "train 0" / f"{number:05d}.jpg").write_bytes(b"")
    train.main(["damaged", *own_data_flags(root), *SMALL, "--dry_run"])
    assert "train 0" in capsys.readouterr().out.partition("could not be read")[2]


def test_what_a_dry_run_cannot_show(run) -> None:
    with pytest.raises(InputError, match="--dry_run.*--resume"):
        run("--dry_run", "--resume", "auto")
    with pytest.raises(InputError, match="none/rate.png"):
        run("--dry_run", "none/rate.png")
