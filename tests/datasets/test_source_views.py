"""Views of sources: the frames that are read, and faults that do not stop the other videos."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor
from video_files import write_frames, write_video

from common.errors import InputError
from datasets.lists import VideoRecord
from datasets.plans import EvalPlan
from datasets.preprocessing import eval_preprocessing
from datasets.reading import video_file
from datasets.reading.sources import Source, find_sources
from datasets.reading.video_decoding import ToRgb, decode_video
from datasets.view_dataset import SourceViews

PLAN = EvalPlan(4, 1, eval_preprocessing(32))


def read_clip(source: Path) -> Tensor:
    return SourceViews(find_sources([str(source)]), [PLAN], "auto").read(0).clip(0)


def clip_of(source: Path, numbers: list[int]) -> Tensor:
    """The clip of these frames, from a video that is decoded whole."""
    return torch.from_numpy(eval_preprocessing(32)(np.stack(list(decode_video(source)))))[numbers][None, :, None]


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
    """The last packets have a frame header and no frame. With a listed number of frames it is an error, as in tests."""
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
    with pytest.raises(InputError, match="of 40 cannot be read"):
        SourceViews([Source(source, VideoRecord("x", 40, 0))], [PLAN], "auto").read(0)


def test_a_video_that_breaks_off(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    with pytest.raises(InputError, match=r"a\.avi cannot be decoded to its end \(it breaks off"):
        read_clip(path)


def test_a_fault_is_a_value(tmp_path: Path, monkeypatch) -> None:
    """Whatever a damaged file raises."""
    write_frames(tmp_path / "good", 3)
    views = SourceViews(find_sources([str(tmp_path / "none.mp4"), str(tmp_path / "good")]), [PLAN], "auto")
    assert "none.mp4" in views[0]
    assert views[1].video_id == str(tmp_path / "good")
    monkeypatch.setattr("datasets.view_dataset.open_source", lambda *_: 1 / 0)
    assert "good cannot be read (ZeroDivisionError" in views[1]
