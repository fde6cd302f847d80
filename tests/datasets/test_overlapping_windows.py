"""Clips of one list that share time with clips of another."""

from pathlib import Path

import pytest

from datasets.lists import read_list
from datasets.overlapping_windows import overlapping
from datasets.records import Records


def records(path: Path, *clips: str) -> Records:
    path.write_text("".join(f"{clip} 0\n" for clip in clips))
    return read_list(path)


@pytest.mark.parametrize(
    ("clip", "other", "overlaps"),
    [
        ("a.mp4 1s 3s", "a.mp4 2.5s 4s", True),
        ("a.mp4 2s 3s", "./a.avi 1s 4s", True),  # the same video, which lists of frames call a
        ("a.mp4 1s 2s", "a.mp4 2s 3s", False),
        ("a 1f 9f", "a 8f 12f", True),
        ("a 5f 5f", "a 1f 9f", True),
        ("a 1f 9f", "a 9f 12f", False),
        ("a 1f 9f", "a 40", True),
        ("a.mp4", "a.mp4 3s 4s", True),
        ("a.mp4 1s 3s", "b.mp4 1s 3.5s", False),
        ("a.mp4 1s 3s", "a.mp4 1s 3s", False),  # an equal clip
        ("a.mp4 1s 3s", "a.mp4 1f 90f", False),  # not known
        ("a 12", "a 12", False),
    ],
)
def test_clips_that_share_time(tmp_path: Path, clip: str, other: str, overlaps: bool) -> None:
    others = records(tmp_path / "others.txt", "c 9f 12f", other)
    found = overlapping(records(tmp_path / "clips.txt", "c 1f 2f", clip), others)
    assert found == ([clip.replace(".mp4", "").removesuffix(" 12")] if overlaps else [])
