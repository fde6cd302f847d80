"""Sliding windows over a long video, in one pass, with one window of frames in memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from pathlib import Path

import numpy as np

from common.errors import InputError
from datasets.reading.timed_frames import TimedFrame

ROUNDING = 1e-6  # seconds
MOST_FRAMES = 20_000  # in a window


class Window:
    """A part of a video, from `start` to `end` seconds; a `Reader` of its frames."""

    def __init__(self, path: Path, start: float, end: float, frames: Iterable[TimedFrame]) -> None:
        self.path, self.start, self.end = path, start, end
        inside = [(time, image) for time, image in frames if start - ROUNDING <= time < end - ROUNDING]
        self.images = [image for _, image in inside]
        self.times = [time for time, _ in inside]
        self.num_frames = len(self.images)

    def known_times(self) -> tuple[np.ndarray, float]:
        """As `VideoFile.known_times`."""
        return np.array(self.times) - self.times[0], 0.0

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As `Reader.frames`; 0 is the window's first frame."""
        return ((number, self.images[number]) for number in numbers)


def sliding_windows(frames: Iterable[TimedFrame], path: Path, length: float, stride: float) -> Iterator[Window]:
    """Windows that start every `stride` seconds, each given once a later frame has come.

    Where the last one would reach past the end, it starts earlier, so that it ends with the video. A video shorter than
    a window is one window. A window without frames is left out.
    """
    kept: deque[TimedFrame] = deque()  # the frames of the last `length` seconds
    count, step = 0, inf  # windows; seconds between the closest frames
    for time, image in frames:
        while time >= count * stride + length - ROUNDING:
            window = Window(path, count * stride, count * stride + length, kept)
            count += 1
            if window.images:
                yield window
            else:  # over a gap
                count = max(count, int((time - length) / stride))
        while kept and kept[0][0] < time - length - ROUNDING:
            kept.popleft()
        step = min(step, time - kept[-1][0]) if kept else step
        kept.append((time, image))
        if len(kept) > MOST_FRAMES:
            raise InputError(
                f"{path}: more than {MOST_FRAMES:,} frames in {length:g} seconds; give a shorter --window, or --fps if "
                "the times in the file are wrong"
            )
    if kept:
        end = kept[-1][0] + (step if step < inf else 0.0)
        if count == 0 or count * stride < end - ROUNDING:
            window = Window(path, max(end - length, 0.0), end + 2 * ROUNDING, kept)
            if window.images:  # a damaged time may be too large for `ROUNDING`
                yield window
