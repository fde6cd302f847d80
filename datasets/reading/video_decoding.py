"""Video files through PyAV: opened, and decoded from start to end. Whatever it raises is a fault of the video."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from common.errors import InputError
from datasets.missing_path import refuse_broken_link, there_is
from datasets.reading.declared_size import declared_size


def decode_video(path: Path) -> Iterator[np.ndarray]:
    """All frames of a video file in order of time, turned upright: (H, W, 3) uint8 RGB.

    Raises:
        InputError: the file cannot be opened, has no video, or breaks off.
    """
    with open_video(path) as (container, stream):
        try:
            yield from map(ToRgb(), decode_frames(path, container, stream))
        except BrokenOffError as error:
            raise not_to_its_end(path, error) from error


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first video stream, to be decoded in one thread: videos are read in parallel already."""
    with ExitStack() as stack:
        try:
            # absolute: FFmpeg takes "a:b.mp4" for a URL. Titles and tags are not used, and not always UTF-8.
            container = stack.enter_context(av.open(str(path.absolute()), metadata_errors="ignore"))
            stream = _first_video(path, container)
        except InputError:
            raise
        except Exception as error:  # FFmpeg's errors, and those of Python that PyAV makes of damaged files
            refuse_broken_link(path)
            if isinstance(error, FileNotFoundError):
                raise InputError(f"there is no video file {path}{there_is(path)}; check the path") from error
            raise InputError(f"{path} cannot be opened ({_reason(error)}); is it a whole video file?") from error
        yield container, stream


def _first_video(path: Path, container: InputContainer) -> VideoStream:
    if container.format.name.endswith("_pipe"):  # FFmpeg takes a picture for a video of one frame
        raise InputError(f"{path} is a picture; give a video file, or the folder of a video's frames")
    cover = Disposition.attached_pic  # the picture in a sound file
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        raise InputError(f"{path} has no video stream; give a video file")
    if streams[0].codec_context is None:
        raise InputError(f"{path} has a video codec that cannot be decoded here; convert the file")
    streams[0].codec_context.thread_count = 1
    return streams[0]


class BrokenOffError(Exception):
    """A video stops before its end; the message says what was seen."""


@contextmanager
def faults_break_off() -> Iterator[None]:
    """Turn whatever PyAV raises while it reads and decodes a damaged video into a `BrokenOffError`."""
    try:
        yield
    except BrokenOffError:
        raise
    except Exception as error:  # FFmpeg's errors; and ValueError, IndexError and others where PyAV did not foresee it
        raise BrokenOffError(_reason(error)) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"


def not_to_its_end(path: Path, fault: BrokenOffError | str) -> InputError:
    """The error of a video that must be decoded as a whole and cannot be."""
    return InputError(f"{path} cannot be decoded to its end ({fault}); download the video again")


def all_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """All packets from the current position on; the last one is empty and makes the decoder give what it holds.

    Raises:
        BrokenOffError: they cannot be read to the end.
    """
    # PyAV raises an IndexError after the last packet where another stream appeared late.
    with faults_break_off(), suppress(IndexError):
        yield from container.demux(stream)


def whole_packets(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """All packets with content, without one at the end of which a part is missing.

    Raises:
        BrokenOffError: behind the last one, if more should have come.
    """
    fault, count, last = "", 0, None
    try:
        for packet in all_packets(container, stream):
            if packet.size:  # an empty one marks the end
                if last is not None:
                    yield last
                count, last = count + 1, packet
    except BrokenOffError as error:
        fault = str(error)
    if last is not None and last.is_corrupt:  # earlier ones: joined transport streams have such, and go on
        fault = fault or f"it breaks off within frame {count}"
    elif last is not None:
        yield last
    # Shorter than its header says, but with every frame that it counts: only an index or some sound is missing.
    if not fault and not 0 < stream.frames <= count:
        fault = missing_bytes(path)
    if fault:
        raise BrokenOffError(fault)


def decode_frames(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames in order of time.

    Raises:
        BrokenOffError: behind the last one that can be decoded, if more should have come.
    """
    broken = None
    with faults_break_off():
        try:
            for packet in whole_packets(path, container, stream):
                yield from packet.decode()
        except BrokenOffError as error:
            broken = error
        yield from stream.decode(None)  # what the decoder still holds
    if broken:
        raise broken


def missing_bytes(path: Path) -> str:
    """Text on a file that is shorter than its container implies; empty if it is not."""
    try:
        there, promised = path.stat().st_size, declared_size(path)
    except OSError as error:
        return error.strerror or str(error)
    return f"it breaks off: it has {there:,} of {promised:,} bytes" if there < promised else ""


class ToRgb:
    """Decoded frame -> (H, W, 3) uint8 RGB, upright."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()  # one for all frames: it is set up once, and that takes a while

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """Raises `BrokenOffError` where there is nothing to be converted."""
        with faults_break_off():
            image = self.reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            # Phones store the sensor's picture and the angle (counterclockwise) to turn it by.
            return np.array(Image.fromarray(image).rotate(frame.rotation, expand=True)) if frame.rotation else image
