"""From annotated clips and the media that was found to list records, with an account of every clip."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any

from common.errors import InputError, counted, few, quoted, refuse
from datasets.lists import UNWRITABLE, VideoRecord, absent_classes, bare_path, is_writable
from datasets.preparing.annotations.files import Annotations, Clip
from datasets.preparing.find_media import DEEPEST, KINDS, met
from datasets.preparing.inspection import FrameNames, Inspection, find_template, inspect_video
from datasets.preparing.parallel import in_threads
from datasets.preparing.published import Published, published_size


@dataclass
class ListReport:
    """What became of the clips of one list.

    Attributes:
        annotated: clips that the annotations name.
        missing: ids of those of which nothing was found.
        dropped: id -> why, of those that were found and cannot be used.
        listed: clips in the list.
        absent_classes: names of classes without a clip in the list.
        published: size of the published list, if it is known.
    """

    annotated: int
    missing: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    listed: int = 0
    absent_classes: list[str] = field(default_factory=list)
    published: Published | None = None

    def remarks(self) -> list[str]:
        """What a user should know of the list."""
        remarks = []
        if not self.listed:
            remarks.append("none of its clips can be used, so there is no such list")
        if self.published:
            counts = self.listed if self.published.found else self.annotated
            remarks += self.published.compared(counts, "listed" if self.published.found else "annotated")
        if self.absent_classes:
            remarks.append(f"{counted(len(self.absent_classes), 'class')} without a clip: {few(self.absent_classes)}")
        return remarks


@dataclass
class Preparation:
    """A data set that is ready to be written.

    Attributes:
        data_set: name of its folder.
        class_names: K names in label order.
        media: folder of the videos or frames.
        image_tmpl: of the frames; None: there are video files only.
        records: name of the list -> its records; lists without a clip are left out.
        reports: name of the list -> what became of its clips.
        remarks: what else a user should know of it.
        sources: name of the list -> source -> number of its clips, where a split keeps the clips of a source together.
    """

    data_set: str
    class_names: tuple[str, ...]
    media: Path
    image_tmpl: str | None
    records: dict[str, list[VideoRecord]]
    reports: dict[str, ListReport]
    remarks: list[str]
    sources: dict[str, dict[str, int]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The report, with the name of every clip that is missing or dropped."""
        return {
            "data_set": self.data_set,
            "media": str(self.media.absolute()),
            "image_tmpl": self.image_tmpl,
            "reports": {key: asdict(report) for key, report in self.reports.items()},
            "sources": self.sources,
            "remarks": self.remarks,
        }

    def divided(self, lists: Mapping[str, list[VideoRecord]]) -> "Preparation":
        """The same with its records divided into these lists."""
        reports = {
            key: ListReport(len(group), listed=len(group), absent_classes=absent_classes(self.class_names, group))
            for key, group in lists.items()
        }
        return replace(self, records=dict(lists), reports=self.reports | reports)

    def without(self, failed: Mapping[str, InputError]) -> "Preparation":
        """The same without some videos; `failed`: path -> why.

        Raises:
            InputError: nothing is left.
        """
        records: dict[str, list[VideoRecord]] = {}
        reports = {}
        for key, report in self.reports.items():
            group = self.records.get(key, [])
            left = [record for record in group if record.path not in failed]
            was_divided = report.listed and not group  # into the others, so all failed videos are of this list
            own = failed if was_divided else {record.path for record in group}
            dropped = {path: str(fault) for path, fault in failed.items() if path in own}
            reports[key] = replace(
                report, dropped=report.dropped | dropped, listed=report.listed - len(dropped),
                absent_classes=absent_classes(self.class_names, left) if left else report.absent_classes,
            )  # fmt: skip
            records |= {key: left} if left else {}
        if not records:
            raise InputError(f"none of the {counted(len(failed), 'video')} can be used: {next(iter(failed.values()))}")
        return replace(self, records=records, reports=reports)

    def with_frames(self, frames: Mapping[str, VideoRecord], media: Path, image_tmpl: str) -> "Preparation":
        """The same with frames in `media` instead of its videos; `frames`: path of a video -> record of its frames."""
        records = {key: [frames[record.path] for record in group] for key, group in self.records.items()}
        return replace(self, records=records, media=media, image_tmpl=image_tmpl)


def prepare(
    data_set: str,
    annotations: Annotations,
    media: Path,
    located: Mapping[str, Sequence[str]],
    *,
    usual_tmpl: str,
    image_tmpl: str | None = None,
    cure: str = f"Give the right folder with --videos or --frames; folders are searched {DEEPEST} levels deep",
) -> Preparation:
    """Look at every video once and make the records of the lists. Nothing is decoded and nothing is written.

    Args:
        data_set: name of its folder.
        annotations: classes and clips.
        media: folder of the videos or frame folders.
        located: id of a clip -> its paths below `media`; the first that can be used is taken.
        usual_tmpl: the data set's frame names; others are found out.
        image_tmpl: the frame names; others are refused.
        cure: what to do where no clip is found.

    Raises:
        InputError: the annotations have no clip for a list, no clip at all can be used, the frames' names are in
            doubt, or a class has a name that classes.txt cannot hold.
    """
    refuse(
        [
            f"the class {quoted(n)}: {UNWRITABLE}"
            for n in annotations.class_names
            if not is_writable(VideoRecord(n, 1, 0))
        ]
    )
    refuse(
        [
            f"{data_set}: the annotations have no clip for {k}.txt; are they whole?"
            for k, c in annotations.lists.items()
            if not c
        ]
    )
    paths = sorted({places[0] for places in located.values()})
    names = FrameNames(image_tmpl or find_template(media, paths, usual_tmpl))
    looks = _look(media, located, names)
    records, reports = {}, {}
    for key, clips in annotations.lists.items():
        reports[key] = ListReport(len(clips), published=published_size(data_set, key))
        records[key] = _records(clips, looks, reports[key])
        if records[key]:
            reports[key].absent_classes = absent_classes(annotations.class_names, records[key])
    records = {key: group for key, group in records.items() if group}
    if not records:
        raise InputError(_explain_nothing(data_set, annotations, media, reports, cure))
    has_frames = any(record.num_frames is not None for group in records.values() for record in group)
    return Preparation(
        data_set, annotations.class_names, media, names.image_tmpl if has_frames else None, records, reports,
        [f"classes: {annotations.class_order}", *annotations.remarks, *_remarks(annotations, looks, located)],
    )  # fmt: skip


def _look(media: Path, located: Mapping[str, Sequence[str]], names: FrameNames) -> dict[str, tuple[str, Inspection]]:
    """Id of a clip -> the first of its places that can be used, else the first, and what a look there gave."""
    chosen: dict[str, tuple[str, Inspection]] = {}
    ids, rank = list(located), 0
    while ids:
        paths = sorted({located[clip_id][rank] for clip_id in ids})
        looks = in_threads(partial(inspect_video, media, names=names), paths, "looking at videos")
        look_at = dict(zip(paths, looks, strict=True))
        for clip_id in ids:
            path = located[clip_id][rank]
            if clip_id not in chosen or not look_at[path].fault:
                chosen[clip_id] = path, look_at[path]
        rank += 1
        ids = [clip_id for clip_id in ids if chosen[clip_id][1].fault and len(located[clip_id]) > rank]
    return chosen


def _records(
    clips: Sequence[Clip], looks: Mapping[str, tuple[str, Inspection]], report: ListReport
) -> list[VideoRecord]:
    """Records of the clips that can be used; the report says what became of the others."""
    records = []
    for clip in clips:
        if clip.id not in looks:
            report.missing.append(clip.id)
            continue
        path, look = looks[clip.id]
        if look.fault:
            report.dropped[clip.id] = look.fault
        else:
            records.append(VideoRecord(path, look.num_frames, clip.label))
    report.listed = len(records)
    return records


def _explain_nothing(
    data_set: str, annotations: Annotations, media: Path, reports: Mapping[str, ListReport], cure: str
) -> str:
    """Why there would be no list."""
    reasons = {name: reason for report in reports.values() for name, reason in report.dropped.items()}
    if reasons:
        found = counted(len(reasons), "clip")
        return f"{data_set}: none of the {found} found can be used: {next(iter(reasons.values()))}"
    ids = {clip.id: clip.place for clips in annotations.lists.values() for clip in clips}
    there = {kind: [quoted(path) for path in islice(met(media, kind), 4)] for kind in KINDS}
    return (
        f"{data_set}: {media} has none of the {counted(len(ids), 'clip')}.\n"
        f"Looked for: {few([quoted(clip_id) for clip_id in ids])}, as in {next(iter(ids.values()))}\n"
        f"There are: {'; '.join(f'{kind} {few(paths)}' for kind, paths in there.items() if paths) or 'no media'}\n"
        f"{cure}"
    )


def _remarks(
    annotations: Annotations, looks: Mapping[str, tuple[str, Inspection]], located: Mapping[str, Sequence[str]]
) -> list[str]:
    """What a user should know of the media."""
    remarks = []
    zero_based = [path for path, look in looks.values() if look.zero_based and not look.fault]
    if zero_based:
        videos = counted(len(zero_based), "video")
        remarks.append(f"{videos} with a frame 0, which is left out, as frames count from 1: {few(zero_based, 1)}")
    several = [places for places in located.values() if len(places) > 1]
    if several:
        found = f"{counted(len(several), 'clip')} found more than once"
        remarks.append(f"{found}; the first that can be used is taken: {few([' or '.join(p) for p in several], 1)}")
    short = [
        f"{looks[clip.id][0]} for {clip.name}"
        for clip in chain(*annotations.lists.values())
        if clip.aliases and clip.id in looks and PurePosixPath(bare_path(looks[clip.id][0])).name != clip.name
    ]
    if short:
        remarks.append(f"{counted(len(short), 'clip')} found by another name, which lacks times: {few(short, 1)}")
    return remarks
