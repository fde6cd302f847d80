"""A part of a video, read like a video of its own."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from common.errors import InputError
from datasets.reading.video_file import VideoFile
from datasets.records import Window


class Part:
    """The frames of a window, numbered from 0: a `datasets.reading.readers.Reader`."""

    def __init__(self, whole: Any, first: int, num_frames: int) -> None:
        self.whole, self.first, self.num_frames = whole, first, num_frames
        self.path = whole.path

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As `Reader.frames`; the nearest readable frame may be outside the window."""
        for number, frame in self.whole.frames([self.first + number for number in numbers], replaced):
            yield number - self.first, frame

    def known_times(self) -> tuple[np.ndarray, float]:
        """As `VideoFile.known_times`, from the window's first frame."""
        times, tick = self.whole.known_times()
        inside = times[self.first : self.first + self.num_frames]
        if not len(inside):
            raise InputError(f"{self.path} has {len(times)} frames, but a window in the list starts after them")
        return inside - inside[0], tick


def part_of(whole: Any, window: Window | None) -> Any:
    """The reader of a window of a reader's video, or the reader itself.

    Raises:
        InputError: a window in seconds has no frame, or the frames have no times.
    """
    if window is None:
        return whole
    if not window.in_seconds:
        return Part(whole, int(window.start) - 1, int(window.end - window.start) + 1)
    if not isinstance(whole, VideoFile):
        raise InputError(f"{whole.path} has images without timestamps; write the window {window} in frames")
    times = np.round(whole.times(), 6).tolist()  # as exact as windows are
    first, end = (bisect_left(times, time) for time in (window.start, window.end))
    if first == end:
        raise InputError(f"{whole.path} has no frame in the window {window}: its last one is at {times[-1]:g} s")
    whole.num_frames = len(times)
    return Part(whole, first, end - first)
