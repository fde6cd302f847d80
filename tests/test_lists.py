"""List files: what is read, and the error of each bad line."""

from pathlib import Path

import pytest

from datasets.lists import VideoRecord, format_line, is_writable, list_hash, read_list
from errors import InputError


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
    ("line", "words"),
    [
        ("b", ["'b'", "the label", "`path num_frames label`", "`path label`"]),
        ("7", ["'7'", "the label"]),
        ("b.mp4 1.5", ["whole number, the label"]),
        ("b 10 1.5", ["whole number, the label"]),
        ("b 10 1_0", ["whole number, the label"]),
        ("b -4 1", ["-4 frames", "1 or more"]),
        ("b 0 1", ["0 frames"]),
        ("b 10 -1", ["label -1", "0 ... 2"]),
        ("b 10 3", ["label 3", "1-based"]),
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
    assert str(error.value).count("stands in line 1 too") == 5
    assert "and 3 more" in str(error.value)


def test_one_clip_in_two_spellings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.txt:2: '\./a//b 1\.mp4' stands in line 1 too"):
        read_list(write(tmp_path, "a/b 1.mp4 0\n./a//b 1.mp4 0\n"))


def test_missing_and_empty_lists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt"):
        read_list(tmp_path / "gone.txt", 3)
    with pytest.raises(InputError, match="no clips"):
        read_list(write(tmp_path, "\n\n"), 3)


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    first = list_hash(write(tmp_path, "a 1 0\n"))
    assert first == list_hash(write(tmp_path, "a 1 0\n"))
    assert first != list_hash(write(tmp_path, "a 1 1\n"))


@pytest.mark.parametrize(
    "record", [VideoRecord("a b/é 'q'", 12, 3), VideoRecord("my 12.mp4", None, 0), VideoRecord("clip  12", 5, 0)]
)
def test_what_is_written_is_read(tmp_path: Path, record: VideoRecord) -> None:
    assert is_writable(record)
    assert read_list(write(tmp_path, format_line(record))) == [record]


@pytest.mark.parametrize("path", ["a ", " a", "a\nb", "a\x85b", "a\udcff", "", "clip 12"])
def test_what_a_list_cannot_hold(path: str) -> None:
    """The last one: without a number of frames its 12 would be taken for it."""
    assert not is_writable(VideoRecord(path, None, 0))


def test_a_byte_order_mark_is_no_part_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("a 1 0\n", encoding="utf-8-sig")
    assert read_list(path) == [VideoRecord("a", 1, 0)]
