"""List files: one clip per line, `path num_frames label`, `path label` or `path start end label`."""

import os
import posixpath
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from common.errors import InputError, counted, quoted, refuse
from datasets.other_lists import other_form
from datasets.records import NO_LABEL, Records, VideoRecord, Window

UNWRITABLE = "a text file with one name per line cannot hold it (a blank at an end, a line break, not UTF-8); rename it"
LINE_FORMS = "`path num_frames label` or, for video files, `path label`"
LARGEST = 2**31 - 1  # label or number of frames
VIDEO_SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)  # in lower or upper case
MORE_NUMBERS = (
    "several labels are written 3,5,7, and a part of a video `path 10f 50f label`; lists with several labels in blanks "
    "or with an offset (mmaction2's with_offset) cannot be read"
)
_WITHOUT = "a list for tests may lack labels, but then in every line"
_ONE_TOO_HIGH = "subtract 1 if the labels are 1-based; otherwise check the list and the class names"
_TEXT_CHUNK = 1 << 20  # characters that are split into lines at a time


def read_list(
    list_file: Path,
    num_class: int | None = None,
    *,
    may_repeat: bool = False,
    may_lack_labels: bool = False,
    multi_label: bool = False,
) -> Records:
    """Read a list file.

    Args:
        list_file: lines `path num_frames label`, or `path label` if the last word but one is not a whole number. Paths
            may contain blanks: the numbers are taken from the right. (So a path whose last word is a whole number needs
            its number of frames; a video file's last word ends in the file's suffix.) A part of a video is
            `path start end label`, with `10f 50f` for frames and `1.5s 4s` for seconds. Empty lines are skipped.
        num_class: K; labels are 0 ... K-1. None: any number of classes.
        may_repeat: allow equal lines, as in a train list that shows some clips more often than others.
        may_lack_labels: allow a list without labels, such as an official test set: each line is
            `path num_frames -1`, `path -1` or `path`. (`path num_frames` would be read as `path label`.)
        multi_label: allow several labels per line, as `3,5,7`.

    Raises:
        InputError: the file cannot be read, has no lines or bad ones (the first five are shown), or is in another
            project's format.
    """
    records, _, faults = _read(list_file, num_class, may_repeat, may_lack_labels)
    refuse([f"{list_file}:{number}: {fault}" for number, fault in sorted(faults.items())])
    if not records:
        raise InputError(f"the list {list_file} has no clips; its lines are {LINE_FORMS}")
    if records.multi_label and not multi_label:
        raise InputError(
            f"{list_file} is a list with several labels per line, which cannot be used here; keep one label per line, "
            "or train with --multi_label"
        )
    return records


def parse_lines(
    list_file: Path, num_class: int | None, *, may_repeat: bool = False, may_lack_labels: bool = False
) -> list[tuple[int, VideoRecord | str]]:
    """Number (from 1) of each line that is not empty, with its record or its fault.

    Raises an `InputError` if the file cannot be read, or is in another project's format.
    """
    records, numbers, faults = _read(list_file, num_class, may_repeat, may_lack_labels)
    rows: dict[int, VideoRecord | str] = dict(zip(numbers, records, strict=True))
    return sorted((rows | faults).items()) if faults else list(rows.items())


def _read(
    list_file: Path, num_class: int | None, may_repeat: bool, may_lack_labels: bool
) -> tuple[Records, array, dict[int, str]]:
    """The records of the lines that can be parsed, the numbers of these lines, and number of a line -> fault."""
    text = read_text(list_file, "the list")
    other = other_form(Path(list_file).name, next((line.strip() for _, line in _numbered(text)), ""))
    if other:
        raise InputError(f"{list_file} is {other[0]}, not a list with lines {LINE_FORMS}; {other[1]}")
    has_labels = not (may_lack_labels and all(_lacks_label(line) for _, line in _numbered(text)))
    numbers, hashes, faults = array("q"), array("q"), dict[int, str]()

    def good() -> Iterator[VideoRecord]:
        for number, line in _numbered(text):
            try:
                record = parse_line(line, num_class, has_label=has_labels)
            except ValueError as error:
                header = "" if numbers or re.search(r"\d", line) else "; if it is a header, remove it"
                faults[number] = f"{error}{header}"
                continue
            numbers.append(number)
            hashes.append(hash(clip_key(record)))
            yield record

    records = Records(good())
    faults |= _repeats(records, numbers, np.asarray(hashes), may_repeat)
    return records, numbers, faults


def _repeats(records: Records, numbers: array, hashes: np.ndarray, may_repeat: bool) -> dict[int, str]:
    """Count lines that repeat an earlier clip; line number -> fault if that is one. `hashes` (M,): of `clip_key`."""
    _, groups, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    first_line: dict[str, tuple[int, VideoRecord]] = {}
    faults = {}
    for row in np.flatnonzero(sizes[groups] > 1).tolist():  # clips that share a hash
        number, record = numbers[row], records[row]
        other, first = first_line.setdefault(clip_key(record), (number, record))
        records.repeated += other != number
        if other != number and not (may_repeat and record == first):
            label = f", with label {_label_text(first)}" if record.labels != first.labels else ""
            faults[number] = f"{quoted(record.id)} is in line {other} already{label}; keep one of them"
    return faults


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that is not empty."""
    before, start = 0, 0
    while start < len(text):
        end = text.find("\n", start + _TEXT_CHUNK) + 1 or len(text)
        lines = text[start:end].splitlines()
        yield from ((number, line) for number, line in enumerate(lines, before + 1) if line and not line.isspace())
        before, start = before + len(lines), end


def clip_key(record: VideoRecord) -> str:
    """One spelling of a clip's name: the paths "./a" and "b/../a" are "a", the same clip."""
    path = posixpath.normpath(record.path)
    return path if record.window is None else f"{path} {record.window}"


def bare_path(path: str) -> str:
    """A listed path without the suffix of a video: the clip's name in lists of frames."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix.lower() in VIDEO_SUFFIXES else path


def read_text(path: Path, what: str) -> str:
    """The text of a file, without a byte order mark; raises an `InputError` that calls the file `what`."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {what} {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        with Path(path).open("rb") as file:
            found = "UTF-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "another encoding"
        raise InputError(f"{what} {path} is not UTF-8 text but {found} ({error}); save it as UTF-8") from error


def _lacks_label(line: str) -> bool:
    words = line.split()
    return len(words) == 1 or _labels(words[-1]) in (None, (NO_LABEL,))


def parse_line(line: str, num_class: int | None, *, has_label: bool = True) -> VideoRecord:
    """The record of a line, or a `ValueError` that does not say where the line is; `has_label`: the list has labels."""
    if not has_label and not re.search(rf"\s{NO_LABEL}\s*$", line):
        line = f"{line} {NO_LABEL}"
    words = line.rsplit(maxsplit=3)
    labels = _labels(words[-1])
    if len(words) < 2 or labels is None:
        raise ValueError(
            f"{quoted(line.strip())} does not end in a whole number, the label; a line is {LINE_FORMS}; {_WITHOUT}"
        )
    window = None
    if len(words) == 4:
        window = Window.parse(words[1], words[2], bare=words[0].lower().endswith(VIDEO_SUFFIXES))
    frames = _whole_number(words[-2]) if len(words) > 2 and window is None else None
    after = 3 if window else 1 if frames is None else 2  # words after the path, which may contain blanks
    path = line.rsplit(maxsplit=after)[0].strip()
    if frames is not None and not 1 <= frames <= LARGEST:
        more = f" ({MORE_NUMBERS})" if re.search(r"\s\d+$|\.\w{2,4}$", path) else ""  # probably not a number of frames
        raise ValueError(
            f"{quoted(path)} has {frames} frames; it must have 1 or more: drop the line or extract it again{more}"
        )
    _require_labels(labels, num_class, has_label)
    return VideoRecord(path, frames, labels[0], labels[1:], window)


def _require_labels(labels: tuple[int, ...], num_class: int | None, has_label: bool) -> None:
    """Raise a `ValueError` if a label is out of range or written twice."""
    highest = LARGEST if num_class is None else num_class - 1
    for label in labels:
        if (has_label and label < 0) or label > highest:
            hint = _ONE_TOO_HIGH if label == num_class else "check the list and the class names"
            hint = _WITHOUT if label == NO_LABEL else hint
            allowed = f"outside 0 ... {highest} ({counted(highest + 1, 'class')})"
            allowed = "below 0" if num_class is None and label < 0 else allowed
            raise ValueError(f"label {label} is {allowed}; {hint}")
    if len(labels) > 1 and len(set(labels)) < len(labels):
        raise ValueError(f"the labels {','.join(map(str, labels))} contain one twice; write each once")


def _labels(text: str) -> tuple[int, ...] | None:
    """The labels of a line's last word, such as 3 or 3,5,7."""
    label = _whole_number(text)
    if label is not None:
        return (label,)
    return tuple(map(int, text.split(","))) if re.fullmatch(r"[0-9]+(,[0-9]+)+", text) else None


def _whole_number(text: str) -> int | None:
    if text.isdecimal() and text.isascii():
        return int(text)
    return int(text) if re.fullmatch(r"[+-][0-9]+", text) else None


def format_line(record: VideoRecord) -> str:
    """The line of a record, with its line break."""
    frames = "" if record.num_frames is None else f" {record.num_frames}"
    return f"{record.id}{frames} {_label_text(record)}\n"


def _label_text(record: VideoRecord) -> str:
    return ",".join(map(str, record.labels))


def is_writable(record: VideoRecord) -> bool:
    """Whether a list can hold the record: its path must be UTF-8 on one line, without blanks at its ends."""
    line = format_line(record)
    try:
        line.encode()
        has_label = record.label != NO_LABEL
        return len(line.splitlines()) == 1 and parse_line(line, None, has_label=has_label) == record
    except ValueError:
        return False


def repeated_lines(records: Sequence[VideoRecord]) -> int:
    """Number of records that repeat the clip of an earlier one."""
    keys = np.fromiter((hash(clip_key(record)) for record in records), np.int64, len(records))  # not all their names
    return len(keys) - len(np.unique(keys))


def clip_ids(records: Iterable[VideoRecord]) -> Iterator[str]:
    """Yield a name for each clip, the same in lists of frames and of videos."""
    for record in records:
        path = bare_path(posixpath.normpath(record.path))
        yield path if record.window is None else f"{path} {record.window}"
