"""Tests that several processes of torchrun share, and shards: the files are those of one process, to the bit."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkpoint_files import CLASSES, write_checkpoint
from processes import exit_statuses_at_once
from two_processes import run_program
from video_files import write_dataset

import test_models_center_crop as center_crop
from common.errors import InputError
from ops.scoring.journal import ScoreJournal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flags(tmp_path_factory) -> list[str]:
    """Flags to test a small untrained network on two clips of nine videos, in five batches, with features."""
    root = write_dataset(tmp_path_factory.mktemp("own"), train=0, val=9, classes=tuple(CLASSES))
    write_checkpoint(root / "ckpt.pth.tar", "TSN")
    data = ["--root_path", root / "frames", "--val_list", root / "val.txt", "--classes", root / "classes.txt"]
    more = "-j 0 -b 2 -p 1 --clip_index 0-1 --dump_features float16"
    return [*map(str, data), "--weights", str(root / "ckpt.pth.tar"), *more.split()]


@pytest.fixture
def score(flags: list[str], capsys) -> Callable[..., str]:
    """Score in this process, and return what it printed."""

    def score(folder: Path, *more: str) -> str:
        center_crop.main([*flags, "--output_dir", str(folder), *more])
        return capsys.readouterr().out

    return score


@pytest.fixture(scope="module")
def whole(flags: list[str], tmp_path_factory) -> dict[str, bytes]:
    """The files of an undivided test: four views with features, the index and the protocol."""
    folder = tmp_path_factory.mktemp("whole")
    center_crop.main([*flags, "--output_dir", str(folder)])
    assert len(content(folder)) == 6
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


PROGRAM = """
import signal
import test_models_center_crop as center_crop
from ops.scoring.journal import ScoreJournal

class Killed(ScoreJournal):
    def append(self, batch):
        super().append(batch)
        if len(self.batches) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

def killed():
    center_crop.ScoreJournal = Killed
    run_script(lambda: center_crop.main([*sys.argv[1:], "--output_dir", "resumed"]))

print(in_two_processes(killed))
print(in_two_processes(lambda: run_script(lambda: center_crop.main([*sys.argv[1:], "--output_dir", "shared"]))))
"""


def test_two_processes_share_a_list(score, flags: list[str], whole: dict, tmp_path: Path, monkeypatch) -> None:
    """A test goes from one process to two, of which the main one is killed, and back to one."""

    class Stopped(ScoreJournal):
        def append(self, batch: np.ndarray) -> None:
            super().append(batch)
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(center_crop, "ScoreJournal", Stopped)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "resumed")
    done = run_program(tmp_path, PROGRAM, flags)
    statuses = [line for line in done.stdout.splitlines() if re.match(r"\[-?\d", line)]
    assert statuses[0].startswith(f"[-{signal.SIGKILL:d}, "), done.stderr
    assert not statuses[0].endswith(" 0]")
    assert statuses[1] == "[0, 0]", done.stderr
    assert "resuming after video 2 of 9" in done.stdout
    assert content(tmp_path / "shared") == whole
    assert done.stdout.count("clips 0, 1: 5/5 batches") == done.stdout.count("Merge:") == 1  # only one process prints
    assert "resuming after video 6 of 9" in score(tmp_path / "resumed")
    assert content(tmp_path / "resumed") == whole


def test_two_tests_in_one_folder(flags: list[str], whole: dict, tmp_path: Path) -> None:
    """Two commands that know nothing of one another. (With features, the slower one may be refused.)"""
    command = [*flags[: flags.index("--dump_features")], "--output_dir", str(tmp_path)]
    assert exit_statuses_at_once(lambda: center_crop.main(command)) == [0, 0]
    assert content(tmp_path) == {name: data for name, data in whole.items() if name.endswith((".pkl", ".json"))}


def test_shards_are_joined(score, whole: dict, tmp_path: Path) -> None:
    """Six shards of five batches: the last one is empty."""
    for number in range(1, 7):
        assert f"shard {number}/6" in score(tmp_path, "--shard", f"{number}/6")
    assert len(list(tmp_path.glob("clips_0-1_shard_*_of_6.unfinished"))) == 5
    printed = score(tmp_path)
    assert "joining 6 shards" in printed
    assert "batches" not in printed
    assert content(tmp_path) == whole
    score(tmp_path, "--shard", "1/6")
    assert content(tmp_path) == whole


def test_joining_shards_goes_on_after_an_interruption(score, whole: dict, tmp_path: Path, monkeypatch) -> None:
    for shard in ("2/2", "1/2"):
        score(tmp_path, "--shard", shard)

    def append(journal: ScoreJournal, batch: np.ndarray) -> None:
        real(journal, batch)
        if len(journal.batches) == 2:
            raise KeyboardInterrupt

    real = ScoreJournal.append
    monkeypatch.setattr(ScoreJournal, "append", append)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path)
    monkeypatch.undo()
    assert "resuming after video 4 of 9" in score(tmp_path)
    assert content(tmp_path) == whole


def test_shards_that_do_not_fit(score, whole: dict, tmp_path: Path) -> None:
    """A shard is missing, unfinished, a copy of another one, or scored with other options; then all is well."""
    score(tmp_path, "--shard", "1/3")
    with pytest.raises(InputError, match="2/3, 3/3 are missing or unfinished.*--shard 2/3"):
        score(tmp_path)
    first, second, third = (tmp_path / f"clips_0-1_shard_{number}_of_3.unfinished" for number in (1, 2, 3))
    second.write_bytes(first.read_bytes())
    with pytest.raises(InputError, match="shard_2_of_3.unfinished has scores with other shard"):
        score(tmp_path)
    second.unlink()
    score(tmp_path, "--shard", "2/3", "-b", "1")
    for more in ([], ["--shard", "2/3"]):
        with pytest.raises(InputError, match="shard_2_of_3.unfinished has scores with other batch_size"):
            score(tmp_path, *more)
    assert "2 videos" not in score(tmp_path, "--shard", "2/3", "--overwrite")
    score(tmp_path, "--shard", "3/3")
    third.write_bytes((whole_third := third.read_bytes())[:-1])
    with pytest.raises(InputError, match="3/3 is missing or unfinished"):
        score(tmp_path)
    score(tmp_path, "--shard", "3/3")
    assert third.read_bytes() == whole_third
    score(tmp_path)
    assert content(tmp_path) == whole
