"""Kinetics-400."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from common.errors import InputError, quoted, refuse
from datasets.lists import read_text
from datasets.preparing.annotations.files import (
    AnnotationFiles,
    Annotations,
    Clip,
    require_classes,
    require_distinct,
)

CLASSES = 400
COLUMNS = ("label", "youtube_id", "time_start", "time_end")


def parse_kinetics(files: AnnotationFiles) -> Annotations:
    """`train.csv` and `validate.csv` (or `val.csv`), with or without something in front; classes in alphabetical order.

    A clip is named `<youtube_id>_<start>_<end>`, its times in seconds with six digits; copies leave out the end or both
    times, or write the seconds as they are. All clips are from different videos.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """
    train = files.find(r"(.*[_-])?train\.csv", "train.csv")
    val = files.find(r"(.*[_-])?(val|validate|validation)\.csv", "validate.csv")
    rows = {"train": _read_rows(train), "val": _read_rows(val)}
    class_names = require_classes(sorted({row.label for row in rows["train"]}), CLASSES, train, "Kinetics-400")
    labels = {name: label for label, name in enumerate(class_names)}
    refuse(
        [f"{r.place}: the class {quoted(r.label)} has no clip in {train}" for r in rows["val"] if r.label not in labels]
    )
    clips_of = Counter(row.youtube_id for group in rows.values() for row in group)
    lists = {
        key: [row.clip(labels[row.label], alone=clips_of[row.youtube_id] == 1) for row in group]
        for key, group in rows.items()
    }
    require_distinct(lists, attrgetter("name"))  # a clip of two classes would be the same video in two folders
    return Annotations(class_names, lists, "sorted by name, as in TSM, mmaction2 and torchvision")


class _Row(NamedTuple):
    place: str
    label: str
    youtube_id: str
    start: int
    end: int

    def clip(self, label: int, *, alone: bool) -> Clip:
        """The clip; `alone`: no other row is of this video."""
        start, end = f"{self.start:06d}", f"{self.end:06d}"
        others = (f"_{start}", f"_{self.start}_{self.end}", f"_{self.start}", "") if alone else ()
        aliases = tuple(self.youtube_id + times for times in others)
        return Clip(f"{self.youtube_id}_{start}_{end}", label, self.place, self.label, aliases)


def _read_rows(csv_file: Path) -> list[_Row]:
    text = io.StringIO(read_text(csv_file, "the file"), newline="")
    reader = csv.DictReader(text, skipinitialspace=True)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise InputError(
            f"{csv_file}:1: there is no column {', '.join(missing)}; the official file begins with "
            "label,youtube_id,time_start,time_end,split (the test file has no labels and cannot be used)"
        )
    rows, faults = [], []
    for place, row in _numbered(reader, csv_file):
        try:
            start, end = int(float(row["time_start"])), int(float(row["time_end"]))
            if not row["label"] or not row["youtube_id"]:
                raise ValueError
        except (ValueError, TypeError, OverflowError):  # TypeError: the line is too short
            faults.append(f"{place}: label, youtube_id and two times in seconds are needed; take the official file")
            continue
        rows.append(_Row(place, row["label"].strip(), row["youtube_id"].strip(), start, end))
    refuse(faults)
    return rows


def _numbered(reader: csv.DictReader, csv_file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(place, row) of each row."""
    try:
        for row in reader:
            yield f"{csv_file}:{reader.line_num}", row
    except csv.Error as error:  # a quote without its other one
        raise InputError(f"{csv_file}:{reader.line_num}: {error}; take the official file") from error
