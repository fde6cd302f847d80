"""Frames of given numbers from a video file.

The number of a frame is its place in the order in which `decode_video` gives them. To read some frames without
decoding all that lies before, the reader looks at the packets first (their times and key frames; nothing is decoded)
and jumps to the last key frame before a wanted frame where this skips enough. Every frame that comes then is checked
against the packets. Where they don't agree, and in files whose packets don't tell the frames, all is decoded.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from common.errors import InputError
from datasets.reading.frames import Frames, Take, take_all
from datasets.reading.video_container import (
    BrokenOffError,
    ToRgb,
    all_packets,
    decode_frames,
    faults_break_off,
    not_to_its_end,
    open_video,
)
from datasets.reading.video_packets import index_packets, promised_frames

MIN_JUMP = 8  # frames that a jump must skip to be worth its cost: the decoder starts anew and runs some frames ahead
CHECKED = 16  # frames at the start that must come as the packets tell, before packets are counted for frames
MOST_REORDERED = 16  # frames: a time that goes back by more is that of another recording, joined to the first


@dataclass(frozen=True)
class Pass:
    """What one pass over a video from its start gave.

    Attributes:
        images: frame number -> (H, W, 3) or what a `Take` made of it, of the wanted frames that came.
        times: of the frames that came, in seconds; None: the file does not say. Not of all, if it stopped earlier.
        last: the last frame that came; None if none came or can be converted, or if none was wanted.
        fault: why no more came; empty at the regular end.
        promised: frames by the header; 0: it does not say.
    """

    images: dict[int, Any]
    times: list[float | None]
    last: np.ndarray | None
    fault: str
    promised: int


class VideoFile:
    """A video file; its frames are those of `decode_video`, to the pixel.

    Attributes:
        path: the file.
        index: what its packets tell, if they tell its frames.
        num_frames: frames that the video has by its list; without this, counted.
    """

    def __init__(self, path: Path, num_frames: int | None = None) -> None:
        """Look at a video.

        Args:
            path: the file.
            num_frames: by the list; None: counted. The header's count is not taken: it is wrong in some files.

        Raises:
            InputError: the file cannot be opened, has no video, or the frames must be counted and there are none.
        """
        self.path = path
        self.index = index_packets(path)
        self.num_frames = self._count() if num_frames is None else num_frames

    def read(self, indices: Sequence[int], *, replace_unreadable: bool, take: Take = take_all) -> Frames:
        """As `Reader.read`; the nearest readable frame is the last one before the file breaks off."""
        images = self._jump(indices, take)
        missing: list[int] = []
        if images is None:
            done = self._decode(indices, take)
            images, last = done.images, done.last
            missing = [index for index in indices if index not in images]
            if missing and (last is None or not replace_unreadable):
                raise InputError(
                    f"{self.path}: frame {min(missing) + 1} of {self.num_frames} cannot be read "
                    f"({done.fault or f'the video has {len(done.times)}'}); "
                    "download the video again, correct the list, or drop the line"
                )
            images |= {index: take(index, last) for index in missing if last is not None}
        replaced = [f"{self.path} frame {index + 1}" for index in missing]
        return Frames({index: images[index] for index in indices}, replaced)

    def times(self) -> list[float]:
        """Times of all frames, in seconds from the first.

        Raises:
            InputError: the file does not say them, or breaks off.
        """
        if self.fault:
            raise not_to_its_end(self.path, self.fault)
        times: list[float | None]
        times = [time * self.index.tick for time in self.index.times] if self.index else self._whole.times
        known = [time for time in times if time is not None]
        if not known or len(known) < len(times):
            raise InputError(f"{self.path} does not say the times of its frames; convert it, or extract without --fps")
        return _rising(np.array(known)).tolist()

    @property
    def fault(self) -> str:
        """Where the video breaks off, as far as its packets tell it, or else decoding; empty if it does not."""
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
        """Number of frames by the packets, if the first frames show that it is the same; None: only decoding tells."""
        if self.index and self._jump([min(CHECKED, len(self.index.times)) - 1]) is not None:
            return self.index.num_frames
        return None

    def _count(self) -> int:
        """Number of frames: of packets, or by decoding all."""
        by_packets = self.count_by_packets()
        if by_packets is not None:
            return by_packets
        at_least = max(len(self._whole.times), self._whole.promised)
        return at_least if self._whole.fault and at_least else self.count_by_decoding()

    @cached_property
    def _whole(self) -> Pass:
        """What decoding all gives, without images."""
        return self._decode(None)

    def _jump(self, indices: Sequence[int], take: Take = take_all) -> dict[int, Any] | None:
        """Frames by way of the key frames; None where the frames that come are not those that the packets tell."""
        if self.index is None or max(indices) >= len(self.index.times):
            return None
        times, keys = self.index.times, self.index.keys
        images = {}
        with open_video(self.path) as (container, stream):
            to_rgb = ToRgb()
            number, frames = 0, _decoded(container, stream)  # number of the next frame
            try:
                for wanted in sorted(indices):
                    key = keys[bisect_right(keys, wanted) - 1]
                    if key - number >= MIN_JUMP:
                        with faults_break_off():
                            container.seek(times[key], stream=stream)
                        number, frames = key, _since(times[key], _decoded(container, stream))
                    for frame in frames:
                        # Some files call every packet a key frame: the decoder knows better.
                        if frame.pts != times[number] or (number == key > 0 and not frame.key_frame):
                            return None
                        number += 1
                        if number > wanted:
                            images[wanted] = take(wanted, to_rgb(frame))
                            break
            except BrokenOffError:
                return None
        return images if len(images) == len(indices) else None

    def _decode(self, wanted: Collection[int] | None, take: Take = take_all) -> Pass:
        """Frames by one pass from the start to the last wanted frame; None: none is wanted, to the end."""
        images: dict[int, Any] = {}
        times: list[float | None] = []
        fault, shown, last = "", None, None
        with open_video(self.path) as (container, stream):
            to_rgb = ToRgb()
            try:
                for number, frame in enumerate(decode_frames(self.path, container, stream)):
                    times.append(_seconds(frame, stream))
                    if wanted is not None and number in wanted:
                        images[number] = take(number, to_rgb(frame))
                        if len(images) == len(wanted):
                            break
                    shown = frame
            except BrokenOffError as error:
                fault = str(error)
            if shown and wanted is not None:
                with suppress(BrokenOffError):
                    last = to_rgb(shown)
            return Pass(images, times, last, fault, promised_frames(container, stream))


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames from the current position on."""
    with faults_break_off():
        for packet in all_packets(container, stream):
            yield from packet.decode()


def _seconds(frame: VideoFrame, stream: VideoStream) -> float | None:
    """Time of a frame. Not `frame.time`: PyAV gives no time base to the last ones, which no packet brings."""
    if frame.pts is None or stream.time_base is None:
        return None
    return frame.pts * stream.time_base.numerator / stream.time_base.denominator


def _rising(times: np.ndarray) -> np.ndarray:
    """Times of frames (F,) in the order in which they are shown, from 0.

    In some files a few neighbours have each other's times. Where streams were joined the time starts again: the second
    one follows the first at the usual distance.
    """
    steps = np.diff(times)
    usual = np.median(np.abs(steps)) if len(steps) else 0.0
    parts = [np.sort(part) for part in np.split(times, np.flatnonzero(steps < -MOST_REORDERED * usual) + 1)]
    for before, part in pairwise(parts):
        part += before[-1] + usual - part[0]
    return np.concatenate(parts) - parts[0][0]


def _since(time: int, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Frames from a time on: after a jump, frames of the time before may come out of the decoder."""
    return dropwhile(lambda frame: frame.pts is None or frame.pts < time, frames)
