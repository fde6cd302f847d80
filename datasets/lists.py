"""List files: one clip per line, `path num_frames label` or `path label`."""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError, counted, quoted, refuse

UNWRITABLE = "a text file with one name per line cannot hold it (a blank at an end, a line break, not UTF-8); rename it"
LINE_FORMS = "`path num_frames label` or, for video files, `path label`"
NO_LABEL = -1  # label of every record of a list without labels
VIDEO_SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)  # in lower or upper case
MORE_NUMBERS = "lists with several labels per line or with an offset (mmaction2's with_offset) cannot be read"
JSON = r"[\[{]\s*([\"\[{]|$)"  # the beginning of a file
_WITHOUT = "a list for tests may lack labels, but then in every line"
_PREPARE = "scripts/prepare_data.py {} --annotations FOLDER makes the lists".format
# The first line of a file (HMDB51: after the file's name) -> its format, and the remedy.
_OTHER_FORMS = {
    rf"{JSON}.*": ("JSON", f"if it is an official annotation file: {_PREPARE('DATA_SET')}"),
    r"label,youtube_id,.*": ("Kinetics' official CSV", _PREPARE("kinetics")),
    r"\d+;\D+": ("an `id;class` file of Something-Something V1 or Jester", _PREPARE("somethingv1 (or jester)")),
    r"\w+_test_split[123]\.txt: [^/]+\.avi [012]": ("an official file of HMDB51", _PREPARE("hmdb51")),
    r"[\w-]+-F\d+-F\d+( \d+){3,}": ("an official file of EGTEA Gaze+", _PREPARE("egtea")),
    r"\w+/v_\w+_g\d+_c\d+\.avi": ("an official file of UCF101 without labels", _PREPARE("ucf101")),
    r".*[^\s,;]\s+\d+(,\d+)+": ("a list with several labels per line", "keep one label per line"),
    r".*\S[,;]\s*\d+|[^\d\s]+([,;][^\d\s]+)+": (
        "a table with commas or semicolons", "write blanks instead of them, and leave out a header"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class VideoRecord:
    """One clip of a list file."""

    path: str  # of its frame folder, archive or video file, under the data set's root; also the clip's id
    num_frames: int | None  # None: the list does not say
    label: int  # class, from 0, or NO_LABEL


def read_list(
    list_file: Path, num_class: int | None = None, *, may_repeat: bool = False, may_lack_labels: bool = False
) -> list[VideoRecord]:
    """Read a list file.

    Args:
        list_file: lines `path num_frames label`, or `path label` if the last word but one is not a whole number. Paths
            may contain blanks: the numbers are taken from the right. (So a path whose last word is a whole number needs
            its number of frames; a video file's last word ends in the file's suffix.) Empty lines are skipped.
        num_class: K; labels are 0 ... K-1. None: any number of classes.
        may_repeat: allow equal lines, as in a train list that shows some clips more often than others.
        may_lack_labels: allow a list without labels, as of an official test set: each of its lines is
            `path num_frames -1`, `path -1` or `path`. (`path num_frames` would be read as `path label`.)

    Raises:
        InputError: the file cannot be read, has no lines or bad ones (the first five are shown), or is in another
            project's format.
    """
    records, faults = [], []
    for number, parsed in parse_lines(list_file, num_class, may_repeat=may_repeat, may_lack_labels=may_lack_labels):
        if isinstance(parsed, VideoRecord):
            records.append(parsed)
        else:
            faults.append(f"{list_file}:{number}: {parsed}")
    refuse(faults)
    if not records:
        raise InputError(f"the list {list_file} has no clips; its lines are {LINE_FORMS}")
    return records


def parse_lines(
    list_file: Path, num_class: int | None, *, may_repeat: bool = False, may_lack_labels: bool = False
) -> Iterator[tuple[int, VideoRecord | str]]:
    """Number (from 1) of each line that is not empty, with its record or its fault; raises as `read_lines` does."""
    first_line: dict[str, tuple[int, VideoRecord]] = {}
    lines = read_lines(list_file)
    has_labels = not (may_lack_labels and all(_lacks_label(line) for _, line in lines))
    for number, line in lines:
        try:
            record = parse_line(line, num_class, has_label=has_labels)
        except ValueError as error:
            header = "" if first_line or re.search(r"\d", line) else "; if it is a header, remove it"
            yield number, f"{error}{header}"
            continue
        other, first = first_line.setdefault(clip_key(record.path), (number, record))
        if other == number or (may_repeat and record == first):
            yield number, record
        else:
            label = f", with label {first.label}" if record.label != first.label else ""
            yield number, f"{quoted(record.path)} is in line {other} already{label}; keep one of them"


def clip_key(path: str) -> str:
    """One spelling of a path: "./a" and "b/../a" are "a", the same clip."""
    return posixpath.normpath(path)


def bare_path(path: str) -> str:
    """A listed path without the suffix of a video: the clip's name in lists of frames."""
    stem, suffix = os.path.splitext(path)
    return stem if suffix.lower() in VIDEO_SUFFIXES else path


def read_lines(list_file: Path) -> list[tuple[int, str]]:
    """Number (from 1) and text of each line that is not empty.

    Raises:
        InputError: the file cannot be read, or is in another project's format.
    """
    lines = read_text(list_file, "the list").splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    first = numbered[0][1].strip() if numbered else ""
    for form, (what, cure) in _OTHER_FORMS.items():
        if any(re.fullmatch(form, text) for text in (first, f"{Path(list_file).name}: {first}")):
            raise InputError(f"{list_file} is {what}, not a list with lines {LINE_FORMS}; {cure}")
    return numbered


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
    return len(words) == 1 or _whole_number(words[-1]) in (None, NO_LABEL)


def parse_line(line: str, num_class: int | None, *, has_label: bool = True) -> VideoRecord:
    """The record of a line; `has_label`: whether the list has labels.

    Raises:
        ValueError: the line is bad; the message does not say where it is.
    """
    if not has_label and not re.search(rf"\s{NO_LABEL}\s*$", line):
        line = f"{line} {NO_LABEL}"
    fields = line.rsplit(maxsplit=2)
    frames = _whole_number(fields[1]) if len(fields) == 3 else None
    if frames is None:  # the path may contain blanks
        fields = line.rsplit(maxsplit=1)
    path, label = fields[0].strip(), _whole_number(fields[-1])
    if len(fields) < 2 or label is None:
        raise ValueError(
            f"{quoted(line.strip())} does not end in a whole number, the label; a line is {LINE_FORMS}; {_WITHOUT}"
        )
    if frames is not None and frames < 1:
        more = f" ({MORE_NUMBERS})" if re.search(r"\s\d+$|\.\w{2,4}$", path) else ""  # probably not a number of frames
        raise ValueError(
            f"{quoted(path)} has {frames} frames; it must have 1 or more: drop the line or extract it again{more}"
        )
    if (has_label and label < 0) or (num_class is not None and label >= num_class):
        hint = "the labels look 1-based, subtract 1" if label == num_class else "check the list and the class names"
        hint = _WITHOUT if label == NO_LABEL else hint
        allowed = "below 0" if num_class is None else f"outside 0 ... {num_class - 1} ({counted(num_class, 'class')})"
        raise ValueError(f"label {label} is {allowed}; {hint}")
    return VideoRecord(path, frames, label)


def _whole_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None


def format_line(record: VideoRecord) -> str:
    """The line of a record, with its line break."""
    frames = "" if record.num_frames is None else f" {record.num_frames}"
    return f"{record.path}{frames} {record.label}\n"


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
    return len(records) - len({clip_key(record.path) for record in records})


def clip_ids(records: Iterable[VideoRecord]) -> list[str]:
    """A name for each clip, the same in lists of frames and of videos."""
    return [bare_path(clip_key(record.path)) for record in records]


def absent_classes(class_names: Sequence[str], records: Iterable[VideoRecord]) -> list[str]:
    """Names of the classes without a record; none for a list without labels."""
    present = {record.label for record in records}
    if present == {NO_LABEL}:
        return []
    return [name for label, name in enumerate(class_names) if label not in present]
