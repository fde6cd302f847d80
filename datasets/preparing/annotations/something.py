"""Something-Something V1 and V2, and Jester, which has V1's files."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError, quoted, refuse
from datasets.preparing.annotations.files import (
    AnnotationFiles,
    Annotations,
    Clip,
    json_entries,
    numbered_lines,
    read_json,
    require_classes,
)

SOMETHING_CLASSES = 174
JESTER_CLASSES = 27


def parse_somethingv1(files: AnnotationFiles) -> Annotations:
    """`something-something-v1-{train,validation,labels}.csv`; classes sorted by name.

    NOTE: the labels file is in another order. TSM, TDN and H2CN sort it, which gives the official order of V2;
    mmaction2 keeps the file's order.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """
    class_names, lists = _parse_csv_files(files, "something-something-v1", SOMETHING_CLASSES)
    class_names = sorted(class_names)
    order = "sorted by name, as in TSM, TDN, H2CN and V2; mmaction2 keeps the order of the labels file"
    return Annotations(tuple(class_names), _labelled(lists, class_names), order)


def parse_jester(files: AnnotationFiles) -> Annotations:
    """`jester-v1-{train,validation,labels}.csv`; classes in the order of the labels file.

    NOTE: mmaction2 numbers them so as well; TSM's weights use the order of its own category.txt.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """
    class_names, lists = _parse_csv_files(files, "jester-v1", JESTER_CLASSES)
    order = "as in jester-v1-labels.csv and mmaction2; TSM has its own: for its weights give --classes category.txt"
    return Annotations(tuple(class_names), _labelled(lists, class_names), order)


# List -> (place, clip name, class name).
_Named = dict[str, list[tuple[str, str, str]]]


def _parse_csv_files(files: AnnotationFiles, prefix: str, num_class: int) -> tuple[list[str], _Named]:
    """Class names in the file's order, and the lines of the two lists."""

    def find(which: str) -> Path:
        return files.find(f"{prefix}-{which}\\.csv", f"{prefix}-{which}.csv")

    labels_file = find("labels")
    class_names = [line for _, line in numbered_lines(labels_file)]
    require_classes(class_names, num_class, labels_file, prefix)
    return class_names, {"train": _named_clips(find("train")), "val": _named_clips(find("validation"))}


def _named_clips(csv_file: Path) -> list[tuple[str, str, str]]:
    clips, faults = [], []
    for place, line in numbered_lines(csv_file):
        clip, semicolon, class_name = line.partition(";")
        if semicolon and clip and class_name:
            clips.append((place, clip.strip(), class_name.strip()))
            continue
        reason = (
            "commas: the file was saved anew or is another one" if "," in line else "no class: is it the test file?"
        )
        faults.append(f"{place}: {quoted(line)} is not `id;class` ({reason}); take the official file")
    refuse(faults)
    return clips


def _labelled(lists: _Named, class_names: Sequence[str]) -> dict[str, list[Clip]]:
    """Clips with the numbers of their classes."""
    labels = {name: label for label, name in enumerate(class_names)}
    faults = [
        f"{place}: the class {quoted(class_name)} is not in the labels file; take both from the same release"
        for clips in lists.values()
        for place, _, class_name in clips
        if class_name not in labels
    ]
    refuse(faults)
    return {
        key: [Clip(clip, labels[class_name], place) for place, clip, class_name in clips]
        for key, clips in lists.items()
    }


def parse_somethingv2(files: AnnotationFiles) -> Annotations:
    """`something-something-v2-{train,validation,labels}.json`, or the newer names without the prefix.

    A clip's class is its template without the brackets; its number stands in the labels file.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """

    def find(which: str) -> Path:
        return files.find(f"(something-something-v2-)?{which}\\.json", f"something-something-v2-{which}.json")

    class_names = _numbered_classes(find("labels"))
    lists = {}
    for key, which in (("train", "train"), ("val", "validation")):
        lists[key] = [
            (place, str(entry["id"]), str(entry["template"]).replace("[", "").replace("]", ""))
            for place, entry in json_entries(find(which), ("id", "template"))
        ]
    return Annotations(class_names, _labelled(lists, class_names), "the official numbers, as in TSM and mmaction2")


def _numbered_classes(labels_file: Path) -> tuple[str, ...]:
    """Names of `{class name: "number"}` in the order of the numbers."""
    numbers = read_json(labels_file, dict)
    require_classes(list(numbers), SOMETHING_CLASSES, labels_file, "Something-Something V2")
    if sorted(map(str, numbers.values())) != sorted(map(str, range(len(numbers)))):
        raise InputError(f"{labels_file} does not number its classes 0 ... {len(numbers) - 1}; take the official file")
    return tuple(sorted(numbers, key=lambda name: int(numbers[name])))
