"""Frames of given numbers from a video file.

The number of a frame is its place in the order in which `decode_video` gives them. To read some frames without
decoding all that lies before, the reader looks at the packets first (their times and key frames; nothing is decoded)
and jumps to the last key frame before a wanted frame where this skips enough. Every frame that comes then is checked
against the packets. Where they don't agree, and in files whose packets don't tell the frames, all is decoded.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from datasets.frames import Frames, Take, take_all
from datasets.video import BrokenOffError, ToRgb, decode_frames, index_packets, open_video, promised_frames
from errors import InputError

MIN_JUMP = 8  # frames that a jump must skip to be worth its cost: the decoder starts anew and runs some frames ahead
CHECKED = 16  # frames at the start that must come as the packets tell, before packets are counted for frames


@dataclass(frozen=True)
class Pass:
    """What one pass over a video from its start gave.

    Attributes:
        images: frame number -> (H, W, 3) or what a `Take` made of it, of the wanted frames that came.
        times: of the frames that came, in seconds; None: the file does not say. Not of all, if it stopped earlier.
        last: the last frame that came.
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
        """As `datasets.readers.Reader.read`; the nearest readable frame is the last one before the file breaks off."""
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
            InputError: the file does not say them.
        """
        times: list[float | None]
        times = [time * self.index.tick for time in self.index.times] if self.index else self._decode(None).times
        known = [time - times[0] for time in times if time is not None and times[0] is not None]
        if len(known) < len(times):
            raise InputError(f"{self.path} does not say the times of its frames; convert it, or extract without --fps")
        return known

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
        whole = self._decode(None)
        num_frames = max(len(whole.times), whole.promised if whole.fault else 0)
        if num_frames == 0:
            raise InputError(f"{self.path} has no frames; download the video again or drop it from the list")
        return num_frames

    def _jump(self, indices: Sequence[int], take: Take = take_all) -> dict[int, Any] | None:
        """Frames by way of the key frames; None where the frames that come are not those that the packets tell."""
        if self.index is None or max(indices) >= len(self.index.times):
            return None
        times, keys = self.index.times, self.index.keys
        images = {}
        with open_video(self.path) as (container, stream):
            to_rgb = ToRgb()
            number, frames = 0, container.decode(stream)  # number of the next frame
            try:
                for wanted in sorted(indices):
                    key = keys[bisect_right(keys, wanted) - 1]
                    if key - number >= MIN_JUMP:
                        container.seek(times[key], stream=stream)
                        number, frames = key, _since(times[key], container.decode(stream))
                    for frame in frames:
                        # Some files call every packet a key frame: the decoder knows better.
                        if frame.pts != times[number] or (number == key > 0 and not frame.key_frame):
                            return None
                        number += 1
                        if number > wanted:
                            images[wanted] = take(wanted, to_rgb(frame))
                            break
            except FFmpegError:
                return None
        return images if len(images) == len(indices) else None

    def _decode(self, wanted: Collection[int] | None, take: Take = take_all) -> Pass:
        """Frames by one pass from the start to the last wanted frame; None: none is wanted, to the end."""
        images: dict[int, Any] = {}
        times: list[float | None] = []
        fault, frame = "", None
        with open_video(self.path) as (container, stream):
            to_rgb = ToRgb()
            try:
                for number, frame in enumerate(decode_frames(self.path, container, stream)):
                    times.append(frame.time)
                    if wanted is not None and number in wanted:
                        images[number] = take(number, to_rgb(frame))
                        if len(images) == len(wanted):
                            break
            except BrokenOffError as error:
                fault = str(error)
            last = to_rgb(frame) if frame else None
            return Pass(images, times, last, fault, promised_frames(container, stream))


def _since(time: int, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Frames from a time on: after a jump, frames of the time before may come out of the decoder."""
    return dropwhile(lambda frame: frame.pts is None or frame.pts < time, frames)
