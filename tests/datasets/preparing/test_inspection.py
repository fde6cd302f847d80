"""Inspection of file names: counts, gaps, first numbers and templates."""

import zipfile
from pathlib import Path

import pytest

from common.errors import InputError
from datasets.preparing.inspection import FrameNames, Inspection, find_template, inspect_video, suggest_templates


def names(numbers, tmpl: str = "{:05d}.jpg") -> list[str]:
    return [tmpl.format(number) for number in numbers]


@pytest.mark.parametrize("count", [1, 9, 99_999, 100_010])  # the last one: six digits where the template has five
def test_frames_without_a_gap(count: int) -> None:
    counter = FrameNames("{:05d}.jpg")
    assert counter.count(names(range(count, 0, -1))) == Inspection(count)
    assert counter.count(names(range(1, 3))) == Inspection(2)  # after a longer video


def test_other_files_are_ignored() -> None:
    assert FrameNames("{:05d}.jpg").count(
        [*names(range(1, 5)), "Thumbs.db", "1.jpg", "flow_x_00001.jpg"]
    ) == Inspection(4)


def test_numbers_from_zero() -> None:
    assert FrameNames("{:d}.png").count(names(range(12), "{:d}.png")) == Inspection(11, zero_based=True)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "it is empty"),
        (names([1, 2, 5]), "frame 3 is missing, but 5 exists"),
        (names([0, 1, 2, 5]), "frame 3 is missing, but 5 exists"),
        (names([3, 4]), "start at number 3, not 1"),
        (names([0]), "only frame is number 0"),
        (["a.txt"], r"it has no frame {:05d}.jpg; extract"),
        (names(range(1, 4), "img_{:05d}.jpg"), "give --image_tmpl 'img_{:05d}.jpg'"),
    ],
)
def test_faults(files: list[str], words: str) -> None:
    assert words in FrameNames("{:05d}.jpg").count(files).fault


@pytest.mark.parametrize(
    "tmpl", ["{:05d}.jpg", "img_{:06d}.JPG", "frame{:d}.png", "v2_{:03d}.jpeg", "a{{b}}{:04d}.jpg"]
)
def test_a_template_is_detected(tmpl: str) -> None:
    assert suggest_templates([*names(range(1, 13), tmpl), "cover.jpg", "readme.txt"]) == [tmpl]
    assert suggest_templates(["readme.txt"]) == []


@pytest.mark.parametrize(
    ("images", "templates"),
    [
        ({"flow_y_": 9, "img_": 9, "flow_x_": 9}, ["img_"]),  # TSN's layout
        ({"flow_x_": 90, "v_Skiing_": 9}, ["v_Skiing_"]),
        ({"x_": 9, "y_": 9, "tvl1_flow_": 9, "flowx": 9}, []),
        ({"depth_": 10, "frame": 9}, ["frame"]),
        ({"depth_": 9, "": 9}, [""]),
        ({"depth_": 9, "img_": 4}, ["depth_"]),  # few beside many: previews
        ({"depth_": 9, "flower_": 9}, ["depth_", "flower_"]),
        ({"depth_": 9, "image_": 9, "img_": 9}, ["image_", "img_"]),
    ],
)
def test_which_images_are_the_frames(images: dict[str, int], templates: list[str]) -> None:
    files = [name for prefix, count in images.items() for name in names(range(1, count + 1), prefix + "{:05d}.jpg")]
    for order in (files, files[::-1]):
        assert suggest_templates(order) == [prefix + "{:05d}.jpg" for prefix in templates]


def test_ambiguous_images_must_be_chosen_by_the_user(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in names(range(1, 4), "depth_{:05d}.jpg") + names(range(1, 4), "infrared_{:05d}.jpg"):
        (tmp_path / "a" / name).touch()
    with pytest.raises(
        InputError, match=r"images depth_.* and infrared_.*choose the frames, such as --image_tmpl 'depth_"
    ):
        find_template(tmp_path, ["a"], "{:05d}.jpg")
    look = inspect_video(tmp_path, "a", FrameNames("{:05d}.jpg"))
    assert "its frames are named depth_{:05d}.jpg or infrared_{:05d}.jpg" in look.fault


def test_the_template_of_most_videos(tmp_path: Path) -> None:
    for video, tmpl in (("a", "img_{:05d}.jpg"), ("b", "img_{:05d}.jpg"), ("c", "{:d}.jpg")):
        (tmp_path / video).mkdir()
        for name in names(range(1, 12), tmpl):
            (tmp_path / video / name).touch()
    paths = ["a", "b", "c", "gone"]
    assert find_template(tmp_path, paths, "{:06d}.jpg") == "img_{:05d}.jpg"
    assert find_template(tmp_path, paths, "{:d}.jpg") == "{:d}.jpg"  # the usual one if any video has it
    assert find_template(tmp_path, ["gone"], "{:06d}.jpg") == "{:06d}.jpg"


def test_archives_videos_and_what_is_neither(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for name in names(range(1, 8)):
            archive.writestr(name, b"")
    with zipfile.ZipFile(tmp_path / "4.zip", "w") as archive:
        archive.writestr("4/00001.jpg", b"")
    (tmp_path / "person" / "session").mkdir(parents=True)
    (tmp_path / "person 2").mkdir()
    (tmp_path / "person 2" / "clip.MP4").touch()
    (tmp_path / "damaged.zip").write_bytes(b"PK no zip")
    (tmp_path / "video.mp4").write_bytes(b"x")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    look = {path: inspect_video(tmp_path, path, FrameNames("{:05d}.jpg"))
            for path in ("packed", "damaged", "video.mp4", "empty.mp4", "link", "gone", "blank ",
                         "4", "person", "person 2")}  # fmt: skip
    assert look["packed"] == Inspection(7)
    assert look["video.mp4"] == Inspection(None)
    for path, words in {
        "damaged": "damaged cannot be read (File is not a zip file)",
        "empty.mp4": "empty.mp4 is an empty file",
        "link": f"link is a link to {tmp_path / 'gone'}, which is not there",
        "gone": "there is no frame folder",
        "blank ": "'blank ': a text file",
        "4": "4: the archive contains 4/00001.jpg: frames must be at its top level",
        "person": "person: it contains session instead of frames; nested folders are not searched",
        "person 2": "person 2: it contains clip.MP4 instead of frames; nested folders are not searched",
    }.items():
        assert words in look[path].fault
