"""The scripts: the table of networks, and frames from video files."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from video_files import write_video

from datasets.lists import VideoRecord, read_list
from datasets.video import decode_video
from errors import InputError
from ops.flops import count_macs, count_parameters
from ops.models import build_model

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def test_counts_are_the_published_ones() -> None:
    """H2CN-R50, 174 classes: 24.06 M parameters without the unused stem, 33.61 and 67.22 G multiply-adds."""
    model = build_model("H2CN", "resnet50", 174, 8)
    assert count_parameters(model) == 24_061_064
    assert count_macs(model, 224) / 1e9 == pytest.approx(33.61, abs=0.005)
    assert count_macs(build_model("H2CN", "resnet50", 174, 16), 224) / 1e9 == pytest.approx(67.22, abs=0.005)
    assert count_macs(build_model("TDN", "resnet50", 174, 8), 224) / 1e9 == pytest.approx(35.64, abs=0.005)
    assert count_macs(build_model("TSM", "resnet50", 174, 8), 224) / 1e9 == pytest.approx(32.70, abs=0.005)


def run_script(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """As a user runs it, from any folder."""
    command = [sys.executable, str(SCRIPTS / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_model_info_prints_a_table(tmp_path: Path) -> None:
    done = run_script("model_info.py", "--net", "H2CN", "--arch", "resnet50", "--num_segments", "8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    heading, row, note = done.stdout.splitlines()
    assert row.split() == ["H2CN", "resnet50", "8", "24.06", "M", "8.84", "33.61", "43.89"]
    assert "multiply-adds" in note
    assert "GMACs at 224" in heading


def test_a_network_of_torchvision_has_one_row(tmp_path: Path) -> None:
    done = run_script(
        "model_info.py", "--net", "r2plus1d_18", "--num_segments", "16", "--num_class", "400", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    _, row, _ = done.stdout.splitlines()
    assert row.split()[:6] == ["r2plus1d_18", "torchvision", "16", "31.51", "M", "40.52"]  # as torchvision publishes it


def test_frames_are_decoded_in_order(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 9)
    frames = list(decode_video(tmp_path / "a.mp4"))
    reds = [np.asarray(frame)[..., 0].mean() for frame in frames]
    assert len(frames) == 9
    assert np.allclose(reds, np.arange(9) * 20, atol=6)


def test_extraction_writes_folders_and_the_list(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "a b.mp4", 7)
    write_video(tmp_path / "videos" / "c" / "d.mp4", 5)
    (tmp_path / "videos.txt").write_text("a b.mp4 99 1\nc/d.mp4 0\n")
    arguments = ["videos.txt", "videos", "frames", "train.txt", "--short_side", "24"]
    done = run_script("extract_frames.py", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 videos, 12 frames" in done.stdout
    assert read_list(tmp_path / "train.txt", 2) == [VideoRecord("a b", 7, 1), VideoRecord("c/d", 5, 0)]
    assert [path.name for path in sorted((tmp_path / "frames" / "c" / "d").iterdir())] == [
        f"{i:05d}.jpg" for i in range(1, 6)
    ]
    assert Image.open(tmp_path / "frames" / "a b" / "00007.jpg").size == (32, 24)


def test_a_video_that_fails_is_named_and_the_others_are_extracted(tmp_path: Path) -> None:
    write_video(tmp_path / "good.mp4", 4)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "videos.txt").write_text("bad.mp4 0\ngood.mp4 1\ngone.mp4 1\n")
    done = run_script("extract_frames.py", "videos.txt", ".", "frames", "train.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert "2 videos failed" in done.stderr
    assert "bad.mp4" in done.stderr
    assert "gone.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert read_list(tmp_path / "train.txt", 2) == [VideoRecord("good", 4, 1)]
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["good"]  # nothing half-written


def test_a_bad_line_of_the_video_list(tmp_path: Path) -> None:
    (tmp_path / "videos.txt").write_text("a.mp4\n")
    done = run_script("extract_frames.py", "videos.txt", ".", "frames", "train.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert "videos.txt:1: 'a.mp4' is not `path label`" in done.stderr


def test_a_file_without_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        list(decode_video(tmp_path / "sound.wav"))
