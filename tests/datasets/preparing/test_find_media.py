"""Finding clips by name in folders of any layout."""

import unicodedata
from pathlib import Path

import pytest

from common.errors import InputError
from datasets.preparing.annotations.base import Clip
from datasets.preparing.find_media import find_clips, media_below


def clip(name: str, folder: str = "") -> Clip:
    return Clip(name, 0, "list:1", folder)


def test_videos_and_frames_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a.MP4", "b.zip", "c.txt", "d.1.webm"):
        (tmp_path / name).touch()
    clips = [clip(name) for name in ("a", "b", "c", "d.1")]
    assert find_clips(tmp_path, "videos", clips) == {"a": ["a.MP4"], "d.1": ["d.1.webm"]}
    assert find_clips(tmp_path, "frames", clips) == {"a": ["a"], "b": ["b"]}


def test_the_folder_of_the_class_comes_first(tmp_path: Path) -> None:
    for folder in ("abc", "petting animal not cat"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.mp4").touch()
    found = find_clips(tmp_path, "videos", [clip("x", "petting animal (not cat)")])
    assert found == {"petting animal (not cat)/x": ["petting animal not cat/x.mp4", "abc/x.mp4"]}


def test_clips_with_one_name_are_told_apart_by_folder(tmp_path: Path) -> None:
    for folder in ("brush_hair", "wave", "else"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.avi").touch()
    clips = [clip("same", "brush_hair"), clip("same", "Wave"), clip("same", "run")]
    found = {"brush_hair/same": ["brush_hair/same.avi"], "Wave/same": ["wave/same.avi"]}
    assert find_clips(tmp_path, "videos", clips) == found
    assert find_clips(tmp_path, "videos", clips * 2) == found  # in several splits


def test_accents_in_both_forms(tmp_path: Path) -> None:
    name = "café"
    decomposed = unicodedata.normalize("NFD", name)
    (tmp_path / f"{decomposed}.mp4").touch()
    assert find_clips(tmp_path, "videos", [clip(name)]) == {name: [f"{decomposed}.mp4"]}


def test_case_matters_unless_folded(tmp_path: Path) -> None:
    (tmp_path / "aBc.mp4").touch()
    assert find_clips(tmp_path, "videos", [clip("abc")]) == {}
    assert find_clips(tmp_path, "videos", [clip("abc")], fold_case=True) == {"abc": ["aBc.mp4"]}


def test_clips_are_found_in_any_folder_beside_others(tmp_path: Path) -> None:
    """However few a folder has; four levels deep."""
    for name in ("1.mp4", "2.mp4", "3.mp4", "part 2/4.mp4", "part 3/b/c/5.mp4", "part 3/b/c/d/6.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_clips(tmp_path, "videos", [clip(name) for name in "123456"])
    assert sorted(path for (path,) in found.values()) == [
        "1.mp4", "2.mp4", "3.mp4", "part 2/4.mp4", "part 3/b/c/5.mp4",
    ]  # fmt: skip


def test_frames_of_a_clip_are_not_searched(tmp_path: Path) -> None:
    (tmp_path / "1" / "2").mkdir(parents=True)
    assert find_clips(tmp_path, "frames", [clip("1"), clip("2")]) == {"1": ["1"]}


def test_circular_links(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    found = find_clips(tmp_path, "videos", [clip("a")])
    assert found["a"][0] == "a.mp4"


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the folder .*gone: No such file"):
        find_clips(tmp_path / "gone", "videos", [clip("a")])


def test_media_below(tmp_path: Path) -> None:
    """Through links, but not forever; no hidden files."""
    for name in ("a/x.MP4", "a/._x.mp4", "f/1/00001.JPG", "f/2.zip", "t/c.txt", "b/c/d/e.mp4"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).touch()
    (tmp_path / "root" / "l").symlink_to(tmp_path / "root" / "a")
    (tmp_path / "root" / "circle").symlink_to(tmp_path / "root")
    videos, frames = (list(media_below(tmp_path / "root", kind)) for kind in ("videos", "frames"))
    assert {"a/x.MP4", "l/x.MP4", "circle/a/x.MP4"} <= set(videos)
    assert [path for path in frames if "circle" not in path] == ["f/2.zip", "f/1"]
