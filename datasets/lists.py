"""List files: one clip a line, `path num_frames label` or `path label`."""

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import InputError, refuse

UNWRITABLE = "a text file with one name a line cannot hold it (a blank at an end, a line break, no UTF-8); rename it"
LINE_FORMS = "`path num_frames label` or, for video files, `path label`"


@dataclass(frozen=True)
class VideoRecord:
    """One clip of a list file.

    Attributes:
        path: its frame folder, archive or video file, under the data set's root; also the clip's id.
        num_frames: number of its frames; None: the list does not say it.
        label: class, from 0.
    """

    path: str
    num_frames: int | None
    label: int


def read_list(list_file: Path, num_class: int | None = None) -> list[VideoRecord]:
    """Read a list file.

    Args:
        list_file: lines `path num_frames label`, or `path label` where the last but one word is no whole number.
            Paths may hold blanks: the numbers are taken from the right. (So a path whose last word is a whole number
            needs its number of frames; a video file's last word ends in the file's suffix.) Empty lines are skipped.
        num_class: K; labels are 0 ... K-1. None: any number of classes.

    Raises:
        InputError: the file cannot be read, has no lines, or has bad ones (the first five are shown).
    """
    records, faults = [], []
    for number, parsed in parse_lines(list_file, num_class):
        if isinstance(parsed, VideoRecord):
            records.append(parsed)
        else:
            faults.append(f"{list_file}:{number}: {parsed}")
    refuse(faults)
    if not records:
        raise InputError(f"the list {list_file} has no clips; its lines are {LINE_FORMS}")
    return records


def parse_lines(list_file: Path, num_class: int | None) -> Iterator[tuple[int, VideoRecord | str]]:
    """Numbers (from 1) of the lines that are not empty, each with its record, or what is wrong with the line.

    Raises:
        InputError: the file cannot be read.
    """
    first_line: dict[str, int] = {}
    for number, line in read_lines(list_file):
        try:
            record = parse_line(line, num_class)
        except ValueError as error:
            yield number, str(error)
            continue
        other = first_line.setdefault(clip_key(record.path), number)
        yield number, record if other == number else f"{record.path!r} stands in line {other} too; keep one of them"


def clip_key(path: str) -> str:
    """One spelling of a path: "./a" and "b/../a" are "a", the same clip."""
    return posixpath.normpath(path)


def read_lines(list_file: Path) -> list[tuple[int, str]]:
    """Numbers (from 1) and text of the lines that are not empty.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        lines = Path(list_file).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the list {list_file}: {error.strerror}; give its path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the list {list_file} is not UTF-8 text: {error}; convert it") from error
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def parse_line(line: str, num_class: int | None) -> VideoRecord:
    """The record of a line.

    Raises:
        ValueError: the line is bad; the message says how, but not where.
    """
    fields = line.rsplit(maxsplit=2)
    frames = _whole_number(fields[1]) if len(fields) == 3 else None
    if frames is None:  # the path may have blanks
        fields = line.rsplit(maxsplit=1)
    path, label = fields[0].strip(), _whole_number(fields[-1])
    if len(fields) < 2 or label is None:
        raise ValueError(f"{line.strip()!r} does not end in a whole number, the label; a line is {LINE_FORMS}")
    if frames is not None and frames < 1:
        raise ValueError(f"{path!r} has {frames} frames; it must have 1 or more, so drop the line or extract it again")
    if label < 0 or (num_class is not None and label >= num_class):
        hint = "the labels look 1-based, subtract 1" if label == num_class else "check the list and the class names"
        allowed = "below 0" if num_class is None else f"outside 0 ... {num_class - 1} ({num_class} classes)"
        raise ValueError(f"label {label} is {allowed}; {hint}")
    return VideoRecord(path, frames, label)


def _whole_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None


def format_line(record: VideoRecord) -> str:
    """The line of a record, with its end."""
    frames = "" if record.num_frames is None else f" {record.num_frames}"
    return f"{record.path}{frames} {record.label}\n"


def is_writable(record: VideoRecord) -> bool:
    """Whether a list can hold the record: its path must be UTF-8, of one line, without a blank at an end."""
    line = format_line(record)
    try:
        line.encode()
        return len(line.splitlines()) == 1 and parse_line(line, None) == record
    except ValueError:
        return False


def absent_classes(class_names: Sequence[str], records: Iterable[VideoRecord]) -> list[str]:
    """Names of the classes without a record."""
    present = {record.label for record in records}
    return [name for label, name in enumerate(class_names) if label not in present]


def list_hash(list_file: Path) -> str:
    """SHA-256 of the list's content, in hexadecimal: two runs with equal hashes saw the same clips."""
    return hashlib.sha256(Path(list_file).read_bytes()).hexdigest()
