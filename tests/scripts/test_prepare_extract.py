"""scripts/prepare_data.py --extract: from videos to lists of their frames in one step."""

import json
import os
import signal
from pathlib import Path

import pytest
from annotation_files import write_ucf101
from interruptions import stop_after_first
from PIL import Image
from video_files import write_frames, write_video

from common.errors import InputError
from datasets.catalogue import resolve
from datasets.lists import read_list
from datasets.preparing import parallel
from datasets.preparing.extraction import Extraction
from scripts import check_data
from scripts.prepare_data import main

EXTRACT = ["--extract", "32", "24", "-j", "1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """Two classes, each with four videos of two persons."""
    for class_name in ("run", "walk"):
        for number, name in enumerate(["p1 a", "p1-b", "p2 a", "p2.c"]):
            write_video(tmp_path / "clips" / class_name / f"{name}.mp4", 2 + number)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepare(*flags: str) -> None:
    main(["folder", "mine", "clips", *flags])


def lists() -> dict[str, list[tuple[str, int | None, int]]]:
    """List -> its clips, without the suffix of videos."""
    return {
        path.stem: [(r.path.removesuffix(".mp4"), r.num_frames, r.label) for r in read_list(path)]
        for path in Path("data/mine").glob("[tv]*.txt")
    }


@pytest.mark.parametrize("flags", [[], ["--group_pattern", r"/(p\d)", "--test_share", "0.4"], ["--folds", "2"]])
def test_frames_are_split_like_their_videos(here: Path, flags: list[str], capsys) -> None:
    if "--test_share" in flags:
        for class_name in ("run", "walk"):
            write_video(here / "clips" / class_name / "p3.mp4", 4)
    prepare(*flags)
    of_videos = lists()
    prepare(*flags, *EXTRACT)
    of_frames = lists()
    assert "Replaced t" in capsys.readouterr().out
    assert {key: [(path, label) for path, _, label in clips] for key, clips in of_videos.items()} == {
        key: [(path, label) for path, _, label in clips] for key, clips in of_frames.items()
    }
    assert ("walk/p2.c", 5, 1) in [clip for clips in of_frames.values() for clip in clips]
    assert Image.open("data/mine/frames/walk/p2.c/00005.jpg").size == (32, 24)
    split = ["--split", "fold2"] if "--folds" in flags else []
    check_data.main(["mine", "--decode", "-j", "1", *split])
    assert "inspecting test videos" in capsys.readouterr().out or not flags


def test_the_same_command_resumes(here: Path, monkeypatch) -> None:
    """A stop loses nothing and leaves no list of missing frames."""

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "track", stop_after_first)
        patch.setattr("datasets.preparing.preparation.in_threads", lambda work, items, _title: list(map(work, items)))
        with pytest.raises(KeyboardInterrupt):
            prepare(*EXTRACT)
    assert not Path("data/mine/train.txt").exists()
    first = Path("data/mine/frames/run/p1 a").stat().st_mtime_ns
    prepare(*EXTRACT)
    assert sum(map(len, lists().values())) == 8
    assert Path("data/mine/frames/run/p1 a").stat().st_mtime_ns == first
    with pytest.raises(InputError, match=r"frames made with size \[32, 24\], now \[24, 32\]"):
        prepare("--extract", "24", "32")


def test_a_video_that_fails_is_named_and_left_out(here: Path, capsys) -> None:
    prepare("--group_pattern", r"/(p\d)")
    before = lists()
    Path("clips/run/p1-b.mp4").write_bytes(b"no video")
    with pytest.raises(
        InputError, match=r"1 of 8 videos failed, left out of the lists; reasons in \S*report\.json.*\n.*p1-b\.mp4"
    ):
        prepare("--group_pattern", r"/(p\d)", *EXTRACT)
    out = capsys.readouterr().out
    assert "all: 1 dropped: clips/run/p1-b.mp4 cannot be opened" in out
    paths = {key: [path for path, *_ in clips] for key, clips in lists().items()}
    assert paths == {key: [path for path, *_ in clips if path != "run/p1-b"] for key, clips in before.items()}
    report = json.loads(Path("data/mine/report.json").read_text())
    own = "train" if "run/p1-b" in [path for path, *_ in before["train"]] else "val"
    assert [report["reports"][key]["listed"] for key in ("all", own)] == [7, 3]
    assert list(report["reports"][own]["dropped"]) == ["run/p1-b.mp4"]
    assert report["sources"][own] == {"p1": 3}


def test_a_list_whose_videos_all_fail(here: Path, capsys) -> None:
    prepare("--group_pattern", r"/(p\d)", *EXTRACT)
    for path, *_ in lists()["val"]:
        Path("clips", f"{path}.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="4 of 8 videos failed"):
        prepare("--group_pattern", r"/(p\d)", *EXTRACT)
    out = capsys.readouterr().out
    assert "val: none of its clips can be used, so the list is not written" in out
    assert "Removed val.txt" in out
    assert list(lists()) == ["train"]
    for path in Path("clips").rglob("*.mp4"):
        path.write_bytes(b"no video")
    before = Path("data/mine/report.json").read_bytes()
    with pytest.raises(InputError, match="none of the 8 videos can be used: clips"):
        prepare(*EXTRACT)
    assert Path("data/mine/report.json").read_bytes() == before


@pytest.mark.usefixtures("forked_workers")
def test_what_cannot_be_extracted(here: Path, monkeypatch) -> None:
    write_frames(here / "clips" / "run" / "frames already", 2)
    with pytest.raises(InputError, match="--extract needs videos, but run/frames already in clips are frames"):
        prepare(*EXTRACT)
    (here / "clips" / "run" / "frames already").rename(here / "elsewhere")
    with pytest.raises(InputError, match="--image_tmpl {:05d}.gif"):
        prepare(*EXTRACT, "--image_tmpl", "{:05d}.gif")
    (here / "data" / "mine" / "frames" / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="frames has files that were not made by this script"):
        prepare(*EXTRACT)
    (here / "data" / "mine" / "frames" / "mine").rmdir()
    with monkeypatch.context() as patch:
        patch.setattr(Extraction, "__call__", lambda *_args: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(InputError, match="a process was killed.*.*rerun the same command"):
            prepare(*EXTRACT)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", lambda *_args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(InputError, match="No space left on device; .*rerun the same command"):
            prepare(*EXTRACT)
    assert not Path("data/mine/train.txt").exists()


def test_an_official_data_set(here: Path) -> None:
    """Its lists share videos; each is extracted once, with the data set's frame names."""
    expected = write_ucf101(here / "official")
    for clip in {clip for clips in expected.values() for clip in clips}:
        write_video(here / "UCF-101" / f"{clip}.avi", 3)
    flags = ["ucf101", "--annotations", "official", *EXTRACT]
    with pytest.raises(InputError, match="--videos: there is no folder data/ucf101/videos"):
        main(flags)
    for _ in range(2):
        main([*flags, "--videos", "UCF-101"])
        for split in ("split1", "split2", "split3"):
            spec = resolve("ucf101", split=split)
            records = [record for which in ("train", "val") for record in read_list(spec.lists[which], 101)]
            assert {record.path for record in records} == {
                clip for which in ("train", "val") for clip in expected[f"{which}_{split}"]
            }
            assert all(record.num_frames == 3 for record in records)
            assert (spec.root_path / records[0].path / "00003.jpg").is_file()
