"""A check of lists against the files that they name, before a run."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from datasets.catalogue import DatasetSpec, folder_and_lists
from datasets.lists import VideoRecord, absent_classes, parse_line, read_lines
from datasets.preparing.inspection import FrameNames, Inspection, inspect_video
from datasets.preparing.parallel import in_processes, in_threads
from datasets.preparing.published import published_size
from datasets.readers import find_record, open_record
from datasets.video import decode_video
from datasets.video_file import VideoFile
from errors import InputError, few, refuse

IN_MEMORY = 32  # frames of a folder that are decoded at a time


class Row(NamedTuple):
    """A line of a list.

    Attributes:
        number: of the line, from 1.
        record: what it says, mended where it can be; None: the line cannot be kept.
        fault: what is wrong with it and what to do; empty if it is good.
    """

    number: int
    record: VideoRecord | None
    fault: str = ""

    def bad(self, fault: str, mended: VideoRecord | None = None) -> "Row":
        """The row with a fault that was found."""
        return Row(self.number, mended, fault)


@dataclass(frozen=True)
class ListCheck:
    """What the check of one list gave.

    Attributes:
        list_file: the list.
        rows: its lines that are not empty, in order.
        remarks: what is unusual but not bad.
        clips: clips of each class, K numbers, over the lines that can be read.
    """

    list_file: Path
    rows: list[Row]
    remarks: list[str]
    clips: list[int]

    @property
    def faults(self) -> list[str]:
        """One line for each bad row: place, what, what to do."""
        return [f"{self.list_file}:{row.number}: {row.fault}" for row in self.rows if row.fault]

    def describe(self) -> str:
        """One phrase."""
        bad = len(self.faults)
        return f"{self.list_file}: {len(self.rows):,} rows, {len(self.rows) - bad:,} good, {bad:,} bad"


def check_data(spec: DatasetSpec, *, decode: bool = False, workers: int = 1) -> dict[str, ListCheck]:
    """Check the lists of a data set and every file that they name.

    Args:
        spec: the data set.
        decode: decode every frame, too; without it, only names and sizes are looked at.
        workers: processes that decode.

    Returns:
        "train", "val" -> its check.

    Raises:
        InputError: a list cannot be read at all.
    """
    rows, remarks = {}, {}
    for which, list_file in spec.lists.items():
        rows[which] = _read_rows(list_file, spec.num_class)
        good = _good(rows[which])
        paths = [row.record.path for row in good if row.record]
        work = partial(inspect_video, spec.root_path, names=FrameNames(spec.image_tmpl))
        looks = in_threads(work, paths, f"looking at {which} videos")
        rows[which] = _updated(rows[which], [_compare(row, look) for row, look in zip(good, looks, strict=True)])
        remarks[which] = _remarks(looks)
        if decode:
            good = _good(rows[which])
            decoded = in_processes(partial(decode_row, spec), good, f"decoding {which} videos", workers)
            rows[which] = _updated(rows[which], decoded)
    if {"train", "val"} <= set(rows):
        in_val = {row.record.path: f"{spec.lists['val']}:{row.number}" for row in rows["val"] if row.record}
        rows["train"] = [_not_in_val(row, in_val) for row in rows["train"]]
    return {which: _summary(spec, which, rows[which], remarks[which]) for which in rows}


def require_good(spec: DatasetSpec) -> None:
    """Check a data set before a run, without decoding; log what was found.

    Raises:
        InputError: there are bad rows.
    """
    checks = check_data(spec)
    for check in checks.values():
        logging.info("%s", check.describe())
        for remark in check.remarks:
            logging.info("  note: %s", remark)
    refuse([fault for check in checks.values() for fault in check.faults], "bad rows; scripts/check_data.py shows all")


def _read_rows(list_file: Path, num_class: int) -> list[Row]:
    """The lines of a list; bad is what cannot be read, and what stands there twice."""
    rows: list[Row] = []
    first: dict[str, int] = {}
    for number, line in read_lines(list_file):
        try:
            record = parse_line(line, num_class)
        except ValueError as error:
            rows.append(Row(number, None, str(error)))
            continue
        other = first.setdefault(record.path, number)
        twice = f"{record.path!r} stands in line {other} too; keep one of them" if other != number else ""
        rows.append(Row(number, None if twice else record, twice))
    if not rows:
        raise InputError(f"the list {list_file} has no clips")
    return rows


def _good(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not row.fault]


def _updated(rows: Sequence[Row], checked: Sequence[Row]) -> list[Row]:
    """The rows, with those of the same line in `checked` in their places."""
    by_number = {row.number: row for row in checked}
    return [by_number.get(row.number, row) for row in rows]


def _remarks(looks: Sequence[Inspection]) -> list[str]:
    """What is to be said of many videos at once."""
    remarks = []
    zero_based = sum(look.zero_based for look in looks)
    if zero_based:
        remarks.append(f"{zero_based:,} videos have a frame 0 that is not used: frames count from 1")
    others = Counter(look.other_tmpl for look in looks if look.other_tmpl)
    if others:
        template, videos = others.most_common(1)[0]
        remarks.append(f"{videos:,} videos have frames named {template}: give --image_tmpl '{template}'")
    return remarks


def _compare(row: Row, look: Inspection) -> Row:
    """A row after a look at its files."""
    if look.fault:
        return row.bad(look.fault)
    return row if look.num_frames is None else _counted(row, look.num_frames, zero_based=look.zero_based)


def _counted(row: Row, num_frames: int, *, zero_based: bool = False) -> Row:
    """A row whose video has `num_frames` frames; bad if the list says another number."""
    record = row.record
    if record is None or record.num_frames in (None, num_frames):
        return row
    zero = " (and a frame 0, which is not used)" if zero_based else ""
    return row.bad(
        f"{record.path!r} has {num_frames} frames{zero}, the list says {record.num_frames}; write {num_frames}, "
        "or extract the video again",
        replace(record, num_frames=num_frames),
    )


def decode_row(spec: DatasetSpec, row: Row) -> Row:
    """Decode every frame of a row's video."""
    record = row.record
    if record is None:
        return row
    try:
        reader, path = find_record(spec.root_path, record)
        if reader is VideoFile:
            count = sum(1 for _ in decode_video(path))
            return _counted(row, count) if count else row.bad(f"{path} has no frames; download the video again")
        images = open_record(spec.root_path, record, spec.image_tmpl)
        for start in range(0, images.num_frames, IN_MEMORY):
            images.read(range(start, min(start + IN_MEMORY, images.num_frames)), replace_unreadable=False)
    except InputError as error:
        return row.bad(str(error))
    return row


def _not_in_val(row: Row, in_val: Mapping[str, str]) -> Row:
    """A train row; bad if its video is in the val list, of which `in_val` has the places."""
    if row.fault or row.record is None or row.record.path not in in_val:
        return row
    return row.bad(f"{row.record.path!r} stands in {in_val[row.record.path]} too; remove it from one of the lists")


def _summary(spec: DatasetSpec, which: str, rows: list[Row], remarks: list[str]) -> ListCheck:
    """The check with what is to be said of the list as a whole."""
    count = Counter(row.record.label for row in rows if row.record)
    absent = absent_classes(spec.class_names, [row.record for row in rows if row.record])
    if absent:
        hint = "; are the labels counted from 1?" if absent == [spec.class_names[0]] else ""
        remarks.append(f"{len(absent)} of {spec.num_class} classes have no good clip: {few(absent)}{hint}")
    folder, list_names = folder_and_lists(spec.name)
    published = published_size(folder, list_names[which])
    if published and published.clips != len(rows):
        remarks.append(f"{len(rows):,} clips, published are {published}")
    return ListCheck(spec.lists[which], rows, remarks, [count[label] for label in range(spec.num_class)])
