"""Checks lists against the files that they name, before a run."""

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path

from common.errors import InputError, counted, few, quoted, refuse
from datasets.catalogue import SUBSETS, DatasetSpec, data_folder
from datasets.lists import VideoRecord, clip_key, parse_lines, repeated_lines
from datasets.overlapping_windows import overlapping
from datasets.preparing.annotations import published_size
from datasets.preparing.inspection import FrameNames
from datasets.preparing.parallel import StoppedError, in_processes, in_threads
from datasets.preparing.rows import Look, Row, decode_row, look_at
from datasets.records import Records, absent_classes


@dataclass(frozen=True)
class ListCheck:
    """The result of checking one list."""

    list_file: Path
    rows: list[Row]  # its lines that are not empty, in order
    remarks: list[str]  # unusual, but not wrong
    clips: list[int]  # clips per class, K numbers, over the lines that are good or corrected

    @property
    def num_bad(self) -> int:
        """Number of bad rows."""
        return sum(bool(row.fault) for row in self.rows)

    @property
    def faults_by_kind(self) -> list[list[str]]:
        """One line per bad row, `file:line: fault; remedy`, grouped by kind of fault."""
        kinds: dict[str, list[str]] = defaultdict(list)
        for row in filter(attrgetter("fault"), self.rows):
            kinds[row.kind].append(f"{self.list_file}:{row.number}: {row.fault}")
        return list(kinds.values())

    def summary(self) -> str:
        """The numbers of good and bad rows, in one line."""
        bad = self.num_bad
        return f"{self.list_file}: {counted(len(self.rows), 'row')}, {len(self.rows) - bad:,} good, {bad:,} bad"


def check_data(spec: DatasetSpec, *, decode: bool = False, workers: int = 1) -> dict[str, ListCheck]:
    """Check the lists of a data set and every file that they name; returns the check of each list.

    Inspects file names and opens video files; with `decode` it also decodes every frame, in `workers` processes.

    Raises:
        InputError: a list cannot be read at all.
        StoppedError: while decoding; its `results` are the checks so far.
    """
    rows, remarks = {}, {}
    for which, list_file in spec.lists.items():
        parsed = _read_rows(list_file, spec.num_class, which)
        looks = in_threads(partial(look_at, spec, FrameNames(spec.image_tmpl)), parsed, f"inspecting {which} videos")
        rows[which] = [look.row for look in looks]
        remarks[which] = _remarks(looks, decode)
    stop = _decode_all(spec, rows, remarks, workers) if decode else None
    listed: dict[str, str] = {}  # clip -> file and line
    for which in filter(rows.get, reversed(SUBSETS)):  # a clip in two lists is removed from the first
        for index, row in enumerate(rows[which]):
            origin = listed.get(clip_key(row.record)) if row.record else None
            if row.record and origin:
                fault = f"{quoted(row.record.id)} is also at {origin}; remove it from one of the lists"
                rows[which][index] = row.bad(fault)
        listed |= {clip_key(row.record): f"{spec.lists[which]}:{row.number}" for row in rows[which] if row.record}
    for which in rows.keys() - {"train"}:
        remarks[which] += _overlaps(rows[which], rows.get("train", []))
    checks = {which: _list_check(spec, which, rows[which], remarks[which]) for which in rows}
    if stop:
        raise StoppedError(str(stop), checks, by_user=stop.by_user)
    return checks


def _decode_all(
    spec: DatasetSpec, rows: dict[str, list[Row]], remarks: dict[str, list[str]], workers: int
) -> StoppedError | None:
    """Decode the videos of all rows and update `rows` and `remarks`; returns the error that stopped it, if any."""
    stop = None
    for which in rows:
        decoded: list[Row] = []
        try:
            if stop is None:
                decoded = in_processes(partial(decode_row, spec), rows[which], f"decoding {which} videos", workers)
        except StoppedError as error:
            decoded, stop = error.results, error
        if stop:
            remarks[which].append(f"only {len(decoded):,} of {counted(len(rows[which]), 'row')} decoded")
        rows[which] = decoded + rows[which][len(decoded) :]
    return stop


def require_good(spec: DatasetSpec) -> None:
    """Check a data set before a run, without decoding, log the results, and refuse bad rows."""
    checks = check_data(spec)
    for check in checks.values():
        logging.info("%s", check.summary())
        for remark in check.remarks:
            logging.info("  note: %s", remark)
    faults = [
        fault for check in checks.values() for group in zip_longest(*check.faults_by_kind) for fault in group if fault
    ]
    refuse(faults, "more bad row", "; scripts/check_data.py shows all")


def _read_rows(list_file: Path, num_class: int, which: str) -> list[Row]:
    """The lines of a list, bad if they cannot be parsed or repeat a clip (in the train list: with other values)."""
    allowed = {"may_repeat": which == "train", "may_lack_labels": which == "test"}
    rows = [
        Row(number, parsed) if isinstance(parsed, VideoRecord) else Row(number, None, parsed)
        for number, parsed in parse_lines(list_file, num_class, **allowed)
    ]
    if not rows:
        raise InputError(f"the list {list_file} has no clips")
    return rows


def _remarks(looks: Sequence[Look], decode: bool) -> list[str]:
    """Remarks that count videos of one kind."""
    remarks = []
    zero_based = sum(look.found.zero_based for look in looks)
    if zero_based:
        remarks.append(f"{counted(zero_based, 'video')} with a frame 0, which is not used (frames count from 1)")
    opened = [look for look in looks if look.is_video_file]
    if opened and not decode:
        unverified = sum(look.is_unverified for look in opened)
        counts = f" ({counted(unverified, 'frame count')} of the list not verified)" if unverified else ""
        files = counted(len(opened), "video file")
        remarks.append(f"{files} opened but not decoded{counts}; scripts/check_data.py --decode decodes all")
    return remarks


def _overlaps(rows: Sequence[Row], train_rows: Sequence[Row]) -> list[str]:
    """A remark on the clips that share time with a train clip of the same video, if there are any."""
    clips = overlapping(*(Records(row.record for row in own if row.record) for own in (rows, train_rows)))
    what = "overlapping in time with a train clip of the same video (train.py refuses that)"
    return [f"{counted(len(clips), 'clip')} {what}: {few(clips)}"] if clips else []


def _list_check(spec: DatasetSpec, which: str, rows: list[Row], remarks: list[str]) -> ListCheck:
    """The check, with remarks about the list as a whole."""
    records = [row.record for row in rows if row.record]
    count = Counter(label for record in records for label in record.labels)
    repeated = repeated_lines(records)
    if repeated:
        remarks.append(f"{counted(repeated, 'repeated line')}; a clip is trained on as often as it is listed")
    absent = absent_classes(spec.class_names, records)
    if absent:
        hint = "; are the labels counted from 1?" if absent == [spec.class_names[0]] else ""
        remarks.append(f"{len(absent)} of {counted(spec.num_class, 'class')} without a good clip: {few(absent)}{hint}")
    published = published_size(data_folder(spec.name), spec.lists[which].stem)
    remarks += published.compared(len(rows), "listed") if published else []
    return ListCheck(spec.lists[which], rows, remarks, [count[label] for label in range(spec.num_class)])
