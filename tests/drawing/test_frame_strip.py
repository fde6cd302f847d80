"""Strips of frames from folders, archives and video files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_files import write_frames, write_video

from common.errors import InputError
from drawing.frame_strip import frame_strip


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))


def test_a_frame_folder_from_its_first_frame_to_its_last(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in range(1, 11):
        Image.new("RGB", (320, 240), (25 * number, 0, 0)).save(tmp_path / "a" / f"img_{number:03d}.jpg")
    strip = opened(frame_strip(tmp_path, "a", "img_{:03d}.jpg"))
    assert strip.height <= 80
    red = np.asarray(strip)[20, :, 0]
    assert [int(red[int(strip.width * (i + 0.5) / 4)]) for i in range(4)] == pytest.approx([25, 100, 175, 250], abs=6)


@pytest.mark.parametrize(("frames", "size"), [(1, (40, 30)), (2, (2000, 4)), (3, (4, 2000))])
def test_few_frames_of_odd_sizes(tmp_path: Path, frames: int, size: tuple[int, int]) -> None:
    write_frames(tmp_path / "a", frames, size)
    strip = opened(frame_strip(tmp_path, "a", "{:05d}.jpg"))
    assert strip.width <= frames * 170
    assert strip.height <= 80


def test_a_video_file(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 12)
    red = np.asarray(opened(frame_strip(tmp_path, "a.mp4", "{:05d}.jpg")))[20, :, 0].astype(int)
    assert red[-20] > red[20] + 100


@pytest.mark.parametrize(
    ("video", "template"), [("none", "{:05d}.jpg"), ("a", "x.jpg"), ("a", "{}{}"), ("b", "{:05d}.jpg")]
)
def test_what_cannot_be_read(tmp_path: Path, video: str, template: str) -> None:
    write_frames(tmp_path / "a", 3)
    write_frames(tmp_path / "b", 3)
    (tmp_path / "b" / "00001.jpg").write_bytes(b"damaged")
    with pytest.raises(InputError):
        frame_strip(tmp_path, video, template)
