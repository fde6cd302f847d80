"""All frames of a video or a stream in order, with their times."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from common.errors import InputError, counted, reason
from datasets.reading.readers import ARCHIVE_SUFFIX
from datasets.reading.sources import Source, open_source, refuse_text, shown_address
from datasets.reading.video_decoding import BrokenOffError, ToRgb, all_packets, decode_frames, first_video, open_video
from datasets.reading.video_file import frame_time
from datasets.reading.video_packets import promised_frames

CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}  # system -> format and name for FFmpeg
TIMEOUT = 10.0  # seconds that a stream may be silent
RESTART = 1.0  # seconds: times that go back further start a new recording


TimedFrame = tuple[float, np.ndarray]  # seconds from the first frame, and (H, W, 3) uint8 RGB


class TimedFrames(NamedTuple):
    """An opened video."""

    frames: Iterator[TimedFrame]
    num_frames: int  # by the header; 0: unknown
    is_endless: bool = False  # it does not say when it ends, as a webcam


@contextmanager
def timed_frames(source: Source, fps: float | None, decoder: str = "auto") -> Iterator[TimedFrames]:
    """Open a video file, a folder or archive of images, a webcam or a stream.

    Args:
        source: the video.
        fps: frames per second, instead of the times in the file; needed for images.
        decoder: for images.

    Raises:
        InputError: it cannot be opened or has no times; or, after the last frame, it breaks off.
    """
    path = source.path
    if source.record.window:
        raise InputError(f"{path}: --window takes whole videos, not {source.record.id}; leave --window out")
    if source.address:
        with live_frames(source.address, fps) as video:
            yield video
        return
    if not os.path.isfile(path) or path.suffix.lower() == ARCHIVE_SUFFIX:
        images = open_source(path, decoder, source.record.num_frames)
        if fps is None:
            raise InputError(f"{path} has images, whose times are not known; give their frames per second with --fps")
        numbered = images.frames(range(images.num_frames))
        yield TimedFrames(((number / fps, image) for number, image in numbered), images.num_frames)
        return
    refuse_text(path)
    with open_video(path) as (container, stream):
        decoded = _timed(decode_frames(path, container, stream), stream, fps, str(path))
        yield TimedFrames(decoded, promised_frames(container, stream))


@contextmanager
def live_frames(address: str, fps: float | None) -> Iterator[TimedFrames]:
    """Open a webcam by its number, or the URL of a stream; `fps` and errors as for `timed_frames`."""
    name, form, title = address, None, shown_address(address)
    if address.isdecimal():
        if sys.platform not in CAMERAS:
            raise InputError(f"{address}: webcam numbers are not supported on {sys.platform}; give the URL of a stream")
        form, pattern = CAMERAS[sys.platform]
        name = pattern.format(address)
        title = f"webcam {address} ({name})"
    try:
        container = av.open(name, format=form, timeout=TIMEOUT, metadata_errors="ignore")
    except Exception as error:  # FFmpeg's errors and Python's, as in `open_video`
        raise InputError(f"{title} cannot be opened ({reason(error)}); check that it is there") from error
    with container:
        stream = first_video(title, container)
        decoded = _timed(_decoded_live(container, stream), stream, fps, title)
        yield TimedFrames(decoded, promised_frames(container, stream), container.duration is None)


def _decoded_live(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    for packet in all_packets(container, stream):
        with suppress(av.FFmpegError):  # the first frames of a stream may refer to earlier ones
            yield from (frame for frame in packet.decode() if not frame.is_corrupt)  # packets get lost on the way


def _timed(decoded: Iterable[VideoFrame], stream: VideoStream, fps: float | None, title: str) -> Iterator[TimedFrame]:
    """Frames with their times, which never go back: a recording that was joined to another one follows it."""
    to_rgb = ToRgb()
    first, last, step, number = None, 0.0, 0.0, 0
    try:
        for number, (frame, image) in enumerate(((frame, to_rgb(frame)) for frame in decoded), start=1):
            time = (number - 1) / fps if fps else frame_time(frame, stream)
            if time is None:
                raise InputError(f"{title} lacks the times of its frames; give its frames per second with --fps")
            if first is None:
                first = time
            elif time - first < last - RESTART:
                first = time - last - step
            now = max(time - first, last)
            step, last = now - last, now
            yield now, image
    except BrokenOffError as error:
        raise InputError(f"{title} breaks off after {counted(number, 'frame')} ({error})") from error
