"""Video files through PyAV: opened, decoded from start to end, and what their packets tell without decoding."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from datasets.container_length import length_by_header
from datasets.missing import broken_link
from errors import InputError

# One packet is one frame in these. Not so in VP8 (packets that show nothing) and MPEG-4 (DivX packs two frames in one).
ONE_PACKET_A_FRAME = {"av1", "h264", "hevc", "mjpeg", "vp9"}


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
    try:
        # absolute: FFmpeg takes "a:b.mp4" for a URL. Titles and tags are not used, and not always UTF-8.
        container = av.open(str(path.absolute()), metadata_errors="ignore")
    except Exception as error:  # FFmpeg's errors, and those of Python that PyAV makes of damaged files
        reason = f"({_reason(error)}){broken_link(path)}"
        raise InputError(f"{path} cannot be opened {reason}; is it a whole video file?") from error
    with container:
        if container.format.name.endswith("_pipe"):  # FFmpeg takes a picture for a video of one frame
            raise InputError(f"{path} is a picture; give a video file, or the folder of a video's frames")
        cover = Disposition.attached_pic  # the picture in a sound file
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            raise InputError(f"{path} has no video stream; give a video file")
        if streams[0].codec_context is None:
            raise InputError(f"{path} has a video codec that cannot be decoded here; convert the file")
        streams[0].codec_context.thread_count = 1
        yield container, streams[0]


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
    with faults_break_off():
        try:
            yield from container.demux(stream)
        except (
            IndexError
        ):  # PyAV raises it after the last packet if another stream appeared late, as in some recordings
            return


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
        fault = _missing_bytes(path)
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


def _missing_bytes(path: Path) -> str:
    """What to say of a file that is shorter than its header says; empty if it is not."""
    try:
        there, promised = path.stat().st_size, length_by_header(path)
    except OSError as error:
        return error.strerror or str(error)
    return f"it breaks off: it has {there:,} of the {promised:,} bytes that its header says" if there < promised else ""


def require_whole(path: Path) -> None:
    """Look whether a video can be opened and has its end; nothing is decoded, and no more is read than needed.

    Raises:
        InputError: it cannot be opened, has no video, or breaks off.
    """
    with open_video(path) as (container, stream):
        if _missing_bytes(path):
            _count_packets(path, container, stream)


def require_packets(path: Path, num_frames: int) -> None:
    """Look whether a video has packets for a number of frames, if its codec puts one into each. All packets are read.

    Raises:
        InputError: it cannot be opened, has no video, breaks off, or has too few.
    """
    with open_video(path) as (container, stream):
        if stream.codec_context.codec.canonical_name in ONE_PACKET_A_FRAME:
            count = _count_packets(path, container, stream)
            if count < num_frames:
                raise InputError(
                    f"{path} has {count} frames at most, the list says {num_frames}; "
                    "download the video again, or correct the list (--decode counts)"
                )


def _count_packets(path: Path, container: InputContainer, stream: VideoStream) -> int:
    try:
        return sum(1 for _ in whole_packets(path, container, stream))
    except BrokenOffError as error:
        raise InputError(f"{path} is not whole ({error}); download the video again") from error


def promised_frames(container: InputContainer, stream: VideoStream) -> int:
    """Frames by the header: counted there, or estimated from its duration and frame rate; 0: it does not say."""
    if stream.frames or not container.duration or not stream.average_rate:
        return stream.frames
    return round(container.duration * stream.average_rate / av.time_base)


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


class PacketIndex(NamedTuple):
    """What the packets of a video tell of its frames.

    Attributes:
        times: of the frames, in ticks, rising.
        keys: numbers of the key frames, rising; the first is 0.
        num_frames: as many as `times`; if the file breaks off, as many as its header promises.
        tick: in seconds.
        fault: where the file breaks off; empty if it does not.
    """

    times: list[int]
    keys: list[int]
    num_frames: int
    tick: float
    fault: str


def index_packets(path: Path) -> PacketIndex | None:
    """Look at all packets of a video.

    Returns:
        None where they don't tell the frames: times are missing or not distinct, a codec whose packets are no frames,
        or a start in the middle, of which nobody knows how much the decoder can show.

    Raises:
        InputError: the file cannot be opened, or has no video.
    """
    packets: list[tuple[int | None, bool, bool]] = []  # time, key frame, shown
    promised, fault = 0, ""
    with open_video(path) as (container, stream):
        if stream.codec_context.codec.canonical_name not in ONE_PACKET_A_FRAME:
            return None
        try:
            for packet in whole_packets(path, container, stream):
                # Discarded: decoded but not shown, what was left before the start of a cut.
                packets.append((packet.pts, packet.is_keyframe, not packet.is_discard))
        except BrokenOffError as error:
            promised, fault = promised_frames(container, stream), str(error)
        tick = float(stream.time_base or 0)
    times = [time for time, _, _ in packets if time is not None]
    if not packets or len(set(times)) < len(packets) or not packets[0][1] or times[0] != min(times):
        return None
    numbers = {t: i for i, t in enumerate(sorted(t for t, _, shown in packets if t is not None and shown))}
    if not numbers:
        return None
    keys = {numbers[time] for time, key, shown in packets if time is not None and key and shown}
    return PacketIndex(list(numbers), sorted({0} | keys), max(len(numbers), promised), tick, fault)
