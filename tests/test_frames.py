"""Reading frames: each once, nothing replaced in silence."""

from pathlib import Path

import pytest
from PIL import Image
from video_files import write_frames

from datasets.frames import FrameFolder
from errors import InputError

TEMPLATE = "{:05d}.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_frames(tmp_path / "video", 5)
    return tmp_path / "video"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-120])


def test_frames_are_the_files_pixels(folder: Path) -> None:
    images, replaced = FrameFolder(folder, TEMPLATE, 5).read([4, 0], replace_unreadable=False)
    assert list(images) == [4, 0]
    assert images[4].tobytes() == Image.open(folder / "00005.jpg").tobytes()
    assert replaced == []


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_colour_mode_becomes_rgb(folder: Path, mode: str) -> None:
    Image.new(mode, (8, 8)).save(folder / "00002.jpg")
    assert FrameFolder(folder, TEMPLATE, 5).read([1], replace_unreadable=False).images[1].mode == "RGB"


@pytest.mark.parametrize(
    "damage", [truncate, lambda p: p.write_bytes(b""), lambda p: p.write_text("no picture"), Path.unlink]
)
def test_training_takes_the_nearest_readable_frame_and_says_so(folder: Path, damage) -> None:
    damage(folder / "00002.jpg")
    damage(folder / "00003.jpg")
    images, replaced = FrameFolder(folder, TEMPLATE, 5).read([1, 2], replace_unreadable=True)
    assert images[1].tobytes() == Image.open(folder / "00001.jpg").tobytes()
    assert images[2].tobytes() == Image.open(folder / "00004.jpg").tobytes()
    assert replaced == [str(folder / "00002.jpg"), str(folder / "00003.jpg")]


def test_a_test_stops_at_a_truncated_frame(folder: Path) -> None:
    truncate(folder / "00002.jpg")
    with pytest.raises(InputError, match=r"00002\.jpg cannot be read .*truncated.*extract"):
        FrameFolder(folder, TEMPLATE, 5).read([1], replace_unreadable=False)


def test_a_folder_with_fewer_frames_than_listed(folder: Path) -> None:
    with pytest.raises(InputError, match=r"video has 5 of the 9 frames that the list says.*--image_tmpl"):
        FrameFolder(folder, TEMPLATE, 9).read([7], replace_unreadable=False)


def test_a_video_without_a_readable_frame(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of its 5 frames"):
        FrameFolder(folder, TEMPLATE, 5).read([0], replace_unreadable=True)
