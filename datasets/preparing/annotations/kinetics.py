"""Kinetics-400, 600 and 700, and Mini-Kinetics, the clips of some classes of Kinetics-400."""

import csv
import io
from collections import Counter
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from common.errors import InputError, quoted, refuse
from datasets.class_names import loose, read_class_names
from datasets.lists import read_text
from datasets.preparing.annotations import base
from datasets.preparing.annotations.base import AnnotationFiles, Annotations, Clip, Official, Published

COLUMNS = ("label", "youtube_id", "time_start", "time_end")
COPY = "the videos in mmaction2's copy"
MINI, CLASS_LIST = "Mini-Kinetics", "classes.txt"


def _parse(files: AnnotationFiles, *, data_set: str, num_class: int, order: str) -> Annotations:
    """`train.csv` and `validate.csv` (or `val.csv`), perhaps with a prefix; classes in alphabetical order.

    A clip is named `<youtube_id>_<start>_<end>`, with times in seconds of six digits. Copies omit the end or both
    times, or do not pad the seconds. Mini-Kinetics has the rows of the classes in the only text file.
    """
    train = files.find("train.csv", r"(.*[_-])?train\.csv")
    val = files.find("validate.csv", r"(.*[_-])?(val|validate|validation)\.csv")
    rows = {"train": _read_rows(train), "val": _read_rows(val)}
    names, source = sorted({row.label for row in rows["train"]}), train
    if data_set.startswith(MINI):
        source = files.find(CLASS_LIST, r".*\.txt")
        names = _listed(source, names, train)
        listed = set(names)
        rows = {key: [row for row in group if row.label in listed] for key, group in rows.items()}
    class_names = base.require_classes(names, num_class, source, data_set)
    labels = {name: label for label, name in enumerate(class_names)}
    unknown = [row for row in rows["val"] if row.label not in labels]
    refuse([f"{row.origin}: the class {quoted(row.label)} has no clip in {train}" for row in unknown])
    clips_of = Counter(row.youtube_id for group in rows.values() for row in group)
    lists = {
        key: [row.clip(labels[row.label], alone=clips_of[row.youtube_id] == 1) for row in group]
        for key, group in rows.items()
    }
    base.require_distinct(lists, attrgetter("name"))  # a clip of two classes would be the same video in two folders
    return Annotations(class_names, lists, order)


def _listed(class_list: Path, names: list[str], train: Path) -> list[str]:
    """The classes that a list names, perhaps in another spelling; refuses names without a clip in `train`."""
    known = {loose(name): name for name in names}
    listed = read_class_names(class_list)
    refuse([f"{class_list}: {quoted(name)} has no clip in {train}" for name in listed if loose(name) not in known])
    return sorted(known[loose(name)] for name in listed)


class _Row(NamedTuple):
    origin: str
    label: str
    youtube_id: str
    start: int
    end: int

    def clip(self, label: int, *, alone: bool) -> Clip:
        """The clip; `alone`: no other row has this video."""
        start, end = f"{self.start:06d}", f"{self.end:06d}"
        others = (f"_{start}", f"_{self.start}_{self.end}", f"_{self.start}", "") if alone else ()
        aliases = tuple(self.youtube_id + times for times in others)
        return Clip(f"{self.youtube_id}_{start}_{end}", label, self.origin, self.label, aliases)


def _read_rows(csv_file: Path) -> list[_Row]:
    reader = csv.DictReader(io.StringIO(read_text(csv_file, "the file"), newline=""), skipinitialspace=True)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise InputError(
            f"{csv_file}:1: there is no column {', '.join(missing)}; the official file begins with "
            "label,youtube_id,time_start,time_end,split (the test file has no labels and cannot be used)"
        )
    return base.parse_each(base.csv_rows(reader, csv_file), _parse_row)


def _parse_row(origin: str, row: dict[str, str]) -> _Row:
    try:
        start, end = int(float(row["time_start"])), int(float(row["time_end"]))
        if row["label"] and row["youtube_id"]:
            return _Row(origin, row["label"].strip(), row["youtube_id"].strip(), start, end)
    except (ValueError, TypeError, OverflowError):  # TypeError: the line is too short
        pass
    raise ValueError("expected label, youtube_id and two times in seconds; use the official file")


_SORTED, _MINI = "sorted by name, as in torchvision", "sorted by name; other projects may have another order"
_VERSIONS = {  # name, number of classes, their order
    "kinetics": ("Kinetics-400", 400, "sorted by name, as in TSM, mmaction2 and torchvision"),
    "kinetics600": ("Kinetics-600", 600, _SORTED),
    "kinetics700": ("Kinetics-700", 700, _SORTED),
    "minikinetics100": (f"{MINI}-100", 100, _MINI),
    "minikinetics200": (f"{MINI}-200", 200, _MINI),
}
_PUBLISHED = {"train": Published(240_436, COPY, found=True), "val": Published(19_796, COPY, found=True)}
KINETICS = {
    folder: Official(
        partial(_parse, data_set=data_set, num_class=num_class, order=order),
        files=f"train.csv validate.csv{f' of Kinetics-400, {CLASS_LIST}' if MINI in data_set else ''}",
        media="<class>/<youtube_id>_<start>_<end>.mp4, or without times",
        published=_PUBLISHED if folder == "kinetics" else {},
    )
    for folder, (data_set, num_class, order) in _VERSIONS.items()
}
