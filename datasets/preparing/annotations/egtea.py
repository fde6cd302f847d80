"""EGTEA Gaze+, three splits."""

from pathlib import Path

from common.errors import InputError, quoted
from datasets.preparing.annotations import base
from datasets.preparing.annotations.base import SPLITS, AnnotationFiles, Annotations, Clip, Official, Published

CLASSES = 106


def _parse(files: AnnotationFiles) -> Annotations:
    """`action_idx.txt` and `{train,test}_split{1,2,3}.txt`; the test files become the val lists."""
    index_file = files.find("action_idx.txt")
    class_names = base.require_classes(_read_index(index_file), CLASSES, index_file, "EGTEA Gaze+")
    lists = {
        f"{key}_split{split}": files.parse_lines(f"{which}_split{split}.txt", _parse_line)
        for split in SPLITS
        for key, which in (("train", "train"), ("val", "test"))
    }
    return Annotations(class_names, lists, "the official numbers, minus 1")


def _read_index(index_file: Path) -> list[str]:
    """Class names by number. A line is `name number`, numbers start at 1, names contain blanks."""
    names: dict[str, str] = {}
    for origin, line in base.numbered_lines(index_file):
        name, _, number = line.rpartition(" ")
        if not number.isdecimal() or not name.strip():
            raise InputError(f"{origin}: {quoted(line)} is not `name number`; use the official file")
        names[number] = name.strip()
    numbers = [str(number) for number in range(1, len(names) + 1)]
    if set(names) != set(numbers):
        raise InputError(f"{index_file} does not number its actions 1 ... {len(names)}; use the official file")
    return [names[number] for number in numbers]


def _parse_line(origin: str, line: str) -> Clip:
    """A line is `clip action verb noun [noun ...]`, numbers start at 1.

    The clip `OP01-R01-PastaSalad-66680-68130-F001597-F001639` is in its session's folder, `OP01-R01-PastaSalad`.
    """
    name, *numbers = line.split()
    if len(numbers) < 2 or not numbers[0].isdecimal() or not 1 <= int(numbers[0]) <= CLASSES:
        form = f"`clip action verb noun` with an action in 1 ... {CLASSES}"
        raise ValueError(f"{quoted(line)} is not {form}; use the official file")
    return Clip(name, int(numbers[0]) - 1, origin, "-".join(name.split("-")[:3]))


EGTEA = Official(
    _parse,
    files="action_idx.txt {train,test}_split{1,2,3}.txt",
    media="<session>/<clip>.mp4",
    published={"train_split1": Published(8_299), "val_split1": Published(2_022)},
)
