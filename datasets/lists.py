"""List files: one clip a line, `path num_frames label`."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from errors import InputError


@dataclass(frozen=True)
class VideoRecord:
    """One clip of a list file.

    Attributes:
        path: folder of its frames, under the data set's root; also the clip's id.
        num_frames: number of its frames.
        label: class, from 0.
    """

    path: str
    num_frames: int
    label: int


def read_list(list_file: Path, num_class: int) -> list[VideoRecord]:
    """Read a list file.

    Args:
        list_file: lines `path num_frames label`. Paths may hold blanks: the numbers are taken from the right.
            Empty lines are skipped.
        num_class: K; labels are 0 ... K-1.

    Raises:
        InputError: the file cannot be read, has no lines, or has bad ones (the first five are shown).
    """
    try:
        lines = Path(list_file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the list {list_file}: {error.strerror}; give its path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the list {list_file} is not UTF-8 text: {error}; convert it") from error
    records, faults = [], []
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _parse(line, num_class)
            if record.path in first_line:
                raise ValueError(f"{record.path!r} stands in line {first_line[record.path]} too; keep one of them")
            first_line[record.path] = number
            records.append(record)
        except ValueError as error:
            faults.append(f"{list_file}:{number}: {error}")
    if faults:
        more = f"\nand {len(faults) - 5} more bad lines" if len(faults) > 5 else ""
        raise InputError("\n".join(faults[:5]) + more)
    if not records:
        raise InputError(f"the list {list_file} has no clips; its lines are `path num_frames label`")
    return records


def _parse(line: str, num_class: int) -> VideoRecord:
    fields = line.rsplit(maxsplit=2)
    if len(fields) < 3:
        raise ValueError(
            f"{line.strip()!r} has {len(fields)} of the 3 fields `path num_frames label`. "
            "(`path label` lists video files: extract their frames first, scripts/extract_frames.py)"
        )
    path, frames, label = fields[0].strip(), _whole_number(fields[1]), _whole_number(fields[2])
    if frames is None or label is None:
        raise ValueError(f"{line.strip()!r} does not end in two whole numbers; a line is `path num_frames label`")
    if frames < 1:
        raise ValueError(f"{path!r} has {frames} frames; it must have 1 or more, so drop the line or extract it again")
    if not 0 <= label < num_class:
        hint = "the labels look 1-based, subtract 1" if label == num_class else "check the list and the class names"
        raise ValueError(f"label {label} is outside 0 ... {num_class - 1} ({num_class} classes); {hint}")
    return VideoRecord(path, frames, label)


def _whole_number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def list_hash(list_file: Path) -> str:
    """SHA-256 of the list's content, in hexadecimal: two runs with equal hashes saw the same clips."""
    return hashlib.sha256(Path(list_file).read_bytes()).hexdigest()
