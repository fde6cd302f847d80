"""Opens and decodes video files with PyAV. All errors that PyAV raises count as faults of the video."""

import logging
import os
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

DAMAGED = "a frame is damaged"  # FFmpeg made up the parts that it could not decode, and marked it as corrupt
MOV_SUFFIXES = (".mp4", ".mov", ".m4v")
HEADER_ONLY = {"probesize": "32", "codec_whitelist": "none"}  # no decoder is started

logging.getLogger("libav").setLevel(logging.CRITICAL)  # torchvision 0.24 and older turn FFmpeg's messages on


def decode_video(path: Path) -> Iterator[np.ndarray]:
    """All frames of a video file in order of time, upright: (H, W, 3) uint8 RGB.

    Raises:
        InputError: the file cannot be opened, has no video, breaks off, or has a damaged frame.
    """
    with open_video(path) as (container, stream):
        try:
            yield from map(ToRgb(), decode_frames(path, container, stream))
        except BrokenOffError as error:
            raise not_to_its_end(path, error) from error


@contextmanager
def open_video(path: Path, *, quick: bool = False) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its first video stream, decoded in one thread: videos are read in parallel already.

    `quick`: an MP4 or MOV file is not decoded to find out more about its streams than its header says.
    """
    with ExitStack() as stack:
        try:
            # absolute: FFmpeg takes "a:b.mp4" for a URL. Tags are not used, and not always UTF-8.
            name, container = os.path.abspath(path), None
            if quick and name.lower().endswith(MOV_SUFFIXES):
                with suppress(Exception):  # it may be in another format
                    container = av.open(name, format="mov", options=HEADER_ONLY, metadata_errors="ignore")
            container = stack.enter_context(container or av.open(name, metadata_errors="ignore"))
            stream = first_video(path, container)
        except InputError:
            raise
        except Exception as error:  # FFmpeg's errors, and Python's that PyAV raises for damaged files
            refuse_broken_link(path)
            if isinstance(error, FileNotFoundError):
                raise InputError(f"there is no video file {path}{there_is(path)}; check the path") from error
            raise InputError(f"{path} cannot be opened ({_reason(error)}); is it a complete video file?") from error
        yield container, stream


def first_video(path: Path | str, container: InputContainer) -> VideoStream:
    """The first video stream of an opened file or stream, which messages call `path`; decoded in one thread."""
    if container.format.name.endswith("_pipe"):  # to FFmpeg, a picture is a video of one frame
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
    """A video stops before its end; the message says how."""


@contextmanager
def faults_break_off() -> Iterator[None]:
    """Turn all errors that PyAV raises while it reads a damaged video into `BrokenOffError`."""
    try:
        yield
    except BrokenOffError:
        raise
    except Exception as error:  # FFmpeg's errors; ValueError, IndexError and others that PyAV did not foresee
        raise BrokenOffError(_reason(error)) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"


def not_to_its_end(path: Path, fault: BrokenOffError | str) -> InputError:
    """The error for a video that must be decoded completely and cannot be."""
    return InputError(f"{path} cannot be decoded to its end ({fault}); download the video again")


def all_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """All packets from the current position on; the last one is empty and flushes the decoder.

    Raises:
        BrokenOffError: they cannot be read to the end.
    """
    # PyAV raises an IndexError after the last packet if another stream appeared late.
    with faults_break_off(), suppress(IndexError):
        yield from container.demux(stream)


def whole_packets(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """All packets with content, except an incomplete last one.

    Raises:
        BrokenOffError: after the last one, if more should have come.
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
    if last is not None and last.is_corrupt:  # earlier corrupt ones occur in joined transport streams
        fault = fault or f"it breaks off within frame {count}"
    elif last is not None:
        yield last
    # A file with all frames that its header counts lacks only an index or some sound.
    if not fault and not 0 < stream.frames <= count:
        fault = missing_bytes(path)
    if fault:
        raise BrokenOffError(fault)


def decode_frames(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames in order of time.

    Raises:
        BrokenOffError: after the last one that can be decoded, if more should have come.
    """
    broken = None
    with faults_break_off():
        try:
            for packet in whole_packets(path, container, stream):
                yield from packet.decode()
        except BrokenOffError as error:
            broken = error
        yield from stream.decode(None)  # flush the decoder
    if broken:
        raise broken


def missing_bytes(path: Path) -> str:
    """The fault of a file that is shorter than its header says; empty if it is not."""
    try:
        size, declared = path.stat().st_size, declared_size(path)
    except OSError as error:
        return error.strerror or str(error)
    return f"it breaks off: it has {size:,} of {declared:,} bytes" if size < declared else ""


class ToRgb:
    """Decoded frame -> (H, W, 3) uint8 RGB, upright."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()  # one for all frames, because setting it up takes a while

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """Raises `BrokenOffError` if the frame cannot be converted, or is damaged."""
        if frame.is_corrupt:
            raise BrokenOffError(DAMAGED)
        with faults_break_off():
            image = self.reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            # Phones store the sensor's picture and the angle (counterclockwise) to rotate it by.
            return np.array(Image.fromarray(image).rotate(frame.rotation, expand=True)) if frame.rotation else image
