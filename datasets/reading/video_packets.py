"""Facts from the packets of a video file, without decoding: whether it is complete, its frames and their times."""

from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from common.errors import InputError, counted
from datasets.reading.video_decoding import BrokenOffError, missing_bytes, open_video, whole_packets

# Codecs with one frame per packet; VP8 has packets that show nothing, and MPEG-4 (DivX) packets of two frames.
FRAME_PER_PACKET = {"av1", "h264", "hevc", "mjpeg", "vp9"}
H264_SLICES = (1, 5)  # types of H.264 units that hold picture content


def require_whole(path: Path, num_frames: int | None = None) -> None:
    """Refuse a file that cannot be opened, has no video, or is truncated. Nothing is decoded.

    With `num_frames`, also refuse fewer packets, if the codec has one frame per packet. Without it, little is read.
    """
    with open_video(path, quick=True) as (container, stream):
        least = num_frames if stream.codec_context.codec.canonical_name in FRAME_PER_PACKET else None
        if least is None and not missing_bytes(path):
            return
        try:
            count = sum(1 for _ in whole_packets(path, container, stream))
        except BrokenOffError as error:
            raise InputError(f"{path} is not whole ({error}); download the video again") from error
    if least is not None and count < least:
        raise InputError(
            f"{path} has {counted(count, 'frame')} at most, the list says {least}; "
            "download the video again, or correct the list (--decode counts)"
        )


def promised_frames(container: InputContainer, stream: VideoStream) -> int:
    """Frames by the header: its count, or an estimate from duration and frame rate; 0: unknown."""
    if stream.frames or not container.duration or not stream.average_rate:
        return stream.frames
    return round(container.duration * stream.average_rate / av.time_base)


class PacketIndex(NamedTuple):
    """The frames of a video, as its packets describe them."""

    times: list[int]  # of the frames, in ticks, rising
    keys: list[int]  # numbers of the key frames, rising; the first is 0
    places: list[int]  # of the frames' packets in the file, which is the order of decoding
    spare: set[int]  # times of frames that no other frame depends on, as far as known
    num_frames: int  # as many as `times`; if the file breaks off, as many as its header promises
    tick: float  # in seconds
    fault: str  # where the file breaks off; empty if it does not


def index_packets(
    path: Path, container: InputContainer, stream: VideoStream, kept: list[Packet] | None = None
) -> PacketIndex | None:
    """Look at all packets of an opened video, and append them to `kept`.

    Returns:
        None if they do not identify the frames: times are missing or repeated, the codec does not have one frame per
        packet, or the file starts in the middle of a stream, so the first frames may not be decodable.
    """
    if stream.codec_context.codec.canonical_name not in FRAME_PER_PACKET:
        return None
    packets: list[tuple[int | None, bool, bool]] = []  # time, key frame, shown
    spare: set[int] = set()
    promised, fault, length_size = 0, "", _h264_length_size(stream)
    try:
        for packet in whole_packets(path, container, stream):
            # Discarded packets are decoded but not shown: they precede the start of a cut.
            packets.append((packet.pts, packet.is_keyframe, not packet.is_discard))
            if kept is not None:
                kept.append(packet)
            if length_size and packet.pts is not None and _is_spare(packet, length_size):
                spare.add(packet.pts)
    except BrokenOffError as error:
        promised, fault = promised_frames(container, stream), str(error)
    times = [time for time, _, _ in packets if time is not None]
    if not packets or len(set(times)) < len(packets) or not packets[0][1] or times[0] != min(times):
        return None
    places = {time: place for place, (time, _, shown) in enumerate(packets) if time is not None and shown}
    if not places:
        return None
    shown_times = sorted(places)
    numbers = {time: number for number, time in enumerate(shown_times)}
    keys = {numbers[time] for time, key, shown in packets if time is not None and key and shown}
    return PacketIndex(
        times=shown_times, keys=sorted({0} | keys), places=[places[time] for time in shown_times], spare=spare,
        num_frames=max(len(numbers), promised), tick=float(stream.time_base or 0), fault=fault,
    )  # fmt: skip


def _h264_length_size(stream: VideoStream) -> int:
    """Bytes of the length before each unit of H.264 in MP4 and Matroska files (ISO/IEC 14496-15); 0: not such video."""
    context = stream.codec_context
    header = context.extradata or b""
    is_h264 = context.codec.canonical_name == "h264"
    return (header[4] & 3) + 1 if is_h264 and len(header) > 4 and header[0] == 1 else 0


def _is_spare(packet: Packet, length_size: int) -> bool:
    """Whether no other frame depends on an H.264 frame: `nal_ref_idc` is 0 (ITU-T H.264, 7.4.1)."""
    content, start, found = memoryview(packet), length_size, False
    while start < len(content):
        if content[start] & 31 in H264_SLICES:
            if content[start] & 0x60:
                return False
            found = True
        start += int.from_bytes(content[start - length_size : start], "big") + length_size
    return found
