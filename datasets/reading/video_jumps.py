"""Decodes a few frames of a video, jumping to the last key frame before each if that skips enough.

Unwanted frames that no other frame depends on are skipped: half of the frames in most H.264 files.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice, zip_longest

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from datasets.reading.video_decoding import DAMAGED, BrokenOffError, all_packets, faults_break_off
from datasets.reading.video_packets import PacketIndex

MIN_JUMP = 8  # frames that a jump must skip to pay off: the decoder restarts at a key frame
MOST_AHEAD = 16  # at most so many frames are decoded before a frame but shown after it, in H.264 and HEVC


@dataclass(frozen=True)
class IndexedVideo:
    """An opened video file."""

    container: InputContainer
    stream: VideoStream
    index: PacketIndex
    packets: list[Packet]  # all, as they follow one another in the file; empty: they must be read from it

    def packets_from(self, key: int) -> Iterable[Packet]:
        """The packets from a key frame onwards, for a decoder that has just been reset."""
        if self.packets:
            self.stream.codec_context.flush_buffers()
            return islice(self.packets, self.index.places[key] if key else 0, None)
        # Transport streams have no index of key frames: a seek to the first frame would end up at a later one.
        time = self.index.times[key] if key else min(0, self.index.times[0])
        self.container.seek(time, stream=self.stream)
        return all_packets(self.container, self.stream)


def decode_from_keys(video: IndexedVideo, numbers: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Frames of these numbers, in order.

    Raises:
        BrokenOffError: the frames do not match the packets, so frames yielded so far may be wrong; or one is damaged.
    """
    if max(numbers) >= len(video.index.times):
        raise BrokenOffError("the packets do not identify these frames")
    for key, wanted in _by_key_frame(video.index.keys, numbers):
        yield from _decode_some(video, key, wanted)


def _by_key_frame(keys: Sequence[int], numbers: Sequence[int]) -> list[tuple[int, set[int]]]:
    """Frames grouped by the key frame from which they are decoded."""
    groups: list[tuple[int, set[int]]] = []
    coming = -MIN_JUMP  # number of the next frame
    for number in sorted(numbers):
        key = keys[bisect_right(keys, number) - 1]
        if key - coming >= MIN_JUMP:
            groups.append((key, set()))
        groups[-1][1].add(number)
        coming = number + 1
    return groups


def _decode_some(video: IndexedVideo, key: int, wanted: set[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Wanted frames, decoded from a key frame on; raises as `decode_from_keys` does."""
    times, places, spare = video.index.times, video.index.places, video.index.spare
    last = max(wanted, key=lambda number: places[number])
    span = range(key, min(len(times), max(wanted) + 1 + MOST_AHEAD))
    left_out = {times[number] for number in span if times[number] in spare and number not in wanted}
    coming = [number for number in span if places[number] <= places[last] and times[number] not in left_out]
    frames = _since(times[key], _decoded(video, key, left_out, times[last]))
    for number, frame in zip_longest(coming, frames):
        # Some files call every packet a key frame: the decoder knows better.
        if not frame or number is None or frame.pts != times[number] or (number == key > 0 and not frame.key_frame):
            raise BrokenOffError("the frames do not match the packets")
        if frame.is_corrupt:
            raise BrokenOffError(DAMAGED)
        if number in wanted:
            yield number, frame


def _decoded(video: IndexedVideo, key: int, left_out: set[int], last: int) -> Iterator[VideoFrame]:
    """Frames from a key frame to the packet with time `last`, without those at the times `left_out`."""
    with faults_break_off():
        for packet in video.packets_from(key):
            if packet.pts not in left_out:
                yield from packet.decode()
            if packet.pts == last:
                break
        yield from video.stream.decode(None)  # flush the decoder


def _since(time: int, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Frames from a time on: after a jump, the decoder may give earlier ones first."""
    return dropwhile(lambda frame: frame.pts is None or frame.pts < time, frames)
