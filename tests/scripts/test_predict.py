"""predict.py without a network: which frames it reads from which sources."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from video_files import write_video

import predict
from common.errors import InputError
from datasets.clip_dataset import ClipPlan
from datasets.reading import video_file
from datasets.reading.video_decoding import ToRgb, decode_video
from datasets.transforms import eval_preprocessing


def reds(source: Path) -> list[int]:
    """The red value of each frame, from grey PNGs."""
    reader = predict.open_source(source, "auto")
    return [int(image[0, 0, 0]) for _, image in reader.frames(range(reader.num_frames))]


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Even without leading zeros; optical flow and files added by macOS are skipped."""
    frames = tmp_path / "clip"
    frames.mkdir()
    for number in range(1, 13):
        Image.new("L", (4, 4), 10 * number).save(frames / f"{number}.png")
        for flow in ("flow_x", "flow_y"):
            Image.new("L", (4, 4)).save(frames / f"{flow}_{number:05d}.png")
        (frames / f"._{number}.png").write_bytes(b"\0\5\x16\7")
    shutil.make_archive(str(frames), "zip", frames)
    assert reds(frames) == reds(tmp_path / "clip.zip") == [10 * number for number in range(1, 13)]


def test_a_truncated_archive(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "clip" / "1.png")
    archive = Path(shutil.make_archive(str(tmp_path / "clip"), "zip", tmp_path / "clip"))
    archive.write_bytes(archive.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"clip\.zip cannot be read \(File is not a zip file\)"):
        reds(archive)


@pytest.mark.parametrize("name", ["clip.zip", "clip.mp4"])
def test_a_missing_source_suggests_a_similar_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=rf"or a folder or \.zip of frames \(there is {name}\)"):
        reds(tmp_path / "clip")


def read_clip(source: Path) -> Tensor:
    return predict.read_clip(source, "auto", ClipPlan(4, 1, eval_preprocessing(32)))


def clip_of(source: Path, numbers: list[int]) -> Tensor:
    """The clip of these frames, from a video that is decoded whole."""
    frames = torch.from_numpy(eval_preprocessing(32)(np.stack(list(decode_video(source)))))
    return frames[numbers].movedim(-1, -3)[None, :, None]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("raw.h264", "libx264")])
def test_only_the_frames_of_the_clip_are_kept(tmp_path: Path, name: str, codec: str, monkeypatch) -> None:
    """Also in files without a frame count."""
    path = write_video(tmp_path / name, 60, codec=codec)
    converted = []
    monkeypatch.setattr(video_file, "ToRgb", lambda: lambda frame: (converted.append(frame.pts), ToRgb()(frame))[1])
    clip = read_clip(path)
    assert len(converted) <= 4 + 1  # the one at which the packets were compared with the frames
    assert clip.equal(clip_of(path, [7, 22, 37, 52]))


def test_fewer_frames_than_packets(tmp_path: Path) -> None:
    """The last packets have a frame header and no frame."""
    path = write_video(
        tmp_path / "a.mkv", 40, codec="libx265", options={"x265-params": "keyint=12:bframes=0:log-level=none"}
    )
    source = tmp_path / "empty_end.mkv"
    with av.open(str(path)) as whole, av.open(str(source), "w") as copy:
        stream = copy.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(packet for packet in whole.demux(video=0) if packet.size):
            new = packet if number < 28 else av.Packet(b"\0\0\0\3\x46\1\x50")
            new.pts, new.dts, new.time_base, new.stream = packet.pts, packet.dts, packet.time_base, stream
            copy.mux(new)
    assert (len(list(decode_video(source))), video_file.VideoFile(source).num_frames) == (28, 40)
    assert read_clip(source).equal(clip_of(source, [3, 10, 17, 24]))


def test_a_video_that_breaks_off(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    with pytest.raises(InputError, match=r"a\.avi cannot be decoded to its end \(it breaks off"):
        read_clip(path)
