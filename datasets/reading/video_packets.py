"""What the packets of a video file tell, without decoding: whether it is whole, its frames and their times."""

from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from common.errors import InputError, counted
from datasets.reading.video_decoding import BrokenOffError, missing_bytes, open_video, whole_packets

# One packet is one frame in these. Not so in VP8 (packets that show nothing) and MPEG-4 (DivX packs two frames in one).
ONE_PACKET_A_FRAME = {"av1", "h264", "hevc", "mjpeg", "vp9"}


def require_whole(path: Path) -> None:
    """Look whether a video can be opened and has its end; nothing is decoded, and no more is read than needed.

    Raises:
        InputError: it cannot be opened, has no video, or breaks off.
    """
    with open_video(path) as (container, stream):
        if missing_bytes(path):
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
                    f"{path} has {counted(count, 'frame')} at most, the list says {num_frames}; "
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
