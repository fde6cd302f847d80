"""Facts from the packets of a video file, without decoding: whether it is complete, its frames and their times."""

from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from common.errors import InputError, counted
from datasets.reading.video_decoding import BrokenOffError, missing_bytes, open_video, whole_packets

# Codecs with one frame per packet; VP8 has packets that show nothing, and MPEG-4 (DivX) packets of two frames.
FRAME_PER_PACKET = {"av1", "h264", "hevc", "mjpeg", "vp9"}


def require_whole(path: Path) -> None:
    """Refuse a file that cannot be opened, has no video, or breaks off; decodes nothing and reads little."""
    with open_video(path, quick=True) as (container, stream):
        if missing_bytes(path):
            _count_packets(path, container, stream)


def require_packets(path: Path, num_frames: int) -> None:
    """As `require_whole`, and refuse too few packets for the frames, if the codec has one frame per packet.

    Reads all packets.
    """
    with open_video(path) as (container, stream):
        if stream.codec_context.codec.canonical_name in FRAME_PER_PACKET:
            count = _count_packets(path, container, stream)
            if count < num_frames:
                raise InputError(
                    f"{path} has {counted(count, 'frame')} at most, the list says {num_frames}; "
                    "download the video again, or correct the list (--decode counts)"
                )


def _count_packets(path: Path, container: InputContainer, stream: VideoStream) -> int:
    try:
        return sum(1 for _ in whole_packets(path, container, stream))
    except BrokenOffError as error:
        raise InputError(f"{path} is not whole ({error}); download the video again") from error


def promised_frames(container: InputContainer, stream: VideoStream) -> int:
    """Frames by the header: its count, or an estimate from duration and frame rate; 0: unknown."""
    if stream.frames or not container.duration or not stream.average_rate:
        return stream.frames
    return round(container.duration * stream.average_rate / av.time_base)


class PacketIndex(NamedTuple):
    """The frames of a video, as its packets describe them."""

    times: list[int]  # of the frames, in ticks, rising
    keys: list[int]  # numbers of the key frames, rising; the first is 0
    num_frames: int  # as many as `times`; if the file breaks off, as many as its header promises
    tick: float  # in seconds
    fault: str  # where the file breaks off; empty if it does not


def index_packets(path: Path) -> PacketIndex | None:
    """Look at all packets of a video.

    Returns:
        None if they do not identify the frames: times are missing or repeated, the codec does not have one frame per
        packet, or the file starts in the middle of a stream, so the first frames may not be decodable.

    Raises:
        InputError: the file cannot be opened, or has no video.
    """
    packets: list[tuple[int | None, bool, bool]] = []  # time, key frame, shown
    promised, fault = 0, ""
    with open_video(path) as (container, stream):
        if stream.codec_context.codec.canonical_name not in FRAME_PER_PACKET:
            return None
        try:
            for packet in whole_packets(path, container, stream):
                # Discarded packets are decoded but not shown: they precede the start of a cut.
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
