"""A video's frames under other numbers: those of a part of it, or of the video at another frame rate."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from common.errors import InputError
from datasets.reading.video_file import VideoFile
from datasets.records import Window

ROUNDING = 1e-6  # seconds
MOST_FRAMES = 100_000_000  # more mean that a time in the file is wrong


class Renumbered:
    """Some frames of a reader's video, numbered from 0: a `datasets.reading.readers.Reader`."""

    def __init__(self, reader: Any, numbers: Sequence[int] | np.ndarray) -> None:
        """`numbers`: frame numbers in the video, in ascending order, possibly repeated."""
        self.reader, self.path, self.numbers = reader, reader.path, numbers
        self.num_frames = len(numbers)

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As `Reader.frames`; the nearest readable frame may be one that is not among these."""
        wanted = np.asarray(numbers)
        sources = np.array([self.numbers[number] for number in numbers])
        for source, image in self.reader.frames(np.unique(sources).tolist(), replaced):
            for number in wanted[sources == source].tolist():
                yield number, image


class Part(Renumbered):
    """The frames of a window."""

    def known_times(self) -> tuple[np.ndarray, float]:
        """As `VideoFile.known_times`, from the window's first frame."""
        times, tick = self.reader.known_times()
        inside = times[self.numbers[0] : self.numbers[-1] + 1]
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
        return Part(whole, range(int(window.start) - 1, int(window.end)))
    if not isinstance(whole, VideoFile):
        raise InputError(f"{whole.path} has images without timestamps; write the window {window} in frames")
    times = np.round(whole.times(), 6).tolist()  # as exact as windows are
    first, end = (bisect_left(times, time) for time in (window.start, window.end))
    if first == end:
        raise InputError(f"{whole.path} has no frame in the window {window}: its last one is at {times[-1]:g} s")
    whole.num_frames = len(times)
    return Part(whole, range(first, end))


def at_rate(reader: Any, rate: float) -> Any:
    """The reader of the same video at `rate` frames per second: frame i is the one shown after i / rate seconds.

    `rate` 0: the reader itself.

    Raises:
        InputError: the video has no times, such as images, or wrong ones.
    """
    if not rate:
        return reader
    if not hasattr(reader.reader if isinstance(reader, Part) else reader, "known_times"):
        raise InputError(
            f"{reader.path} has images without timestamps, which cannot be read at {rate:g} frames per "
            f"second; extract them at this rate (scripts/extract_frames.py --fps {rate:g}) and give --frame_rate 0"
        )
    times, tick = reader.known_times()
    if times[-1] * rate > MOST_FRAMES:
        raise InputError(
            f"{reader.path}: its frames span {times[-1]:,.0f} seconds, so their times are wrong; convert it"
        )
    return Renumbered(reader, frames_at_rate(times, reader.num_frames, rate, tick))


def frames_at_rate(times: np.ndarray, num_frames: int, rate: float, tick: float = 0.0) -> np.ndarray:
    """The numbers of the frames that a video shows after 0, 1, 2, ... / rate seconds.

    With a constant frame rate they are those of torchvision's `VideoClips`: i * step, rounded down, where `step` is the
    video's frame rate over `rate`; as many as fit whole, or, if `step` is a whole number, every such frame.

    Args:
        times: (F,) times of the frames in seconds from the first, ascending.
        num_frames: n; frames beyond F are assumed at the mean distance; frames beyond n are left out.
        rate: frames per second.
        tick: unit of the video's clock in seconds.
    """
    times = times[:num_frames]
    last = times[-1]
    if last <= 0:
        return np.zeros(1, int)
    distance = last / (len(times) - 1)
    rounding = max(tick, ROUNDING) if tick < distance / 8 else ROUNDING  # a slower clock counts the frames: it is exact
    times = np.append(times, last + distance * np.arange(1, num_frames - len(times) + 1))
    step = 1 / (distance * rate)
    is_whole = abs(step - round(step)) <= step * rounding / last
    count = -(-num_frames // round(step)) if is_whole else int(num_frames / step + rounding * rate)
    moments = np.arange(max(count, 1)) / rate
    return np.searchsorted(times, moments + rounding / 2, side="right") - 1
