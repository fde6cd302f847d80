"""Frames of given numbers from a video file.

Frames are numbered in the order in which `decode_video` yields them. To read a few without decoding everything before
them, the reader first looks at the packets (their times and key frames; nothing is decoded) and jumps to key frames
(`video_jumps.py`). Every frame decoded after a jump is checked against the packets. If they disagree, or if the packets
do not identify the frames, the file is decoded from its start.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from common.errors import InputError
from datasets.reading.video_decoding import DAMAGED, BrokenOffError, ToRgb, decode_frames, not_to_its_end, open_video
from datasets.reading.video_jumps import IndexedVideo, decode_from_keys
from datasets.reading.video_packets import PacketIndex, index_packets, promised_frames

MOST_KEPT = 8 << 20  # bytes of a file whose packets are kept in memory, not read twice
CHECKED = 16  # frames at the start that must match the packets before packets are counted as frames
MOST_REORDERED = 16  # frames: a time that goes back further belongs to another recording, joined to the first


class WholePass(NamedTuple):
    """The result of decoding a whole video."""

    times: list[float | None]  # of the frames, in seconds; None: the file does not say
    fault: str  # why no more frames came; empty at a regular end
    promised: int  # frames by the header; 0: it does not say


class VideoFile:
    """A video file, with the same frames as `decode_video`, to the pixel."""

    def __init__(self, path: Path, num_frames: int | None = None) -> None:
        """Count the frames if their number is not given (the number in the header is wrong in some files).

        Raises:
            InputError: the frames must be counted, and the file cannot be opened, or has no video or no frames.
        """
        self.path = path
        self.num_frames = self._count() if num_frames is None else num_frames  # as listed, or counted

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Decode frames: see `Reader.frames`. The nearest readable frame is the last one before the unreadable one."""
        to_rgb = ToRgb()
        try:
            with self._opened() as video:
                for number, frame in decode_from_keys(video, numbers):
                    yield number, to_rgb(frame)
        except BrokenOffError:
            yield from self._from_the_start(numbers, replaced)

    def times(self) -> list[float]:
        """Times of all frames, in seconds from the first.

        Raises:
            InputError: the file lacks them, or breaks off.
        """
        if self.fault:
            raise not_to_its_end(self.path, self.fault)
        return self.known_times()[0].tolist()

    def known_times(self) -> tuple[np.ndarray, float]:
        """As `times`, for the frames before a fault; and the tick in seconds to which they are rounded (0: unknown)."""
        times: list[float | None]
        times = [time * self.index.tick for time in self.index.times] if self.index else self._whole.times
        known = [time for time in times if time is not None]
        if not known or len(known) < len(times):
            raise InputError(
                f"{self.path} lacks the times of its frames; convert it, or leave out --fps (--frame_rate)"
            )
        return _rising(np.array(known)), self.index.tick if self.index else 0.0

    @property
    def fault(self) -> str:
        """The place where the video breaks off, by its packets or else by decoding; empty if it does not."""
        return self.index.fault if self.index else self._whole.fault

    def count_by_decoding(self) -> int:
        """Number of frames that decoding gives.

        Raises:
            InputError: the video cannot be decoded to its end, or has no frames.
        """
        if self._whole.fault:
            raise not_to_its_end(self.path, self._whole.fault)
        if not self._whole.times:
            raise InputError(f"{self.path} has no frames; download the video again or drop it from the list")
        return len(self._whole.times)

    def count_by_packets(self) -> int | None:
        """Number of packets, if the first frames show that each is a frame; None: unknown without decoding."""
        with suppress(BrokenOffError), self._opened() as video:
            for _ in decode_from_keys(video, range(min(CHECKED, len(video.index.times)))):
                pass
            return video.index.num_frames
        return None

    def _count(self) -> int:
        """Number of frames: by the packets, or by decoding everything."""
        by_packets = self.count_by_packets()
        if by_packets is not None:
            return by_packets
        at_least = max(len(self._whole.times), self._whole.promised)
        return at_least if self._whole.fault and at_least else self.count_by_decoding()

    @cached_property
    def index(self) -> PacketIndex | None:
        """Times and key frames; None if the packets do not identify the frames."""
        with open_video(self.path, quick=True) as (container, stream):
            return index_packets(self.path, container, stream)

    @contextmanager
    def _opened(self) -> Iterator[IndexedVideo]:
        """The file, opened once for the index and the frames; `BrokenOffError` if the packets identify no frames."""
        with open_video(self.path, quick=True) as (container, stream):
            packets: list[Packet] = []
            if "index" not in vars(self):
                is_small = container.size <= MOST_KEPT
                self.index = index_packets(self.path, container, stream, packets if is_small else None)
            if self.index is None:
                raise BrokenOffError("the packets do not identify the frames")
            yield IndexedVideo(container, stream, self.index, packets)

    @cached_property
    def _whole(self) -> WholePass:
        times: list[float | None] = []
        fault = ""
        with open_video(self.path) as (container, stream):
            try:
                for frame in decode_frames(self.path, container, stream):
                    times.append(frame_time(frame, stream))
            except BrokenOffError as error:
                fault = str(error)
            return WholePass(times, fault, promised_frames(container, stream))

    def _from_the_start(self, numbers: Sequence[int], replaced: list[str] | None) -> Iterator[tuple[int, np.ndarray]]:
        """Frames by decoding everything from the start to the last wanted frame."""
        missing = set(numbers)
        instead: dict[int, VideoFrame | None] = {}  # number -> last readable frame before; None: take the first
        images: dict[int, np.ndarray] = {}
        decoded, fault = 0, ""
        first, latest = None, None  # of the readable frames
        with open_video(self.path) as (container, stream):
            to_rgb = ToRgb()
            try:
                for number, frame in enumerate(_readable(decode_frames(self.path, container, stream))):
                    decoded += 1
                    if number in missing:
                        if frame:
                            yield number, to_rgb(frame)
                        elif replaced is None:
                            raise BrokenOffError(DAMAGED)
                        else:
                            instead[number], fault = latest, DAMAGED
                        missing.remove(number)
                    first, latest = first or frame, frame or latest
                    if first and not missing:
                        break
            except BrokenOffError as error:
                fault = str(error)
            instead |= dict.fromkeys(missing, latest)
            with suppress(BrokenOffError):
                images = {number: to_rgb(near) for number, frame in instead.items() if (near := frame or first)}
        if instead and (replaced is None or len(images) < len(instead)):
            raise InputError(
                f"{self.path}: frame {min(instead) + 1} of {self.num_frames} cannot be read "
                f"({fault or f'the video has {decoded}'}); download the video again, correct the list, or drop the line"
            )
        if replaced is not None:
            replaced += [f"{self.path} frame {number + 1}" for number in numbers if number in images]
        yield from images.items()


def _readable(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame | None]:
    """Each frame; None for a damaged one, and for those after it, which build on it, up to the next key frame."""
    is_damaged = False
    for frame in frames:
        is_damaged = frame.is_corrupt or (is_damaged and not frame.key_frame)
        yield None if is_damaged else frame


def frame_time(frame: VideoFrame, stream: VideoStream) -> float | None:
    """Time of a frame. Not `frame.time`: PyAV sets no time base for the last frames, which the flush returns."""
    if frame.pts is None or stream.time_base is None:
        return None
    return frame.pts * stream.time_base.numerator / stream.time_base.denominator


def _rising(times: np.ndarray) -> np.ndarray:
    """Times of frames (F,), sorted, from 0.

    In some files a few neighbours have swapped times. Where streams were joined, the time starts again: the second
    stream follows the first at the usual distance.
    """
    steps = np.diff(times)
    usual = np.median(np.abs(steps)) if len(steps) else 0.0
    parts = [np.sort(part) for part in np.split(times, np.flatnonzero(steps < -MOST_REORDERED * usual) + 1)]
    for before, part in pairwise(parts):
        part += before[-1] + usual - part[0]
    return np.concatenate(parts) - parts[0][0]
