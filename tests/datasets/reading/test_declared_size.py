"""Files that lost their end are told from whole ones, whatever the container; and whole ones are never refused."""

import random
import struct
from collections import Counter
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from video_files import write_video

from common.errors import InputError
from datasets.reading.declared_size import EBML, declared_size
from datasets.reading.video_decoding import decode_video
from datasets.reading.video_file import VideoFile

MJPEG = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}
CONTAINERS = {
    "mpeg4.avi": {"codec": "mpeg4"},  # as UCF101 and HMDB51
    "b_frames.avi": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mjpeg.avi": MJPEG,
    "h264.avi": {"codec": "libx264"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}},  # as Something-Something V2
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "9"}},
    "h264.mkv": {"codec": "libx264"},
    "h264.ts": {"codec": "libx264"},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_that_lost_its_end_never_passes_for_a_shorter_one(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, 60, **CONTAINERS[name])
    content = path.read_bytes()
    assert 0 < declared_size(path) <= len(content)
    rng = random.Random(0)
    outcomes = Counter[str]()
    for length in [rng.randrange(100, len(content)) for _ in range(25)]:
        path.write_bytes(content[:length])
        try:
            frames = sum(1 for _ in decode_video(path))
            outcomes["whole"] += 1
            assert frames == 60, f"{frames} frames of {length} bytes"  # only what lies behind the frames is missing
        except InputError as error:
            outcomes["seen" if "cannot be decoded to its end" in str(error) else "not opened"] += 1
    assert outcomes["seen"] > 5


@pytest.mark.parametrize("name", ["mpeg4.avi", "vp8.webm", "vp9.webm", "h264.mkv"])
def test_the_frames_that_are_gone_are_counted_and_named(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, 60, **CONTAINERS[name])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    video = VideoFile(path)
    assert video.num_frames == 60  # counted in the header, or its duration times its rate
    dict(video.frames([2]))
    with pytest.raises(InputError, match=r"frame 60 of 60 cannot be read \(it breaks off.*download"):
        dict(video.frames([2, 59]))
    replaced: list[str] = []
    assert [number for number, _ in video.frames([2, 59], replaced)] == [2, 59]
    assert replaced == [f"{path} frame 60"]


def test_the_frame_at_the_break_is_not_shown_half(tmp_path: Path) -> None:
    """FFmpeg makes a picture of what it has, and grey."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 240, 320, 3)).astype(np.uint8)
    path = tmp_path / "noise.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"qmax": "2"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i, pixels in enumerate(noise):
            frame = av.VideoFrame.from_image(Image.fromarray(pixels))
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole = [image.tobytes() for image in decode_video(path)]
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    there = []
    with pytest.raises(InputError, match="breaks off within frame 3"):
        there.extend(image.tobytes() for image in decode_video(path))
    assert there == whole[:2]


def write_with_sound(path: Path, frames: int, seconds: int) -> Path:
    """A video at 10 frames a second and a sound that lasts longer."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("mp2", rate=16000, layout="mono")
        for i in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48), (i, 0, 0)))))
        container.mux(stream.encode(None))
        for i in range(seconds * 10):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 1600 * i, Fraction(1, 16000)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4", ".ts"])
def test_sound_that_lasts_longer_than_the_picture(tmp_path: Path, suffix: str) -> None:
    path = write_with_sound(tmp_path / f"a{suffix}", 20, 6)
    assert sum(1 for _ in decode_video(path)) == VideoFile(path).num_frames == 20


class Pipe(BytesIO):
    """A file that cannot be rewound: sizes in the header stay unknown."""

    def seekable(self) -> bool:
        return False

    seek = tell = None


@pytest.mark.parametrize(
    ("form", "codec", "options"),
    [
        ("avi", "mpeg4", {}),
        ("matroska", "libx264", {}),
        ("webm", "libvpx", {}),
        ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("mpegts", "libx264", {}),
    ],
)
def test_live_recordings_do_not_know_their_length(
    tmp_path: Path, form: str, codec: str, options: dict[str, str]
) -> None:
    source = write_video(tmp_path / "a.mkv", 30, codec=codec)
    pipe = Pipe()
    with av.open(str(source)) as whole, av.open(pipe, "w", format=form, options=options) as copy:
        stream = copy.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    (tmp_path / "live").write_bytes(pipe.getvalue())
    assert sum(1 for _ in decode_video(tmp_path / "live")) == VideoFile(tmp_path / "live").num_frames == 30


def test_what_follows_the_frames_may_be_anything(tmp_path: Path) -> None:
    """Cameras and uploads leave bytes behind the end."""
    for name in ("a.mp4", "a.mkv", "a.avi"):
        path = write_video(tmp_path / name, 9)
        path.write_bytes(path.read_bytes() + b"\x7f\xff\xff\xffjunk")
        assert declared_size(path) < path.stat().st_size
        assert sum(1 for _ in decode_video(path)) == 9


@pytest.mark.parametrize("content", [b"", b"RI", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00", b"\0\0\0\x10ftyp", b"G"])
def test_heads_of_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert declared_size(tmp_path / "a") == 0


@pytest.mark.parametrize("size", [2**64 - 1, 2**63 - 24, 2**62])
def test_sizes_beyond_every_file(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.mp4").write_bytes(struct.pack(">I4s8x", 16, b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", size))
    assert declared_size(tmp_path / "a.mp4") == 16 + size
    (tmp_path / "a.mkv").write_bytes(EBML + struct.pack(">Q", (1 << 56) + size % (1 << 55)))
    assert declared_size(tmp_path / "a.mkv") == 0
