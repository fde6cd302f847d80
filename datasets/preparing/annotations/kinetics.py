"""Kinetics-400."""

import csv
import io
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from datasets.preparing.annotations.files import (
    AnnotationFiles,
    Annotations,
    Clip,
    read_text,
    require_classes,
    require_distinct,
)
from errors import InputError, refuse

CLASSES = 400
COLUMNS = ("label", "youtube_id", "time_start", "time_end")


def parse_kinetics(files: AnnotationFiles) -> Annotations:
    """`train.csv` and `validate.csv` (or `val.csv`), with or without something in front; classes in alphabetical order.

    A clip is named `<youtube_id>_<start>_<end>`, its times in seconds with six digits.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """
    train = files.find(r"(.*[_-])?train\.csv", "train.csv")
    val = files.find(r"(.*[_-])?(val|validate|validation)\.csv", "validate.csv")
    rows = {"train": _read_rows(train), "val": _read_rows(val)}
    class_names = require_classes(sorted({row.label for row in rows["train"]}), CLASSES, train, "Kinetics-400")
    labels = {name: label for label, name in enumerate(class_names)}
    refuse([f"{r.place}: the class {r.label!r} has no clip in {train}" for r in rows["val"] if r.label not in labels])
    lists = {key: [Clip(r.clip, labels[r.label], r.place, r.label) for r in group] for key, group in rows.items()}
    require_distinct(lists, attrgetter("name"))  # a clip of two classes would be the same video in two folders
    return Annotations(class_names, lists, ["classes: in alphabetical order"])


class _Row(NamedTuple):
    place: str
    clip: str
    label: str


def _read_rows(csv_file: Path) -> list[_Row]:
    reader = csv.DictReader(io.StringIO(read_text(csv_file), newline=""))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise InputError(
            f"{csv_file}:1: there is no column {', '.join(missing)}; the official file begins with "
            "label,youtube_id,time_start,time_end,split (the test file has no labels and cannot be used)"
        )
    rows, faults = [], []
    for row in reader:
        place = f"{csv_file}:{reader.line_num}"
        try:
            start, end = int(float(row["time_start"])), int(float(row["time_end"]))
            if not row["label"] or not row["youtube_id"]:
                raise ValueError
        except (ValueError, TypeError):  # TypeError: the line is too short
            faults.append(f"{place}: label, youtube_id and two times in seconds are needed; take the official file")
            continue
        rows.append(_Row(place, f"{row['youtube_id']}_{start:06d}_{end:06d}", row["label"]))
    refuse(faults)
    return rows
