"""Class names with HTML, terminal escapes, formulas and template code, through a training, a test and its report."""

import csv
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from video_files import own_data_flags, write_dataset

import pkl_to_results
import test_models_center_crop as center_crop
import train

pytestmark = pytest.mark.slow

NAMES = ("<script>alert(1)</script>", "\x1b[2J$\\frac{$ %s {} {{7*7}}", '=HYPERLINK("x"),\u202etxt.exe')


def test_names_are_only_shown(tmp_path: Path, monkeypatch, tiny_network) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_dataset(tmp_path / "data", train=6, val=3, num_frames=5, classes=NAMES)
    small = ["--num_segments", "4", "--input_size", "32", "-b", "2", "-j", "0", "--epochs", "1", "--mix", "mixup"]
    train.main(["mine", "RGB", *own_data_flags(root), "--net", "Tiny", *small])
    run = Path("runs/Tiny_mine_none_4f")
    events = EventAccumulator(str(run)).Reload()
    assert set(events.Tags()["images"]) == {"val/confusion", "train/mixed"}
    data = ["--root_path", str(root / "frames"), "--val_list", str(root / "val.txt")]
    center_crop.main(["--weights", str(run / "ckpt.best.pth.tar"), *data, "-j", "0", "--output_dir", "scores"])
    pkl_to_results.main(["--output_dir", "scores", "--report"])
    page = Path("scores/report.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "{{7*7}}" in page
    assert "\x1b" not in page
    with Path("scores/per_class.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(NAMES)  # tables hold names as they are
