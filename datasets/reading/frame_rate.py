"""Videos read at another frame rate, by the times of their frames."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.errors import InputError
from datasets.reading.readers import Reader

ROUNDING = 1e-6  # seconds
MOST_FRAMES = 100_000_000  # more mean that a time in the file is wrong


class AtRate:
    """A `Reader` of a video at another frame rate: frame i is the one that the video shows after i / rate seconds."""

    def __init__(self, reader: Reader, numbers: np.ndarray) -> None:
        """`numbers`: frames of the video, ascending; at a rate above the video's some are repeated."""
        self.reader, self.path, self.numbers = reader, reader.path, numbers
        self.num_frames = len(numbers)

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As `Reader.frames`."""
        wanted = np.asarray(numbers)
        sources = self.numbers[wanted]
        for source, image in self.reader.frames(np.unique(sources).tolist(), replaced):
            for number in wanted[sources == source].tolist():
                yield number, image


def at_rate(reader: Reader, rate: float) -> Reader:
    """The reader of the same video at `rate` frames per second; 0: the reader itself.

    Raises:
        InputError: the video has no times, such as images, or wrong ones.
    """
    if not rate:
        return reader
    whole = getattr(reader, "whole", reader)  # of a window
    if not hasattr(whole, "known_times") or not hasattr(reader, "known_times"):
        raise InputError(
            f"{reader.path} has images without timestamps, which cannot be read at {rate:g} frames per "
            f"second; extract them at this rate (scripts/extract_frames.py --fps {rate:g}) and give --frame_rate 0"
        )
    times, tick = reader.known_times()
    if times[-1] * rate > MOST_FRAMES:
        raise InputError(
            f"{reader.path}: its frames span {times[-1]:,.0f} seconds, so their times are wrong; convert it"
        )
    return AtRate(reader, frames_at_rate(times, reader.num_frames, rate, tick))


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
