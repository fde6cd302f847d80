"""Something-Something V1 and V2, and Jester, which has the file format of V1."""

import re
from collections.abc import Mapping
from functools import partial

from common.errors import InputError, quoted
from datasets.lists import NO_LABEL
from datasets.preparing.annotations import base
from datasets.preparing.annotations.base import AnnotationFiles, Annotations, Clip, Official, Published

LISTS = {"train": "train", "val": "validation"}  # list -> official name
CLASSES = 174


def _parse_csv(files: AnnotationFiles, *, prefix: str, num_class: int, is_sorted: bool, order: str) -> Annotations:
    """`<prefix>-{train,validation,labels[,test]}.csv`; classes sorted by name, or in the order of the labels file."""
    labels_file = files.find(f"{prefix}-labels.csv")
    names = [line for _, line in base.numbered_lines(labels_file)]
    class_names = base.require_classes(sorted(names) if is_sorted else names, num_class, labels_file, prefix)
    labels = {name: label for label, name in enumerate(class_names)}
    lists = {
        key: files.parse_lines(f"{prefix}-{which}.csv", partial(_csv_clip, labels)) for key, which in LISTS.items()
    }
    if files.find_all(re.escape(f"{prefix}-test.csv")):
        lists["test"] = files.parse_lines(f"{prefix}-test.csv", _test_clip)
    return Annotations(class_names, lists, order)


def _test_clip(origin: str, name: str) -> Clip:
    """The clip of an official test file, which has no labels."""
    if ";" in name:
        raise ValueError(f"{quoted(name)} is not an id alone; use the official file")
    return Clip(name, NO_LABEL, origin)


def _csv_clip(labels: Mapping[str, int], origin: str, line: str) -> Clip:
    """The clip of a line `id;class`."""
    clip, _, class_name = line.partition(";")
    if not clip or not class_name:
        why = "commas: was the file saved by another program?" if "," in line else "no class: is it the test file?"
        raise ValueError(f"{quoted(line)} is not `id;class` ({why}); use the official file")
    return _clip(labels, origin, clip.strip(), class_name.strip())


def _clip(labels: Mapping[str, int], origin: str, name: str, class_name: str) -> Clip:
    if class_name not in labels:
        raise ValueError(f"the class {quoted(class_name)} is not in the labels file; use files of one release")
    return Clip(name, labels[class_name], origin)


def _parse_v2(files: AnnotationFiles) -> Annotations:
    """`something-something-v2-{train,validation,labels[,test]}.json`, or the newer names without the prefix."""

    labels_file = files.find(*_v2_names("labels"))
    numbers = base.read_json(labels_file, dict)  # class name -> number, as text
    base.require_classes(list(numbers), CLASSES, labels_file, "Something-Something V2")
    if sorted(map(str, numbers.values())) != sorted(map(str, range(CLASSES))):
        raise InputError(f"{labels_file} does not number its classes 0 ... {CLASSES - 1}; use the official file")
    labels = {name: int(number) for name, number in numbers.items()}
    lists = {key: files.parse_json(partial(_json_clip, labels), *_v2_names(which)) for key, which in LISTS.items()}
    if files.find_all(_v2_names("test")[1]):
        lists["test"] = files.parse_json(
            lambda origin, entry: _test_clip(origin, str(base.value_of(entry, "id"))), *_v2_names("test")
        )
    class_names = tuple(sorted(labels, key=lambda name: labels[name]))
    return Annotations(class_names, lists, "the official numbers, as in TSM and mmaction2")


def _v2_names(which: str) -> tuple[str, str]:
    """The official name of a file, and a regular expression for all its names."""
    return f"something-something-v2-{which}.json", rf"(something-something-v2-)?{which}\.json"


def _json_clip(labels: Mapping[str, int], origin: str, entry: object) -> Clip:
    """The clip of an entry; its class is the template without the brackets."""
    class_name = str(base.value_of(entry, "template")).replace("[", "").replace("]", "")
    return _clip(labels, origin, str(base.value_of(entry, "id")), class_name)


# NOTE: the labels file of V1 has another order than V2; sorted, it has the same.
_V1_ORDER = "sorted by name, as in TSM, TDN, H2CN and V2; mmaction2 keeps the order of the labels file"
_JESTER_ORDER = "as in jester-v1-labels.csv and mmaction2; TSM's differs: for its weights give --classes category.txt"

SOMETHING_V1 = Official(
    partial(_parse_csv, prefix="something-something-v1", num_class=CLASSES, is_sorted=True, order=_V1_ORDER),
    files="something-something-v1-{train,validation,labels[,test]}.csv",
    media="frame folders <id>/",
    published={
        "train": Published(86_017),
        "val": Published(11_522, "not confirmed"),
        "test": Published(10_960, "not confirmed"),
    },
)
SOMETHING_V2 = Official(
    _parse_v2,
    files="something-something-v2-{train,validation,labels[,test]}.json, newer: {train,...}.json",
    media="<id>.webm",
    published={"train": Published(168_913), "val": Published(24_777), "test": Published(27_157)},
)
JESTER = Official(
    partial(_parse_csv, prefix="jester-v1", num_class=27, is_sorted=False, order=_JESTER_ORDER),
    files="jester-v1-{train,validation,labels[,test]}.csv",
    media="frame folders <id>/",
    published={
        "train": Published(118_562, "third party"),
        "val": Published(14_787, "third party"),
        "test": Published(14_743, "not confirmed"),
    },
)
