"""Reading frames from folders and archives: each once, nothing replaced silently."""

import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_files import write_frames

from common.errors import InputError
from datasets.reading.frames import FrameArchive, FrameFolder, frame_number

TEMPLATE = "{:05d}.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_frames(tmp_path / "video", 5)
    return tmp_path / "video"


def read(video: FrameFolder | FrameArchive, numbers: list[int]) -> tuple[dict[int, np.ndarray], list[str]]:
    """Frames with unreadable ones replaced, and the names of these."""
    replaced: list[str] = []
    return dict(video.frames(numbers, replaced)), replaced


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-120])


def test_frames_are_the_files_pixels(folder: Path) -> None:
    images, replaced = read(FrameFolder(folder, TEMPLATE, 5), [4, 0])
    assert list(images) == [4, 0]
    assert np.array_equal(images[4], Image.open(folder / "00005.jpg"))
    assert replaced == []


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_colour_mode_becomes_rgb(folder: Path, mode: str) -> None:
    Image.new(mode, (8, 8)).save(folder / "00002.jpg")
    assert next(FrameFolder(folder, TEMPLATE, 5).frames([1]))[1].shape == (8, 8, 3)


@pytest.mark.parametrize(
    "damage", [truncate, lambda p: p.write_bytes(b""), lambda p: p.write_text("no picture"), Path.unlink]
)
def test_training_takes_the_nearest_readable_frame_and_says_so(folder: Path, damage) -> None:
    damage(folder / "00002.jpg")
    damage(folder / "00003.jpg")
    images, replaced = read(FrameFolder(folder, TEMPLATE, 5), [1, 2])
    assert np.array_equal(images[1], Image.open(folder / "00001.jpg"))
    assert np.array_equal(images[2], Image.open(folder / "00004.jpg"))
    assert replaced == [str(folder / "00002.jpg"), str(folder / "00003.jpg")]


def test_a_test_stops_at_a_truncated_frame(folder: Path) -> None:
    truncate(folder / "00002.jpg")
    with pytest.raises(InputError, match=r"00002\.jpg cannot be read .*truncated.*extract"):
        dict(FrameFolder(folder, TEMPLATE, 5).frames([1]))


def test_a_folder_with_fewer_frames_than_listed(folder: Path) -> None:
    with pytest.raises(InputError, match=r"video has 5 of the 9 listed frames.*--image_tmpl"):
        dict(FrameFolder(folder, TEMPLATE, 9).frames([7]))


def test_a_video_without_a_readable_frame(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of its 5 frames"):
        read(FrameFolder(folder, TEMPLATE, 5), [0])


def test_frames_of_other_names_than_image_tmpl(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no frames named img_.*--image_tmpl"):
        read(FrameFolder(folder, "img_{:05d}.jpg", 5), [0])


def pack(folder: Path, method: int = zipfile.ZIP_STORED) -> Path:
    """The folder's files in an archive beside it."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_gives_the_files_pixels(folder: Path, method: int) -> None:
    images, replaced = read(FrameArchive(pack(folder, method), TEMPLATE, 5), [4, 0])
    assert list(images) == [4, 0]
    assert np.array_equal(images[4], Image.open(folder / "00005.jpg"))
    assert replaced == []


def test_damage_inside_an_archive(folder: Path) -> None:
    (folder / "00003.jpg").unlink()
    path = pack(folder)
    content = path.read_bytes()
    middle = content.index(b"00002.jpg") + 300  # in the picture: its checksum is wrong then
    path.write_bytes(content[:middle] + b"damage" + content[middle + 6 :])
    archive = FrameArchive(path, TEMPLATE, 5)
    images, replaced = read(archive, [1, 2])
    assert np.array_equal(images[1], Image.open(folder / "00001.jpg"))
    assert np.array_equal(images[2], Image.open(folder / "00004.jpg"))
    assert replaced == [str(path / "00002.jpg"), str(path / "00003.jpg")]
    with pytest.raises(InputError, match=r"00002\.jpg cannot be read .*CRC.*extract"):
        dict(archive.frames([1]))
    with pytest.raises(InputError, match=r"video\.zip has 4 of the 5 listed frames \(00003\.jpg"):
        dict(archive.frames([2]))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, "encrypted"])
def test_a_member_that_cannot_be_unpacked(folder: Path, method) -> None:
    """Each way of packing has its own errors."""
    path = pack(folder, zipfile.ZIP_STORED if method == "encrypted" else method)
    content = bytearray(path.read_bytes())
    if method == "encrypted":
        content[content.index(b"00002.jpg") - 24] |= 1  # the flags, in front of the picture and in the directory
        content[content.rindex(b"00002.jpg") - 38] |= 1
    else:
        start = content.index(b"00002.jpg") + 9
        content[start + 4 : start + 60] = b"\xff" * 56
    path.write_bytes(content)
    archive = FrameArchive(path, TEMPLATE, 5)
    images, replaced = read(archive, [1])
    assert np.array_equal(images[1], Image.open(folder / "00001.jpg"))
    assert replaced == [str(path / "00002.jpg")]
    with pytest.raises(InputError, match=r"00002\.jpg cannot be read .*extract"):
        dict(archive.frames([1]))


def test_far_too_many_listed_frames(folder: Path) -> None:
    """Time and memory depend on the existing files."""
    reader = FrameFolder(folder, TEMPLATE, 10**12)
    images, replaced = read(reader, [10**11])
    assert np.array_equal(images[10**11], Image.open(folder / "00005.jpg"))
    assert len(replaced) == 1
    with pytest.raises(InputError, match=f"has 5 of the {10**12:,} listed frames"):
        dict(reader.frames([10**11]))


def test_a_missing_folder(folder: Path) -> None:
    reader = FrameFolder(folder, TEMPLATE, 5)
    folder.rename(folder.with_name("elsewhere"))
    for replaced in ([], None):
        with pytest.raises(InputError, match="video cannot be read .*No such file"):
            dict(reader.frames([1], replaced))


def test_files_that_macos_adds_are_ignored(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        (folder / f"._{name}").write_bytes(b"\0\5\x16\7")
    path = pack(folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._00001.jpg", b"\0\5\x16\7")
    for reader in (FrameFolder(folder, TEMPLATE), FrameArchive(path, TEMPLATE)):
        assert sorted(reader.names()) == names


@pytest.mark.parametrize("content", [b"", b"no archive", "half"])
@pytest.mark.parametrize("replaced", [[], None])
def test_a_broken_archive_is_never_replaced(folder: Path, content, replaced: list[str] | None) -> None:
    path = pack(folder)
    path.write_bytes(path.read_bytes()[:-99] if content == "half" else content)
    with pytest.raises(InputError, match=r"video\.zip cannot be read"):
        dict(FrameArchive(path, TEMPLATE, 5).frames([0], replaced))
    with pytest.raises(InputError, match=r"video\.zip cannot be read"):
        FrameArchive(path, TEMPLATE)


def test_frames_are_counted_by_their_numbers(folder: Path) -> None:
    """A gap is an unreadable frame; other files do not count."""
    (folder / "00002.jpg").unlink()
    for name in ("00009.png", "x00009.jpg", "000009.jpg", "notes.txt"):
        (folder / name).write_text("")
    assert FrameFolder(folder, TEMPLATE).num_frames == 5
    assert FrameArchive(pack(folder), TEMPLATE).num_frames == 5


def test_a_folder_that_cannot_be_listed(folder: Path, monkeypatch) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(InputError, match="video cannot be read .*Permission denied"):
        FrameFolder(folder, TEMPLATE)


@pytest.mark.parametrize(
    ("name", "template", "number"),
    [
        ("00012.jpg", "{:05d}.jpg", 12),
        ("img_00012.jpg", "img_{:05d}.jpg", 12),
        ("123456.jpg", "{:05d}.jpg", 123456),
        ("12.jpg", "{:05d}.jpg", None),
        ("00012.png", "{:05d}.jpg", None),
        (".jpg", "{:d}.jpg", None),
        ("a{7}.jpg", "a{{{:d}}}.jpg", 7),
    ],
)
def test_numbers_in_names(name: str, template: str, number: int | None) -> None:
    assert frame_number(name, template) == number


@pytest.mark.parametrize("declared", [None, 1000])
def test_a_frame_that_grows_when_it_is_unpacked_is_refused(tmp_path: Path, monkeypatch, declared: int | None) -> None:
    """Whatever size the archive declares."""
    monkeypatch.setattr("datasets.reading.frames.LARGEST_IMAGE", 25 << 20)
    path = tmp_path / "video.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("00001.jpg", "w") as file:
        for _ in range(30):
            file.write(bytes(1 << 20))
    if declared is not None:
        whole = path.read_bytes()
        path.write_bytes(whole.replace(struct.pack("<I", 30 << 20), struct.pack("<I", declared)))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"video\.zip/00001\.jpg cannot be read"):
            dict(FrameArchive(path, TEMPLATE, 1).frames([0]))
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
