"""scripts/prepare_data.py folder NAME CSV: what a CSV file may contain, and the error for each bad line."""

import json
import re
import zipfile
from pathlib import Path

import pytest
from video_files import write_frames, write_video

from common.errors import InputError
from datasets.catalogue import resolve
from datasets.lists import VideoRecord, read_list
from scripts.prepare_data import main

CLIPS = {"a/1.mp4": "wave", "a/2.avi": "clap", "a/take 3": "wave", "b/packed.zip": "clap", "b/x, y.mp4": "wave"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """A folder "clips" with videos, a frame folder and an archive, not sorted by class."""
    for name in CLIPS:
        if name.endswith((".mp4", ".avi")):
            write_video(tmp_path / "clips" / name, 3)
    write_frames(tmp_path / "clips" / "a" / "take 3", 4)
    (tmp_path / "clips" / "b").mkdir(exist_ok=True)
    with zipfile.ZipFile(tmp_path / "clips" / "b" / "packed.zip", "w") as archive:
        for number in (1, 2):
            archive.writestr(f"{number:05d}.jpg", b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, path: str = "clips/mine.csv") -> str:
    Path(path).write_text(text, encoding="utf-8")
    return path


def lines(clips: dict[str, str] = CLIPS) -> str:
    return "".join(f'"{path}",{label}\n' for path, label in clips.items())


def prepared(*flags: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Class names, and path -> class of each clip of both lists."""
    main(["folder", "mine", *flags, "--val_share", "0.4"])
    spec = resolve("mine")
    records = [record for which in ("train", "val") for record in read_list(spec.lists[which], spec.num_class)]
    assert {r.num_frames for r in records if r.path == "a/take 3"} <= {4}
    return spec.class_names, {r.path: spec.class_names[r.label] for r in records}


EXPECTED = {path.removesuffix(".zip"): label for path, label in CLIPS.items()}


@pytest.mark.parametrize("header", ["", "path,label\n", " Video , Class\n", "\ufeff", "\n"])
def test_videos_frames_and_archives(here: Path, header: str) -> None:
    assert prepared(write(header + lines())) == (("clap", "wave"), EXPECTED)
    assert (here / "data" / "mine" / "frames").resolve() == here / "clips"


def test_other_spellings_of_the_same_paths(here: Path) -> None:
    """Absolute paths, a dot, a trailing slash, blanks around the comma, Windows line ends, another folder."""
    text = (
        f'{here}/clips/a/1.mp4,wave\r\n./a/2.avi , clap\r\na//take 3/,wave\r\nb/packed,clap\r\n"b/x, y.mp4", wave\r\n'
    )
    write(text, "elsewhere.csv")
    assert prepared("elsewhere.csv", "--root_path", "clips") == (("clap", "wave"), EXPECTED)


def test_labels_as_numbers_and_class_orders(here: Path) -> None:
    names = write("wave\nclap\n", "names.txt")
    number = {"wave": "0", "clap": "1"}
    table = write(lines({path: number[label] for path, label in CLIPS.items()}))
    with pytest.raises(InputError, match=r"mine\.csv: the labels are numbers; give .*--classes FILE"):
        prepared(table)
    assert prepared(table, "--classes", names) == (("wave", "clap"), EXPECTED)
    assert prepared(write(lines()), "--classes", names) == (("wave", "clap"), EXPECTED)
    with pytest.raises(InputError, match=r"--classes .*only in the file: jump; only in the annotations: clap"):
        prepared(table, "--classes", write("wave\njump\n", "names.txt"))


def test_classes_of_folders_in_a_given_order(here: Path) -> None:
    assert prepared("clips", "--classes", write("b\nA\n", "names.txt"))[0] == ("b", "a")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a/1.mp4", r"mine\.csv:3: 'a/1\.mp4' is not `path,label`"),
        ("a/1.mp4;wave", "`path,label`"),
        ("a/1.mp4,wave,3", "`path,label`"),
        ("a/1.mp4,", "`path,label`"),
        (",wave", "`path,label`"),
        ("./a/2.avi,wave", r"mine\.csv:3: 'a/2\.avi' is already at \S*mine\.csv:2;"),
        ("a/2.mp4,clap", r":3: 'a/2\.mp4' is already at \S*:2 as 'a/2\.avi'"),
        ("../1.mp4,wave", r":3: '\.\./1\.mp4' is not in clips; .*--root_path"),
        ("/etc/1.mp4,wave", r":3: '/etc/1\.mp4' is not in clips"),
        (".,wave", "is not in clips"),
        ("mine.csv,wave", r"'mine\.csv' is not a video or an archive by its name"),
        ('"a/1.mp4,wave', r":3: unexpected end"),
    ],
)
def test_a_bad_line_is_named(here: Path, line: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        prepared(write(f"path,label\na/2.avi,clap\n{line}\n"))
    assert not (here / "data").exists()


def test_bad_and_repeated_lines_are_named_together(here: Path) -> None:
    with pytest.raises(InputError) as error:
        prepared(write("a/1.mp4,wave\na/2.avi\n./a/1.mp4,clap\n"))
    assert re.search(r"mine\.csv:2: 'a/2\.avi'.*\n.*mine\.csv:3: 'a/1\.mp4' is already at", str(error.value))


@pytest.mark.parametrize("label", ["2", "-1", "1.0", "01"])
def test_a_number_that_is_not_a_label(here: Path, label: str) -> None:
    table = write(f"a/1.mp4,0\na/2.avi,{label}\n")
    with pytest.raises(
        InputError, match=rf"mine\.csv:2: label {re.escape(label)} is not one of 0 \.\.\. 1, .*names\.txt"
    ):
        prepared(table, "--classes", write("wave\nclap\n", "names.txt"))


def test_missing_clips(here: Path, capsys) -> None:
    prepared(write(f"{lines()}gone.mp4,jump\n"))
    out = capsys.readouterr().out
    assert "all: 1 missing: gone.mp4" in out
    assert "1 class without a clip: jump" in out
    report = json.loads((here / "data" / "mine" / "report.json").read_text())["reports"]["all"]
    assert (report["annotated"], report["missing"], report["listed"]) == (6, ["gone.mp4"], 5)
    with pytest.raises(InputError, match=r"mine\.csv:1: there is no clips/clip_path; .*header"):
        prepared(write(f"clip_path,action\n{lines()}"))
    with pytest.raises(InputError) as error:
        prepared(write(lines(), "here.csv"))
    assert all(words in str(error.value) for words in ["'a/1.mp4'", "here.csv:1", "'clips/a/1.mp4'", "--root_path"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["clips/mine.csv", "--root_path", "gone"], "--root_path gone is not a folder"),
        (["clips/mine.csv", "--split", "folders"], "--split folders needs a folder as ROOT"),
        (["clips", "--root_path", "clips"], "--root_path belongs to a CSV file"),
        (["empty.csv"], "no clips"),
        (["clips/a/1.mp4"], "is not UTF-8"),
        (["gone.csv"], r"gone\.csv: No such file"),
    ],
)
def test_bad_flags(here: Path, flags: list[str], words: str) -> None:
    write(lines())
    write("path,label\n", "empty.csv")
    with pytest.raises(InputError, match=words):
        prepared(*flags)


def test_sources_and_folds(here: Path) -> None:
    clips = {f"c/{who}_{i}.mp4": ("clap", "wave")[i % 2] for who in ("ann", "bo", "cy") for i in range(4)}
    for path in clips:
        (here / "clips" / path).parent.mkdir(exist_ok=True)
        (here / "clips" / path).write_bytes(b"video")
    main(["folder", "mine", write(lines(clips)), "--group_pattern", r"/([a-z]+)_", "--folds", "3"])
    tests = [read_list(resolve("mine", split=f"fold{k}", need=("test",)).lists["test"]) for k in (1, 2, 3)]
    sources = [{record.path.split("_")[0] for record in records} for records in tests]
    assert sorted(sources, key=sorted) == [{"c/ann"}, {"c/bo"}, {"c/cy"}]
    assert VideoRecord("c/bo_1.mp4", None, 1) in [record for records in tests for record in records]
