"""Finding clips by name in folders of any layout."""

import unicodedata
from pathlib import Path

import pytest

from datasets.preparing.annotations.files import Clip
from datasets.preparing.media import find_clips
from errors import InputError


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
    assert found == {"x": ["petting animal not cat/x.mp4", "abc/x.mp4"]}


def test_accents_in_both_forms(tmp_path: Path) -> None:
    name = "café"
    decomposed = unicodedata.normalize("NFD", name)
    (tmp_path / f"{decomposed}.mp4").touch()
    assert find_clips(tmp_path, "videos", [clip(name)]) == {name: [f"{decomposed}.mp4"]}


def test_case_counts_unless_it_is_folded(tmp_path: Path) -> None:
    (tmp_path / "aBc.mp4").touch()
    assert find_clips(tmp_path, "videos", [clip("abc")]) == {}
    assert find_clips(tmp_path, "videos", [clip("abc")], fold_case=True) == {"abc": ["aBc.mp4"]}


def test_frames_are_not_searched_for_clips(tmp_path: Path, monkeypatch) -> None:
    """Not those of a clip, and not those beside many clips; circles of links come to an end."""
    for name in ("1", "2", "3", "test"):
        (tmp_path / name / "1").mkdir(parents=True)
    assert find_clips(tmp_path, "frames", [clip(name) for name in "123"]) == {name: [name] for name in "123"}
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    assert set(find_clips(tmp_path, "videos", [clip("1")])) == set()


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the folder .*gone: No such file"):
        find_clips(tmp_path / "gone", "videos", [clip("a")])
