"""Frames of given numbers from video files: those of the sequential decode, to the pixel, whatever the file."""

import os
import random
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from interruptions import needs_posix
from video_files import damage_frame, write_sound, write_video

from common.errors import InputError
from datasets.reading import video_decoding as video
from datasets.reading import video_file, video_jumps
from datasets.reading.video_decoding import decode_video
from datasets.reading.video_file import VideoFile

KEYS = {"g": "12", "bf": "2"}  # a key frame every 12 frames, B-frames between
LONG = {"codec": "libx264", "options": {"x264-params": "keyint=99:scenecut=0:bframes=3:b-adapt=0:slices=3"}}
OPEN_GOP = {"x264-params": "open-gop=1:keyint=12:bframes=3"}
H264 = {"codec": "libx264", "options": KEYS}


def read(video: VideoFile, numbers: list[int]) -> tuple[dict[int, np.ndarray], list[str]]:
    """Frames with unreadable ones replaced, and the names of these."""
    replaced: list[str] = []
    return dict(video.frames(numbers, replaced)), replaced


def patch(path: Path, mark: bytes, offset: int, content: bytes) -> None:
    """Overwrite bytes of a file, `offset` bytes after the beginning of `mark`."""
    file = bytearray(path.read_bytes())
    start = file.index(mark) + offset
    file[start : start + len(content)] = content
    path.write_bytes(file)


def remux(path: Path, first: int = 0, earlier: int = 0, **options: str) -> None:
    """Copy the packets from number `first` on, their times earlier by tenths of a second."""
    with av.open(str(path)) as source, av.open(str(path.with_stem("copy")), "w", options=options) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        shift = int(Fraction(earlier, 10) / source.streams.video[0].time_base)
        for packet in [packet for packet in source.demux(video=0) if packet.size][first:]:
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            copy.mux(packet)
    path.with_stem("copy").replace(path)


def quarter_turn(path: Path) -> None:
    """The angle that a phone writes: a matrix in the header of the track."""
    patch(path, b"tkhd", 44, struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30))


def late_stream(path: Path) -> None:
    """Repeat half of the packets at the end, as those of another stream."""
    content = path.read_bytes()
    packets = [bytearray(content[at : at + 188]) for at in range(0, len(content), 188)]
    of_the_video = [packet for packet in packets if packet[1] & 31 == 1 and packet[2] == 0]  # PID 256
    for packet in of_the_video[len(of_the_video) // 2 :]:
        packet[2] = 0x30
        content += packet
    path.write_bytes(content)


def wrong_header(path: Path) -> None:
    patch(path, b"avih", 24, struct.pack("<I", 99))
    patch(path, b"strh", 40, struct.pack("<I", 99))


KINDS: dict[str, tuple[dict, Callable[[Path], object] | None]] = {
    "h264.mp4": (H264, None),
    "long_gop.mp4": (LONG, None),
    "fields.mkv": (
        {"codec": "libx264", "options": {"x264-params": "interlaced=1:keyint=30:scenecut=0:bframes=3:b-adapt=0"}},
        None,
    ),
    "fragments.mp4": (H264, lambda path: remux(path, movflags="frag_keyframe+empty_moov")),
    "hevc.mp4": ({"codec": "libx265", "options": {"x265-params": "keyint=12:log-level=none"}}, None),
    "open_gop.mkv": ({"codec": "libx264", "options": OPEN_GOP}, None),
    "intra_refresh.mkv": ({"codec": "libx264", "options": {"x264-params": "intra-refresh=1:keyint=12"}}, None),
    "vp9.webm": ({"codec": "libvpx-vp9", "options": {"g": "12"}}, None),
    "vp8.webm": ({"codec": "libvpx", "options": {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "9"}}, None),
    "b_frames.avi": ({"codec": "mpeg4", "options": KEYS | {"b": "4000000", "qmax": "2"}}, None),
    "no_times.h264": (H264, None),
    "stream.ts": (H264, None),
    "uneven_times.mp4": (H264 | {"times": [i + i * i // 9 for i in range(40)]}, None),
    "odd_size.mp4": (H264 | {"size": (65, 47), "pix_fmt": "yuv444p"}, None),
    "turned.mp4": (H264, quarter_turn),
    "wrong_count.avi": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, wrong_header),
    "all_keys.mp4": (H264, lambda path: patch(path, b"stss", 0, b"free")),
    "cut.mkv": (H264, lambda path: remux(path, first=17)),  # from the middle on: some packets give no frame
    "latin1_tag.avi": ({"codec": "mpeg4"}, lambda path: patch(path, b"Lavf", 0, b"\xd3")),  # not UTF-8
    "cut_open_gop.ts": ({"codec": "libx264", "options": OPEN_GOP}, lambda path: remux(path, first=12)),  # as TV does
    "late_stream.ts": (H264, late_stream),  # PyAV's demux ends with an IndexError
    "edited.mp4": (H264, lambda path: remux(path, earlier=17, avoid_negative_ts="disabled")),  # some are not shown
}


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_of_the_sequential_decode(tmp_path: Path, kind: str) -> None:
    options, change = KINDS[kind]
    path = write_video(tmp_path / kind, 40, **options)
    if change:
        change(path)
    frames = [image.tobytes() for image in decode_video(path)]
    assert len(set(frames)) == len(frames)  # so that a wrong one is seen
    video = VideoFile(path)
    assert video.num_frames == len(frames)
    rng = random.Random(0)
    for size in (1, 1, 2, 5, 12):
        indices = rng.sample(range(len(frames)), size)
        for reader in (video, VideoFile(path, len(frames))):  # one that knows the packets, and one that keeps them
            images, replaced = read(reader, indices)
            assert {number: image.tobytes() for number, image in images.items()} == {i: frames[i] for i in indices}
            assert replaced == []


def test_the_kinds_of_files_are_what_their_names_say(tmp_path: Path) -> None:
    """Otherwise the test above would prove less than it seems to."""
    turned, wrong, cut, edited = (
        write_video(tmp_path / kind, 40, **KINDS[kind][0])
        for kind in ("turned.mp4", "wrong_count.avi", "cut.mkv", "edited.mp4")
    )
    for path in (turned, wrong, cut, edited):
        KINDS[path.name][1](path)
    assert next(decode_video(turned)).shape == (64, 48, 3)
    with av.open(str(wrong)) as container:
        assert container.streams.video[0].frames == 99
    assert VideoFile(cut).num_frames < 23
    assert VideoFile(edited).num_frames == 23


@pytest.mark.parametrize("kind", ["h264.mp4", "vp9.webm", "open_gop.mkv", "uneven_times.mp4", "edited.mp4"])
def test_late_frames_are_read_without_the_early_ones(tmp_path: Path, kind: str, monkeypatch) -> None:
    options, change = KINDS[kind]
    path = write_video(tmp_path / kind, 40, **options)
    if change:
        change(path)
    video = VideoFile(path)
    monkeypatch.setattr(VideoFile, "_from_the_start", None)
    since, decoded = video_jumps._since, []
    monkeypatch.setattr(video_jumps, "_since", lambda *args: (decoded.append(f) or f for f in since(*args)))
    read(video, [video.num_frames - 2])
    assert 0 < len(decoded) <= 12


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_frames_that_no_other_builds_on_are_left_out(tmp_path: Path, suffix: str, monkeypatch) -> None:
    path = write_video(tmp_path / f"a.{suffix}", 40, **LONG)
    whole = [image.tobytes() for image in decode_video(path)]
    monkeypatch.setattr(VideoFile, "_from_the_start", None)
    since, decoded = video_jumps._since, []
    monkeypatch.setattr(video_jumps, "_since", lambda *args: (decoded.append(f) or f for f in since(*args)))
    spare = VideoFile(path).index.spare
    for number, time in enumerate(VideoFile(path).index.times):
        decoded.clear()
        assert [image.tobytes() for _, image in VideoFile(path, 40).frames([number])] == [whole[number]]
        assert spare.intersection(frame.pts for frame in decoded) == spare.intersection([time])
    assert 10 < len(spare) < 30


def test_damage_in_a_frame_that_is_left_out_does_not_matter(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 40, **LONG)
    whole = [image.tobytes() for image in decode_video(path)]
    index = VideoFile(path).index
    number = next(number for number, time in enumerate(index.times) if time in index.spare and number > 20)
    damage_frame(path, index.places[number])
    assert [image.tobytes() for _, image in VideoFile(path, 40).frames([number - 1, 39])] == [
        whole[number - 1],
        whole[39],
    ]
    with pytest.raises(InputError, match=rf"frame {number + 1} of 40 cannot be read \(a frame is damaged\)"):
        dict(VideoFile(path, 40).frames([number]))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_clip_opens_its_file_once(tmp_path: Path, name: str, monkeypatch) -> None:
    path, opened = write_video(tmp_path / name, 40, **H264), []
    av_open = av.open
    monkeypatch.setattr(av, "open", lambda *args, **options: opened.append(args) or av_open(*args, **options))
    dict(VideoFile(path, 40).frames([3, 9]))
    assert len(opened) == 1


@pytest.mark.parametrize(("kept", "times_read"), [(1 << 20, 0), (100, 2)])
def test_the_packets_of_a_small_file_are_read_once(tmp_path: Path, monkeypatch, kept: int, times_read: int) -> None:
    path, read_again = write_video(tmp_path / "a.mp4", 40, **H264), []
    whole = [image.tobytes() for image in decode_video(path)]
    all_packets = video_jumps.all_packets
    monkeypatch.setattr(video_jumps, "all_packets", lambda *args: read_again.append(args) or all_packets(*args))
    monkeypatch.setattr(video_file, "MOST_KEPT", kept)
    images = dict(VideoFile(path, 40).frames([3, 38]))
    assert [images[number].tobytes() for number in (3, 38)] == [whole[3], whole[38]]
    assert len(read_again) == times_read


def broken(path: Path) -> Path:
    """A third of the file is missing; its header is whole."""
    write_video(path, 60, codec="libx264", options=KEYS)
    remux(path, movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


def test_training_takes_the_last_frame_of_a_broken_file_and_says_so(tmp_path: Path) -> None:
    video = VideoFile(broken(tmp_path / "a.mp4"))
    assert video.num_frames == 60  # by its header
    images, replaced = read(video, [3, 57, 58])
    assert images[57].tobytes() == images[58].tobytes() != images[3].tobytes()
    assert replaced == [f"{tmp_path / 'a.mp4'} frame 58", f"{tmp_path / 'a.mp4'} frame 59"]


def test_a_test_stops_at_a_broken_file(tmp_path: Path) -> None:
    video = VideoFile(broken(tmp_path / "a.mp4"))
    dict(video.frames([3]))
    with pytest.raises(InputError, match=r"a\.mp4: frame 58 of 60 cannot be read \(it breaks off within frame 13\)"):
        dict(video.frames([3, 57]))


@pytest.mark.parametrize(("damaged", "instead"), [(12, 11), (0, 12)])
def test_damaged_frames_are_unreadable_until_the_next_key_frame(tmp_path: Path, damaged: int, instead: int) -> None:
    """FFmpeg makes up the parts that it cannot decode, and marks that frame, but none that build on it."""
    path, until = write_video(tmp_path / "a.mp4", 40, **H264), damaged + 12
    whole = [image.tobytes() for image in decode_video(path)]
    damage_frame(path, damaged)
    video = VideoFile(path)
    assert video.num_frames == 40
    wanted = [39, damaged + 1, until, damaged]
    images, replaced = read(video, wanted)
    assert {number: whole.index(image.tobytes()) for number, image in images.items()} == {
        39: 39,
        damaged + 1: instead,
        until: until,
        damaged: instead,
    }
    assert replaced == [f"{path} frame {damaged + 2}", f"{path} frame {damaged + 1}"]
    for number in (damaged, until - 1):
        with pytest.raises(InputError, match=rf"frame {number + 1} of 40 cannot be read \(a frame is damaged\)"):
            dict(video.frames([39, number]))
    assert [image.tobytes() for _, image in video.frames([until, 39])] == [whole[until], whole[39]]
    with pytest.raises(InputError, match=r"cannot be decoded to its end \(a frame is damaged\)"):
        list(decode_video(path))


def test_a_video_without_an_undamaged_frame_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 9, codec="libx264")
    damage_frame(path, 0)
    with pytest.raises(InputError, match=r"frame 4 of 9 cannot be read \(a frame is damaged\)"):
        read(VideoFile(path), [8, 3])


def test_all_errors_of_pyav_are_damage(tmp_path: Path, monkeypatch) -> None:
    class Reformatter:
        whole = VideoReformatter()

        def reformat(self, frame: av.VideoFrame, **options: object) -> av.VideoFrame:
            if frame.pts >= fifth:
                raise IndexError("unforeseen")
            return self.whole.reformat(frame, **options)

    path = write_video(tmp_path / "a.mp4", 9, **H264)
    fifth = VideoFile(path).index.times[5]
    frames = list(decode_video(path))
    monkeypatch.setattr(video, "VideoReformatter", Reformatter)
    with pytest.raises(InputError, match=r"a\.mp4 cannot be decoded to its end \(IndexError: unforeseen"):
        list(decode_video(path))
    with pytest.raises(InputError, match=r"a\.mp4: frame 6 of 9 cannot be read \(IndexError: unforeseen"):
        dict(VideoFile(path).frames([3, 5]))
    images, replaced = read(VideoFile(path), [3, 5, 8])
    assert [image.tobytes() for image in images.values()] == [frames[i].tobytes() for i in (3, 4, 4)]
    assert replaced == [f"{path} frame 6", f"{path} frame 9"]


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xd3", 0, 1, "invalid"), IndexError("unforeseen")])
def test_all_errors_of_opening_name_the_file(tmp_path: Path, monkeypatch, error: Exception) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    path = write_video(tmp_path / "a.mp4", 9)
    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(InputError, match=r"a\.mp4 cannot be opened \(\w+Error: .*(invalid|unforeseen)"):
        VideoFile(path)


def test_fewer_frames_than_listed(tmp_path: Path) -> None:
    video = VideoFile(write_video(tmp_path / "a.mp4", 7), 9)
    assert video.num_frames == 9
    with pytest.raises(InputError, match=r"frame 9 of 9 cannot be read \(the video has 7\).*correct the list"):
        dict(video.frames([8]))
    assert read(video, [8])[1] == [f"{tmp_path / 'a.mp4'} frame 9"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("sound", "no video stream"),
        (b"", "cannot be opened"),
        (b"text", "cannot be opened"),
        ("head", "cannot be opened"),
    ],
)
@pytest.mark.parametrize("num_frames", [None, 5])
def test_files_that_are_not_videos(tmp_path: Path, content, words: str, num_frames: int | None) -> None:
    path = tmp_path / "a.wav"
    if content == "sound":
        write_sound(path)
    elif content == "head":
        path.write_bytes(write_video(tmp_path / "a.mp4", 9).read_bytes()[:200])
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        dict(VideoFile(path, num_frames).frames([0]))


def test_messages_of_ffmpeg_are_not_logged(tmp_path: Path, caplog) -> None:
    """As importing torchvision 0.24 or older sets PyAV up."""
    path = write_video(tmp_path / "v.mp4", 3)
    av.logging.set_level(av.logging.ERROR)
    try:
        with video.open_video(path, quick=True):
            pass
    finally:
        av.logging.set_level(None)
    assert caplog.text == ""


@needs_posix
def test_names_that_look_like_something_else(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http:a.mp4", "a%03d.mp4", "vidéo 'ü' \"q\".mp4", "-i.mp4"):
        write_video(tmp_path / "a.mp4", 3).rename(tmp_path / name)
        assert VideoFile(Path(name)).num_frames == 3


@needs_posix
def test_nothing_stays_open(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 40, **H264)
    damaged = broken(tmp_path / "b.mp4")
    before = len(os.listdir("/dev/fd"))
    readers = [VideoFile(path) for _ in range(20)] + [VideoFile(damaged) for _ in range(20)]
    for reader in readers:
        read(reader, [1, 39])
    next(decode_video(path))
    assert len(os.listdir("/dev/fd")) == before
