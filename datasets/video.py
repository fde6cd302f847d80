"""Video files through PyAV: all frames in order, or the frames of given numbers.

The number of a frame is its place in the order in which `decode_video` gives them. To read some frames without
decoding all that lies before, the reader looks at the packets first (their times and key frames; nothing is decoded)
and jumps to the last key frame before a wanted frame where this skips enough. Every frame that comes then is checked
against the packets. Where they don't agree, and in files whose packets don't tell the frames, all is decoded.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from datasets.frames import Frames
from errors import InputError

# One packet is one frame in these. VP8, for one, has packets that show nothing.
ONE_PACKET_A_FRAME = {"av1", "h264", "hevc", "mjpeg", "mpeg4", "vp9"}
MIN_JUMP = 8  # frames that a jump must skip to be worth its cost: the decoder starts anew and runs some frames ahead


class PacketIndex(NamedTuple):
    """What the packets of a video tell of its frames.

    Attributes:
        times: of the frames, in the stream's time base, rising.
        keys: numbers of the key frames, rising; the first is 0.
        num_frames: as many as `times`; if the file breaks off, as many as its header promises.
    """

    times: list[int]
    keys: list[int]
    num_frames: int


@dataclass(frozen=True)
class Pass:
    """What one pass over a video from its start gave.

    Attributes:
        images: frame number -> image, of the wanted frames that came.
        count: frames that came; not all, if the wanted ones came earlier.
        last: the last frame that came.
        fault: why no more came; empty at the regular end.
        promised: frames by the header; 0: it does not say.
    """

    images: dict[int, Image.Image]
    count: int
    last: Image.Image | None
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
            num_frames: by the list; None: counted.

        Raises:
            InputError: the file cannot be opened, has no video, or the frames must be counted and there are none.
        """
        self.path = path
        self.index = index_packets(path)
        if num_frames is None:
            num_frames = self.index.num_frames if self.index else self._count()
            if num_frames == 0:
                raise InputError(f"{path} has no frames; download the video again or drop it from the list")
        self.num_frames = num_frames

    def read(self, indices: Sequence[int], *, replace_unreadable: bool) -> Frames:
        """As `datasets.readers.Reader.read`; the nearest readable frame is the last one before the file breaks off."""
        images = self._jump(indices)
        missing: list[int] = []
        if images is None:
            done = self._decode(indices)
            images, last = done.images, done.last
            missing = [index for index in indices if index not in images]
            if missing and (last is None or not replace_unreadable):
                raise InputError(
                    f"{self.path}: frame {min(missing) + 1} of {self.num_frames} cannot be read "
                    f"({done.fault or f'the video has {done.count}'}); download it again, correct the list, or drop it"
                )
            images |= {index: last for index in missing if last is not None}
        replaced = [f"{self.path} frame {index + 1}" for index in missing]
        return Frames({index: images[index] for index in indices}, replaced)

    def _jump(self, indices: Sequence[int]) -> dict[int, Image.Image] | None:
        """Frames by way of the key frames; None where the frames that come are not those that the packets tell."""
        if self.index is None or max(indices) >= len(self.index.times):
            return None
        times, keys, _ = self.index
        images = {}
        with _opened(self.path) as (container, stream):
            convert = _Converter()
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
                            images[wanted] = convert(frame)
                            break
            except FFmpegError:
                return None
        return images if len(images) == len(indices) else None

    def _decode(self, wanted: Collection[int], to_end: bool = False) -> Pass:
        """Frames by one pass from the start, up to the last wanted frame or the end."""
        images, count, fault, frame = {}, 0, "", None
        with _opened(self.path) as (container, stream):
            convert = _Converter()
            stop = max(wanted, default=-1)
            try:
                for number, frame in enumerate(container.decode(stream)):
                    count = number + 1
                    if number in wanted:
                        images[number] = convert(frame)
                    if number >= stop and not to_end:
                        break
            except FFmpegError as error:
                fault = error.strerror or str(error)
            return Pass(images, count, convert(frame) if frame else None, fault, stream.frames)

    def _count(self) -> int:
        whole = self._decode((), to_end=True)
        return max(whole.count, whole.promised) if whole.fault else whole.count


def decode_video(path: Path) -> Iterator[Image.Image]:
    """All frames of a video file in order of time, as RGB images turned upright.

    Raises:
        InputError: the file cannot be opened, has no video, or breaks off.
    """
    with _opened(path) as (container, stream):
        try:
            yield from map(_Converter(), container.decode(stream))
        except FFmpegError as error:
            raise InputError(f"{path} cannot be decoded ({error.strerror}); is it a whole video file?") from error


def index_packets(path: Path) -> PacketIndex | None:
    """Look at all packets of a video.

    Returns:
        None where they don't tell the frames: times are missing or not distinct, a codec whose packets are no frames,
        or a start in the middle, of which nobody knows how much the decoder can show.

    Raises:
        InputError: the file cannot be opened, or has no video.
    """
    packets: list[tuple[int | None, bool, bool]] = []  # time, key frame, shown
    whole = True
    with _opened(path) as (container, stream):
        if stream.codec_context.codec.canonical_name not in ONE_PACKET_A_FRAME:
            return None
        try:
            for packet in container.demux(stream):
                if packet.size:  # an empty one marks the end
                    # Discarded: decoded but not shown, what was left before the start of a cut.
                    packets.append((packet.pts, packet.is_keyframe, not packet.is_discard))
                    whole &= not packet.is_corrupt
        except FFmpegError:
            whole = False
        promised = stream.frames
    times = [time for time, _, _ in packets if time is not None]
    if not packets or len(set(times)) < len(packets) or not packets[0][1] or times[0] != min(times):
        return None
    numbers = {t: i for i, t in enumerate(sorted(t for t, _, shown in packets if t is not None and shown))}
    keys = {numbers[time] for time, key, shown in packets if time is not None and key and shown}
    return PacketIndex(list(numbers), sorted({0} | keys), len(numbers) if whole else max(len(numbers), promised))


class _Converter:
    """Decoded frame -> upright RGB image."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()  # one for all frames: it is set up once, and that takes a while

    def __call__(self, frame: VideoFrame) -> Image.Image:
        image = self.reformatter.reformat(frame, format="rgb24", threads=1).to_image()
        # Phones store the sensor's picture and the angle (counterclockwise) to turn it by.
        return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _since(time: int, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Frames from a time on: after a jump, frames of the time before may come out of the decoder."""
    return dropwhile(lambda frame: frame.pts is None or frame.pts < time, frames)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first video stream, to be decoded in one thread: videos are read in parallel already."""
    try:
        container = av.open(str(path.absolute()))  # absolute: FFmpeg takes "a:b.mp4" for a URL
    except (FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); is it a whole video file?") from error
    with container:
        cover = Disposition.attached_pic  # the picture in a sound file
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            raise InputError(f"{path} has no video stream; give a video file")
        if streams[0].codec_context is None:
            raise InputError(f"{path} has a video codec that cannot be decoded here; convert the file")
        streams[0].codec_context.thread_count = 1
        yield container, streams[0]
