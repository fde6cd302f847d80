"""List files: accepted lines, and the error of each bad one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputError
from common.files import file_hash
from datasets.lists import (
    VideoRecord,
    clip_ids,
    format_line,
    is_writable,
    read_list,
    repeated_lines,
)
from datasets.records import Window, absent_classes


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_may_hold_blanks_and_any_letters(tmp_path: Path) -> None:
    path = write(tmp_path, "a/b 12 0\nmy own  vidéo 3 40 2\n\n")
    assert read_list(path, 3) == [VideoRecord("a/b", 12, 0), VideoRecord("my own  vidéo 3", 40, 2)]


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("b.mp4 1", VideoRecord("b.mp4", None, 1)),
        ("my ten 1", VideoRecord("my ten", None, 1)),
        ("take 2.mp4 1", VideoRecord("take 2.mp4", None, 1)),
        ("take 2 1", VideoRecord("take", 2, 1)),  # a path whose last word is a number needs its number of frames
        ("take 2 40 1", VideoRecord("take 2", 40, 1)),
        ("clip 1_0 1", VideoRecord("clip 1_0", None, 1)),
        ("3 1", VideoRecord("3", None, 1)),
    ],
)
def test_a_line_may_leave_out_the_number_of_frames(tmp_path: Path, line: str, record: VideoRecord) -> None:
    assert read_list(write(tmp_path, f"a 10 0\n{line}\n"), 3) == [VideoRecord("a", 10, 0), record]


def test_without_a_class_count_every_label_from_0_is_fine(tmp_path: Path) -> None:
    assert read_list(write(tmp_path, "a 999\n"))[0].label == 999
    with pytest.raises(InputError, match="label -1 is below 0"):
        read_list(write(tmp_path, "a -1\n"))


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("b 12 -1", VideoRecord("b", 12, -1)),
        ("b.mp4 -1", VideoRecord("b.mp4", None, -1)),
        ("take 2.mp4", VideoRecord("take 2.mp4", None, -1)),
        ("10012", VideoRecord("10012", None, -1)),
    ],
)
def test_a_list_without_labels(tmp_path: Path, line: str, record: VideoRecord) -> None:
    path = write(tmp_path, f"a.mp4\n{line}\n")
    assert read_list(path, 3, may_lack_labels=True) == [VideoRecord("a.mp4", None, -1), record]
    with pytest.raises(InputError, match=r"train\.txt:1: 'a.mp4' does not end in .*list for tests"):
        read_list(path, 3)


@pytest.mark.parametrize("line", ["b", "b.mp4 -1", "b 12 -1"])
def test_a_missing_label_among_others(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"a.mp4 0\n{line}\n")
    for may_lack_labels in (False, True):
        with pytest.raises(InputError, match=r"train\.txt:2: .*label.*list for tests may lack labels"):
            read_list(path, 3, may_lack_labels=may_lack_labels)


def test_a_number_of_frames_is_taken_for_the_label(tmp_path: Path) -> None:
    """A line `path num_frames` is a line `path label`, which the number of classes may reveal."""
    with pytest.raises(InputError, match=r":1: label 48 is outside 0 ... 2"):
        read_list(write(tmp_path, "10012 48\n10013 2\n"), 3, may_lack_labels=True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("b", ["'b'", "the label", "`path num_frames label`", "`path label`"]),
        ("7", ["'7'", "the label"]),
        ("b.mp4 1.5", ["whole number, the label"]),
        ("b 10 1.5", ["whole number, the label"]),
        ("b 10 1_0", ["whole number, the label"]),
        ("b -4 1", ["-4 frames", "1 or more"]),
        ("b 0 1", ["0 frames"]),
        ("b 40 0 1", ["0 frames", "several labels", "with_offset"]),
        ("b.mp4 0 1", ["0 frames", "several labels"]),
        ("b 10 -1", ["label -1", "0 ... 2"]),
        ("b 10 3", ["label 3", "1-based", "class names"]),
        ("b 10 9", ["label 9", "class names"]),
        ("a 10 1", ["'a'", "line 1"]),
    ],
)
def test_a_bad_line_is_named_with_its_place(tmp_path: Path, line: str, words: list[str]) -> None:
    path = write(tmp_path, f"a 10 0\n{line}\n")
    with pytest.raises(InputError) as error:
        read_list(path, 3)
    assert str(error.value).startswith(f"{path}:2: ")
    assert all(word in str(error.value) for word in words)


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_list(write(tmp_path, "x 1\n" * 9), 3)
    assert str(error.value).count("in line 1 already") == 5
    assert "and 3 more" in str(error.value)


def test_one_clip_in_two_spellings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.txt:2: '\./a//b 1\.mp4' is in line 1 already"):
        read_list(write(tmp_path, "a/b 1.mp4 0\n./a//b 1.mp4 0\n"))


def test_missing_and_empty_lists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt"):
        read_list(tmp_path / "gone.txt", 3)
    with pytest.raises(InputError, match="no clips"):
        read_list(write(tmp_path, "\n\n"), 3)


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    first = file_hash(write(tmp_path, "a 1 0\n"))
    assert first == file_hash(write(tmp_path, "a 1 0\n"))
    assert first != file_hash(write(tmp_path, "a 1 1\n"))


@pytest.mark.parametrize(
    "record",
    [
        VideoRecord("a b/é 'q'", 12, 3),
        VideoRecord("my 12.mp4", None, 0),
        VideoRecord("clip  12", 5, 0),
        VideoRecord("12", None, -1),
    ],
)
def test_lists_survive_writing_and_reading(tmp_path: Path, record: VideoRecord) -> None:
    assert is_writable(record)
    assert read_list(write(tmp_path, format_line(record)), may_lack_labels=True) == [record]


@pytest.mark.parametrize("path", ["a ", " a", "a\nb", "a\x85b", "a\udcff", "", "clip 12"])
def test_paths_that_a_list_cannot_hold(path: str) -> None:
    """In the last one, 12 would be taken for the number of frames."""
    assert not is_writable(VideoRecord(path, None, 0))


def test_a_byte_order_mark_is_not_part_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("a 1 0\n", encoding="utf-8-sig")
    assert read_list(path) == [VideoRecord("a", 1, 0)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[\n  {"id": "1"}]', ["JSON", "prepare_data.py"]),
        ('{"Approaching something": "0"}', ["JSON", "prepare_data.py"]),
        ("label,youtube_id,time_start,time_end,split\na,b,1,2,val\n", ["Kinetics", "prepare_data.py kinetics"]),
        ("100218;Swiping Left\n", ["id;class", "jester"]),
        ("OP01-R01-PastaSalad-66680-68130-F001597-F001639 1 2 3 4 \n", ["EGTEA", "prepare_data.py egtea"]),
        ("Archery/v_Archery_g01_c01.avi\r\n", ["UCF101", "prepare_data.py ucf101"]),
        ("a/b.mp4,3\n", ["commas"]),
        ("a/b,12,3\n", ["commas"]),
        ("a/b, 3\n", ["commas"]),
        ("a/b;3\n", ["semicolons"]),
        ("path,label\na/b.mp4,3\n", ["commas", "header"]),
        ("a/b 12 3,5\n", ["several labels", "one label per line"]),
    ],
)
def test_files_of_another_form_are_recognised(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_list(path)
    assert str(error.value).startswith(f"{path} is ")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_an_official_file_of_hmdb51(tmp_path: Path) -> None:
    """Its flags would be read as labels."""
    write(tmp_path, "a_b_u_nm_np1_ba_goo_0.avi 1 \n").rename(tmp_path / "brush_hair_test_split1.txt")
    with pytest.raises(InputError, match=r"split1\.txt is an official file of HMDB51.*prepare_data\.py hmdb51"):
        read_list(tmp_path / "brush_hair_test_split1.txt")


@pytest.mark.parametrize(
    "line",
    ["[sub] take 1.mp4 0", "{a} 3 0", "a,b 12 0", "take; 2.mp4 0", "1;2 12 0", "v_a_g01_c01.avi 0", "a, b 1,2 5 0"],
)
def test_paths_that_look_odd_are_read(tmp_path: Path, line: str) -> None:
    assert read_list(write(tmp_path, line))[0].path == line.rsplit(maxsplit=2 if line.split()[-2].isdigit() else 1)[0]


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("d 10f 50f 3", VideoRecord("d", None, 3, (), Window(10, 50, False))),
        ("my v.mp4 10 50 3", VideoRecord("my v.mp4", None, 3, (), Window(10, 50, False))),
        ("v.MP4 1.5 3.25 3", VideoRecord("v.MP4", None, 3, (), Window(1.5, 3.25, True))),
        ("d 0s 3s 3", VideoRecord("d", None, 3, (), Window(0, 3, True))),
        ("d 10 50 3", VideoRecord("d 10", 50, 3)),  # whole numbers are a window only after the name of a video file
        ("d 1.5 40 3", VideoRecord("d 1.5", 40, 3)),
        ("d 10f 40 3", VideoRecord("d 10f", 40, 3)),
    ],
)
def test_a_line_may_name_a_part_of_a_video(tmp_path: Path, line: str, record: VideoRecord) -> None:
    assert read_list(write(tmp_path, f"{line}\n"), 4) == [record]
    assert read_list(write(tmp_path, format_line(record)), 4) == [record]
    assert is_writable(record)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("v.mp4 1.5 3 0", ["two units"]),
        ("v.mp4 1s 50f 0", ["two units"]),
        ("v.mp4 50 10 0", ["50 to 10", "frames"]),
        ("v.mp4 0 10 0", ["count from 1"]),
        ("d 3s 3s 0", ["3s to 3s", "seconds"]),
    ],
)
def test_a_window_that_cannot_be_meant(tmp_path: Path, line: str, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        read_list(write(tmp_path, f"a 9 0\n{line}\n"), 4)
    assert all(word in str(error.value) for word in [":2: ", *words])


def test_two_windows_of_one_video_are_two_clips(tmp_path: Path) -> None:
    records = read_list(write(tmp_path, "v.mp4 1s 2s 0\nv.mp4 1s 3s 0\nv.mp4 0\n"))
    assert (len(set(clip_ids(records))), repeated_lines(records)) == (3, 0)
    assert next(clip_ids(records)) == "v 1s 2s"  # as in a list of frames
    with pytest.raises(InputError, match=r":2: '\./v\.mp4 1s 2s' is in line 1 already"):
        read_list(write(tmp_path, "v.mp4 1s 2s 0\n./v.mp4 1.0 2.0 0\n"))


def test_a_list_without_labels_may_have_windows(tmp_path: Path) -> None:
    path = write(tmp_path, "v.mp4 1s 2s\nd 3f 9f -1\n")
    ids = [record.id for record in read_list(path, 3, may_lack_labels=True)]
    assert ids == ["v.mp4 1s 2s", "d 3f 9f"]


def test_several_labels_per_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp4 3,5,7\nb 40 0\nc 12 1,0\nv.mp4 1s 2s 2,3\n")
    records = read_list(path, 8, multi_label=True)
    assert [record.labels for record in records] == [(3, 5, 7), (0,), (1, 0), (2, 3)]
    assert records[2] == VideoRecord("c", 12, 1, (0,))
    assert "".join(map(format_line, records)) == path.read_text()
    assert absent_classes("abcdefgh", records) == ["e", "g"]
    with pytest.raises(InputError, match=r"train\.txt is a list with several labels per line"):
        read_list(path, 8)


@pytest.mark.parametrize(("labels", "words"), [("3,9", "label 9"), ("3,3", "twice"), ("3,", "whole number")])
def test_several_labels_with_a_bad_one(tmp_path: Path, labels: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"train\.txt:2: .*{words}"):
        read_list(write(tmp_path, f"a 9 0,1\nb {labels}\n"), 8, multi_label=True)


def test_a_number_that_no_list_has(tmp_path: Path) -> None:
    for line in ("a 9 99999999999", "a 99999999999 0"):
        with pytest.raises(InputError, match=r"train\.txt:1: .*99999999999"):
            read_list(write(tmp_path, line))


def test_a_header_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.txt:1: 'path num_frames label'.*header, remove it"):
        read_list(write(tmp_path, "path num_frames label\na 1 0\n"))


def test_tabs_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(b"\xef\xbb\xbfa b\t12\t1\r\nc/ 3 0\r\n")
    assert read_list(path) == [VideoRecord("a b", 12, 1), VideoRecord("c/", 3, 0)]


def test_utf_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("a 1 0\n", encoding="utf-16")
    with pytest.raises(InputError, match=r"train\.txt is not UTF-8 text but UTF-16"):
        read_list(path)


def test_repeated_lines_of_a_train_list(tmp_path: Path) -> None:
    """Equal lines may be intended; any other line of a listed clip is a fault."""
    path = write(tmp_path, "a 9 0\nb 9 1\na 9 0\na 9 0\n")
    records = read_list(path, may_repeat=True)
    assert (len(records), repeated_lines(records)) == (4, 2)
    with pytest.raises(InputError, match=r":3: 'a' is in line 1 already; keep one"):
        read_list(path)
    with pytest.raises(InputError, match=r":2: 'a' is in line 1 already, with label 0"):
        read_list(write(tmp_path, "a 9 0\na 9 1\n"), may_repeat=True)
    with pytest.raises(InputError, match=r":2: 'a' is in line 1 already"):
        read_list(write(tmp_path, "a 9 0\na 8 0\n"), may_repeat=True)


@given(st.text(st.characters(exclude_characters=",;[{")), st.none() | st.integers(1, 10**9), st.integers(-1, 10**9))
def test_every_record_that_can_be_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, path: str, num_frames: int | None, label: int
) -> None:
    """A list of one line with these characters may be taken for a table or JSON."""
    record = VideoRecord(path, num_frames, label)
    if is_writable(record):
        list_file = tmp_path_factory.getbasetemp() / "list.txt"
        list_file.write_text(format_line(record), encoding="utf-8", newline="")
        assert read_list(list_file, may_lack_labels=True) == [record]


@given(st.binary() | st.text(alphabet="a/. 019-,;{[\t\n\r\x00\x85").map(str.encode))
def test_any_file_is_a_list_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    list_file = tmp_path_factory.getbasetemp() / "list.txt"
    list_file.write_bytes(content)
    fault = None
    try:
        read_list(list_file)
    except InputError as error:
        fault = str(error)
    assert fault is None or str(list_file) in fault
