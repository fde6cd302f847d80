"""What an unfinished test run leaves, and where the next one goes on."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from errors import InputError
from ops.score_journal import ScoreJournal

KEY = {"weights_sha256": "a", "clips": [0, 1], "batch_size": 2}


def batch(videos: int, seed: int = 0) -> tuple[np.ndarray, list[int], list[str]]:
    """Scores of 2 clips, 3 crops and 4 classes."""
    logits = np.random.default_rng(seed).normal(size=(2, 3, videos, 4)).astype(np.float32)
    return logits, list(range(videos)), [f"vidéo {seed} {i}" for i in range(videos)]


def journal(folder: Path, *, anew: bool = False, **changes) -> ScoreJournal:
    return ScoreJournal(folder, {**KEY, **changes}, anew=anew)


def test_the_next_run_finds_every_batch(tmp_path: Path) -> None:
    first = journal(tmp_path)
    assert first.videos == 0
    for seed, videos in enumerate((2, 2, 1)):
        first.add(*batch(videos, seed))
    again = journal(tmp_path)
    assert again.videos == 5
    for one, other in zip(first.scores(), again.scores(), strict=True):
        assert np.array_equal(one, other)
    assert again.scores().logits.shape == (2, 3, 5, 4)
    assert again.scores().logits.dtype == np.float32
    assert again.scores().video_ids.tolist() == ["vidéo 0 0", "vidéo 0 1", "vidéo 1 0", "vidéo 1 1", "vidéo 2 0"]
    again.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [1, 50, 400])
def test_a_batch_that_a_kill_cut_off_is_made_again(tmp_path: Path, cut: int) -> None:
    first = journal(tmp_path)
    first.add(*batch(2))
    whole = first.path.stat().st_size
    first.add(*batch(2, 1))
    os.truncate(first.path, first.path.stat().st_size - cut)
    again = journal(tmp_path)
    assert again.videos == 2
    assert again.path.stat().st_size == whole
    again.add(*batch(2, 1))
    assert journal(tmp_path).videos == 4


def test_another_run_has_another_journal(tmp_path: Path) -> None:
    journal(tmp_path).add(*batch(2))
    assert journal(tmp_path, batch_size=3).videos == 0
    assert journal(tmp_path, clips=[2]).videos == 0
    assert journal(tmp_path).videos == 2
    assert journal(tmp_path, anew=True).videos == 0
    assert journal(tmp_path).videos == 0


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(tmp_path: Path, monkeypatch) -> None:
    first = journal(tmp_path)
    first.add(*batch(2))

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device.*goes on behind video 2"):
        first.add(*batch(2, 1))
    assert journal(tmp_path).videos >= 2
