"""Sliding windows over numbered frames."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from datasets import windows
from datasets.windows import sliding_windows


def cut(times: list[float], length: float, stride: float) -> list[tuple[float, float, int, int]]:
    """Start, end, first and last frame of each window."""
    frames = [(time, np.array([number])) for number, time in enumerate(times)]
    found = sliding_windows(frames, Path("v"), length, stride)
    return [(round(w.start, 3), round(w.end, 3), int(w.images[0][0]), int(w.images[-1][0])) for w in found]


def at(rate: int, count: int) -> list[float]:
    return [number / rate for number in range(count)]


def test_windows_cover_the_video_and_the_last_one_ends_with_it() -> None:
    """Also with rates and strides that have no exact binary form."""
    assert cut(at(10, 40), 2, 1) == [(0, 2, 0, 19), (1, 3, 10, 29), (2, 4, 20, 39)]
    assert cut(at(10, 45), 2, 1) == [(0, 2, 0, 19), (1, 3, 10, 29), (2, 4, 20, 39), (2.5, 4.5, 25, 44)]
    assert [last - first for *_, first, last in cut(at(30, 300), 0.7, 0.1)] == [20] * 94


@pytest.mark.parametrize(("count", "end"), [(1, 0.0), (7, 0.7), (20, 2.0)])
def test_a_short_video_is_one_window(count: int, end: float) -> None:
    assert cut(at(10, count), 2, 1) == [(0, end, 0, count - 1)]


def test_windows_with_gaps_between_them() -> None:
    assert cut(at(10, 100), 2, 5) == [(0, 2, 0, 19), (5, 7, 50, 69)]
    assert cut(at(10, 110), 2, 5) == [(0, 2, 0, 19), (5, 7, 50, 69), (9, 11, 90, 109)]


def test_a_still_screen_gives_no_empty_windows() -> None:
    """A screen recording has no frames while nothing changes."""
    assert cut([0.0, 0.1, 50.0, 50.1], 2, 1) == [(0, 2, 0, 1), (48.2, 50.2, 2, 3)]
    assert cut([0.0, 0.1, 50.0], 2, 1) == [(0, 2, 0, 1), (48.1, 50.1, 2, 2)]
    assert cut([0.0, 1e9], 2, 1)[0] == (0, 2, 0, 0)  # a damaged time
    assert [window[2:] for window in cut([0.0, 1e9], 2, 1)] == [(0, 0), (1, 1)]
    assert [window[2:] for window in cut([0.0, 1e14], 2, 1)][:1] == [(0, 0)]


def test_no_more_than_a_window_is_in_memory() -> None:
    images = [np.zeros(1) for _ in range(3)]
    endless = ((number / 10, images[0]) for number in itertools.count())
    for count, window in enumerate(sliding_windows(endless, Path("v"), 2, 1)):
        assert window.num_frames == 20
        if count == 50:
            break


def test_a_window_of_too_many_frames(monkeypatch) -> None:
    """As in a file whose times all are 0."""
    monkeypatch.setattr(windows, "MOST_FRAMES", 30)
    with pytest.raises(InputError, match="v: more than 30 frames in 2 seconds"):
        cut([0.0] * 31, 2, 1)
