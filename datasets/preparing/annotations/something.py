"""Something-Something V1 and V2, and Jester, which has the file format of V1."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from common.errors import InputError, quoted
from datasets.preparing.annotations import base
from datasets.preparing.annotations.base import AnnotationFiles, Annotations, Clip, Official, Published

LISTS = {"train": "train", "val": "validation"}  # list -> official name
CLASSES = 174


def _parse_v1(files: AnnotationFiles) -> Annotations:
    """`something-something-v1-{train,validation,labels}.csv`; classes sorted by name.

    NOTE: the labels file has another order. TSM, TDN and H2CN sort it, which gives the official order of V2; mmaction2
    keeps the order of the file.
    """
    prefix = "something-something-v1"
    class_names = sorted(_read_labels(files, prefix, CLASSES))
    order = "sorted by name, as in TSM, TDN, H2CN and V2; mmaction2 keeps the order of the labels file"
    return Annotations(tuple(class_names), _read_csv_lists(files, prefix, class_names), order)


def _parse_jester(files: AnnotationFiles) -> Annotations:
    """`jester-v1-{train,validation,labels}.csv`; classes in the order of the labels file.

    NOTE: mmaction2 has the same order; TSM's weights use the order of its own category.txt.
    """
    class_names = _read_labels(files, "jester-v1", 27)
    order = "as in jester-v1-labels.csv and mmaction2; TSM's differs: for its weights give --classes category.txt"
    return Annotations(class_names, _read_csv_lists(files, "jester-v1", class_names), order)


def _read_labels(files: AnnotationFiles, prefix: str, num_class: int) -> tuple[str, ...]:
    """Class names in the order of the labels file."""
    labels_file = files.find(f"{prefix}-labels.csv")
    return base.require_classes([line for _, line in base.numbered_lines(labels_file)], num_class, labels_file, prefix)


def _read_csv_lists(files: AnnotationFiles, prefix: str, class_names: Sequence[str]) -> dict[str, list[Clip]]:
    return {
        key: _labelled(files.parse_lines(f"{prefix}-{which}.csv", _parse_line), class_names)
        for key, which in LISTS.items()
    }


def _parse_line(place: str, line: str) -> tuple[str, tuple[str, str]]:
    """(place, (clip, class name)) of a line `id;class`."""
    clip, _, class_name = line.partition(";")
    if not clip or not class_name:
        why = "commas: was the file saved by another program?" if "," in line else "no class: is it the test file?"
        raise ValueError(f"{quoted(line)} is not `id;class` ({why}); use the official file")
    return place, (clip.strip(), class_name.strip())


def _labelled(clips: Iterable[tuple[str, tuple[str, str]]], class_names: Sequence[str]) -> list[Clip]:
    """Clips with labels, from (place, (clip, class name))."""
    labels = {name: label for label, name in enumerate(class_names)}

    def with_label(place: str, clip: tuple[str, str]) -> Clip:
        name, class_name = clip
        if class_name not in labels:
            raise ValueError(f"the class {quoted(class_name)} is not in the labels file; use files of one release")
        return Clip(name, labels[class_name], place)

    return base.parse_each(clips, with_label)


def _parse_v2(files: AnnotationFiles) -> Annotations:
    """`something-something-v2-{train,validation,labels}.json`, or the newer names without the prefix.

    A clip's class is its template without the brackets; the labels file has the number of the class.
    """

    def find(which: str) -> Path:
        return files.find(f"something-something-v2-{which}.json", rf"(something-something-v2-)?{which}\.json")

    class_names = _numbered_classes(find("labels"))
    lists = {}
    for key, which in LISTS.items():
        entries = base.json_entries(find(which), ("id", "template"))
        clips = [(place, (str(e["id"]), str(e["template"]).replace("[", "").replace("]", ""))) for place, e in entries]
        lists[key] = _labelled(clips, class_names)
    return Annotations(class_names, lists, "the official numbers, as in TSM and mmaction2")


def _numbered_classes(labels_file: Path) -> tuple[str, ...]:
    """Names of `{class name: "number"}` in the order of the numbers."""
    numbers = base.read_json(labels_file, dict)
    base.require_classes(list(numbers), CLASSES, labels_file, "Something-Something V2")
    if sorted(map(str, numbers.values())) != sorted(map(str, range(len(numbers)))):
        raise InputError(f"{labels_file} does not number its classes 0 ... {len(numbers) - 1}; use the official file")
    return tuple(sorted(numbers, key=lambda name: int(numbers[name])))


SOMETHING_V1 = Official(
    _parse_v1,
    files="something-something-v1-{train,validation,labels}.csv",
    media="frame folders <id>/",
    published={"train": Published(86_017), "val": Published(11_522, "not confirmed")},
)
SOMETHING_V2 = Official(
    _parse_v2,
    files="something-something-v2-{train,validation,labels}.json, newer: {train,...}.json",
    media="<id>.webm",
    published={"train": Published(168_913), "val": Published(24_777)},
)
JESTER = Official(
    _parse_jester,
    files="jester-v1-{train,validation,labels}.csv",
    media="frame folders <id>/",
    published={"train": Published(118_562, "third party"), "val": Published(14_787, "third party")},
)
