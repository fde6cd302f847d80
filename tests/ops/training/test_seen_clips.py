"""Training clips in a val or test list: found, refused in training, and reported beside a test's accuracy."""

import json
import re
from pathlib import Path

import pytest
import torch
from video_files import write_dataset

import pkl_to_results
import test_models_center_crop as center_crop
import train
from common.errors import InputError
from datasets.lists import clip_ids, read_list
from ops.training.seen_clips import clip_digests, find_seen, join_records, recorded_clips
from ops.weights.file import read_checkpoint, save_checkpoint
from scripts import results_table

TINY = ["--net", "Tiny", "--num_segments", "1", "--input_size", "32", "-j", "0", "-b", "3"]
RUN = "runs/Tiny_mine_none_1f"


def test_a_record_finds_its_clips() -> None:
    record = join_records({}, {"mine": clip_digests(["a", "b", "a", "\udce9"])})
    assert record["mine"].shape == (3,)
    assert find_seen(record, "mine", ["c", "b", "\udce9", "A"]) == ["b", "\udce9"]
    assert find_seen(record, "other", ["a"]) == []
    more = join_records(record, {"mine": clip_digests(["c", "b"]), "other": clip_digests(["a"])})
    assert find_seen(more, "mine", ["a", "c", "d"]) == ["a", "c"]
    assert find_seen(more, "other", ["a", "b"]) == ["a"]


def test_frames_and_videos_of_the_same_name_are_one_clip(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("./w/a.MP4 0\nw/b 3 0\nw/c.x 3 0\n")
    assert list(clip_ids(read_list(tmp_path / "list.txt"))) == ["w/a", "w/b", "w/c.x"]


@pytest.mark.parametrize("record", [3, {"mine": [1]}, {"mine": torch.ones(2)}, {3: clip_digests(["a"])}])
def test_a_damaged_record(record: object) -> None:
    with pytest.raises(InputError, match=r"CKPT has a damaged record"):
        recorded_clips({"seen_clips": record}, "CKPT")
    assert recorded_clips({}, "CKPT") == {}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_plots: None, tiny_network: None) -> Path:
    """A data set "mine" of 6 train and 3 val clips, and a second split of the same, whose val clips are train clips."""
    home = write_dataset(tmp_path / "data" / "mine", train=6, val=3, num_frames=2)
    lines = (home / "train.txt").read_text().splitlines(keepends=True)
    (home / "val_other.txt").write_text("".join(lines[:2]) + (home / "val.txt").read_text().splitlines(True)[0])
    (home / "train_other.txt").write_text("".join(lines[2:]))
    monkeypatch.chdir(tmp_path)
    return home


def test_a_run_does_not_choose_its_best_epoch_on_its_training_clips(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    val_list = ["--val_list", str(home / "val_other.txt")]
    for dry in ([], ["--dry_run"]):
        with pytest.raises(InputError, match=r"2 of the 3 clips of \S+val_other.txt .*train 0, .*--allow_overlap"):
            train.main(["mine", *TINY, *val_list, "--epochs", "1", *dry])
    assert not Path("runs").exists() or not any(Path("runs").iterdir())
    train.main(["mine", *TINY, *val_list, "--epochs", "1", "--allow_overlap"])
    assert "2 of the 3 clips" in capsys.readouterr().out

    best = f"{RUN}/ckpt.best.pth.tar"
    other = ["mine", *TINY, "--split", "other", "--epochs", "1"]
    with pytest.raises(InputError, match=r"2 of the 3 clips"):  # the start has seen them
        train.main([*other, "--tune_from", best])
    train.main([*other, "--tune_from", best, "--allow_overlap"])
    content = read_checkpoint("runs/Tiny_mine_other_none_1f/ckpt.pth.tar")
    assert len(content["seen_clips"]["mine"]) == 6

    capsys.readouterr()
    train.main([*other, "-e", "--resume", "runs/Tiny_mine_other_none_1f/ckpt.best.pth.tar"])
    assert "2 of the 3 clips" in capsys.readouterr().out


def test_a_part_of_a_training_video_is_not_a_val_clip(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "val_parts.txt").write_text("val 0 2 0\ntrain 1 1f 2f 1\n")
    flags = ["mine", *TINY, "--val_list", str(home / "val_parts.txt"), "--epochs", "1"]
    with pytest.raises(InputError, match=r"1 of the 2 clips .*val_parts.txt .* overlap .*: train 1 1f 2f; .*--allow"):
        train.main(flags)
    train.main([*flags, "--allow_overlap"])
    assert "1 of the 2 clips" in capsys.readouterr().out


def test_resuming_with_other_lists_remembers_the_first_ones(home: Path) -> None:
    train.main(["mine", *TINY, "--epochs", "1"])
    lists = ["--train_list", str(home / "train_other.txt"), "--val_list", str(home / "val_other.txt")]
    with pytest.raises(InputError, match=r"2 of the 3 clips"):
        train.main(["mine", *TINY, *lists, "--epochs", "2", "--resume", "auto"])
    train.main(["mine", *TINY, "--epochs", "2", "--resume", "auto"])
    assert len(read_checkpoint(f"{RUN}/ckpt.pth.tar")["seen_clips"]["mine"]) == 6


def test_a_test_reports_how_many_videos_were_trained_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["mine", *TINY, "--epochs", "1"])
    weights = ["--weights", f"{RUN}/ckpt.best.pth.tar", "-j", "0"]
    for split in ([], ["--split", "other"]):
        capsys.readouterr()
        center_crop.main([*weights, *split, "--output_dir", f"scores{len(split)}"])
        pkl_to_results.main(["--output_dir", f"scores{len(split)}"])
        out = capsys.readouterr().out
        assert ("training clips" in out) == bool(split)
        assert json.loads(Path(f"scores{len(split)}/protocol.json").read_text())["training_clips"] == len(split)
    assert "train 0, " in out
    assert "2 of the 3 videos are training clips" in out
    results_table.main(["scores0", "scores2"])
    assert "2 training clips" in capsys.readouterr().out

    capsys.readouterr()
    home.rename(home.with_name("renamed"))  # the same clips under another name
    center_crop.main(["renamed", *weights, "--split", "other", "--output_dir", "renamed"])
    assert re.search(r"by their names, 2 of the 3 clips .*: train 0, ", capsys.readouterr().out)
    home.with_name("renamed").rename(home)

    content = read_checkpoint(f"{RUN}/ckpt.best.pth.tar")  # of an earlier version: nobody knows
    del content["seen_clips"]
    save_checkpoint(Path("old.pth.tar"), content)
    capsys.readouterr()
    center_crop.main(["--weights", "old.pth.tar", "-j", "0", "--split", "other", "--output_dir", "old"])
    assert "training clips" not in capsys.readouterr().out
