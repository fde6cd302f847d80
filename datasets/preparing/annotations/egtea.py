"""EGTEA Gaze+, three splits."""

from pathlib import Path

from common.errors import InputError, quoted, refuse
from datasets.preparing.annotations.files import AnnotationFiles, Annotations, Clip, numbered_lines, require_classes

CLASSES = 106


def parse_egtea(files: AnnotationFiles) -> Annotations:
    """`action_idx.txt` and `{train,test}_split{1,2,3}.txt`; the test files are the val lists.

    A clip `OP01-R01-PastaSalad-66680-68130-F001597-F001639` lies in its session's folder, `OP01-R01-PastaSalad`.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """
    index_file = files.find(r"action_idx\.txt", "action_idx.txt")
    class_names = _read_index(index_file)
    require_classes(class_names, CLASSES, index_file, "EGTEA Gaze+")
    lists = {}
    for split in (1, 2, 3):
        for key, which in (("train", "train"), ("val", "test")):
            name = f"{which}_split{split}.txt"
            lists[f"{key}_split{split}"] = _read_split(files.find(name.replace(".", r"\."), name))
    return Annotations(tuple(class_names), lists, "the official numbers, minus 1")


def _read_index(index_file: Path) -> list[str]:
    """Names by number. A line is `name number`, the number from 1; names hold blanks."""
    names: dict[str, str] = {}
    for place, line in numbered_lines(index_file):
        name, _, number = line.rpartition(" ")
        if not number.isdecimal() or not name.strip():
            raise InputError(f"{place}: {quoted(line)} is not `name number`; take the official file")
        names[number] = name.strip()
    if set(names) != {str(number) for number in range(1, len(names) + 1)}:
        raise InputError(f"{index_file} does not number its actions 1 ... {len(names)}; take the official file")
    return [names[str(number)] for number in range(1, len(names) + 1)]


def _read_split(split_file: Path) -> list[Clip]:
    """A line is `clip action verb noun [noun ...]`, numbers from 1."""
    clips, faults = [], []
    for place, line in numbered_lines(split_file):
        name, *numbers = line.split()
        if len(numbers) < 2 or not numbers[0].isdecimal() or not 1 <= int(numbers[0]) <= CLASSES:
            faults.append(
                f"{place}: {quoted(line)} is not `clip action verb noun` with an action in 1 ... {CLASSES}; "
                "take the official file"
            )
            continue
        clips.append(Clip(name, int(numbers[0]) - 1, place, "-".join(name.split("-")[:3])))
    refuse(faults)
    return clips
