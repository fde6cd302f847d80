"""Annotated clips and the media found for them -> records of the lists, with an account of every clip."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from common.errors import InputError, counted, few, quoted, refuse
from datasets.lists import UNWRITABLE, VideoRecord, bare_path, is_writable
from datasets.preparing.annotations import published_size
from datasets.preparing.annotations.base import Annotations, Clip, Published, remark_on
from datasets.preparing.find_media import KINDS, media_below
from datasets.preparing.inspection import FrameNames, Inspection, find_template, inspect_video
from datasets.preparing.parallel import in_threads
from datasets.records import absent_classes

Located = Mapping[str, Sequence[str]]  # id of a clip -> its paths below the folder of the media
Looks = dict[str, tuple[str, Inspection]]  # id of a clip -> one of these paths, and its inspection


@dataclass
class ListReport:
    """The outcome for the clips of one list."""

    annotated: int  # number of clips in the annotations
    missing: list[str] = field(default_factory=list)  # ids of clips that were not found
    dropped: dict[str, str] = field(default_factory=dict)  # id -> reason, of clips that were found but cannot be used
    published: Published | None = None  # size of the published list, if known

    @property
    def listed(self) -> int:
        """Number of clips in the list."""
        return self.annotated - len(self.missing) - len(self.dropped)

    def remarks(self) -> list[str]:
        """Lines about the list as a whole."""
        remarks = []
        if not self.listed:
            remarks.append("none of its clips can be used, so the list is not written")
        if self.published:
            counts = (self.listed, "listed") if self.published.found else (self.annotated, "annotated")
            remarks += self.published.compared(*counts)
        return remarks


@dataclass
class Preparation:
    """A data set that is ready to be written."""

    data_set: str  # name of its folder
    class_names: tuple[str, ...]  # K, in label order
    media: Path  # folder of the videos or frames
    image_tmpl: str | None  # file name of a frame; None: there are only video files
    records: dict[str, list[VideoRecord]]  # name of a list -> its records; empty lists are left out
    reports: dict[str, ListReport]  # name of a list -> report
    remarks: list[str]  # about the data set
    sources: dict[str, dict[str, int]] = field(default_factory=dict)  # list -> source -> clips, by --group_pattern

    def as_json(self) -> dict[str, Any]:
        """The content of report.json: every missing and dropped clip by name."""
        return {
            "data_set": self.data_set,
            "media": str(self.media.absolute()),
            "image_tmpl": self.image_tmpl,
            "reports": {
                key: asdict(report) | {"listed": report.listed, "absent_classes": self.absent_classes(key)}
                for key, report in self.reports.items()
            },
            "sources": self.sources,
            "remarks": self.remarks,
        }

    def absent_classes(self, key: str) -> list[str]:
        """Names of the classes without a clip in a list, or in those that it was divided into; none if it is empty."""
        if not self.reports[key].listed:
            return []
        groups = [self.records[key]] if key in self.records else self.records.values()
        return absent_classes(self.class_names, chain(*groups))

    def divided(self, lists: Mapping[str, list[VideoRecord]]) -> "Preparation":
        """A copy with its records divided into these lists."""
        reports = {key: ListReport(len(group)) for key, group in lists.items()}
        return replace(self, records=dict(lists), reports=self.reports | reports)

    def without(self, failed: Mapping[str, InputError]) -> "Preparation":
        """A copy without the videos of `failed`, path -> reason; refused if none is left."""
        reports = {}
        for key, report in self.reports.items():
            was_divided = report.listed and key not in self.records  # into other lists: it had all failed videos
            own = failed if was_divided else {record.path for record in self.records.get(key, [])}
            dropped = {path: str(fault) for path, fault in failed.items() if path in own}
            reports[key] = replace(report, dropped=report.dropped | dropped)
        left = {key: [r for r in group if r.path not in failed] for key, group in self.records.items()}
        records = {key: group for key, group in left.items() if group}
        if not records:
            raise InputError(f"none of the {counted(len(failed), 'video')} can be used: {next(iter(failed.values()))}")
        return replace(self, records=records, reports=reports)

    def with_frames(self, frames: Mapping[str, VideoRecord], media: Path, image_tmpl: str) -> "Preparation":
        """A copy with frames in `media` instead of videos; `frames`: path of a video -> record of its frames."""
        records = {key: [frames[record.path] for record in group] for key, group in self.records.items()}
        return replace(self, records=records, media=media, image_tmpl=image_tmpl)


def prepare(
    data_set: str,
    annotations: Annotations,
    media: Path,
    located: Located,
    *,
    usual_tmpl: str,
    image_tmpl: str | None,
    fix: str,
) -> Preparation:
    """Inspect every video once and make the records of the lists. Nothing is decoded or written.

    Args:
        data_set: name of its folder.
        annotations: classes and clips; each list must have one.
        media: folder of the videos or frame folders.
        located: the first usable path of a clip is taken; one clip at least must be usable.
        usual_tmpl: the data set's frame names; others are detected.
        image_tmpl: the frame names, if given by the user; others are refused.
        fix: the advice of the message if no clip is found.
    """
    names = [name for name in annotations.class_names if not is_writable(VideoRecord(name, 1, 0))]
    refuse([f"the class {quoted(name)}: {UNWRITABLE}" for name in names])
    empty = [key for key, clips in annotations.lists.items() if not clips]
    refuse([f"{data_set}: the annotations have no clip for {key}.txt; are they complete?" for key in empty])
    paths = sorted({paths[0] for paths in located.values()})
    frame_names = FrameNames(image_tmpl or find_template(media, paths, usual_tmpl))
    looks = _inspect(media, located, frame_names)
    records: dict[str, list[VideoRecord]] = {}
    reports: dict[str, ListReport] = {}
    for key, clips in annotations.lists.items():
        group, reports[key] = _judge(clips, looks, published_size(data_set, key))
        if group:
            records[key] = group
    if not records:
        raise InputError(_explain_nothing(data_set, annotations, media, reports, fix))
    has_frames = any(record.num_frames is not None for group in records.values() for record in group)
    return Preparation(
        data_set, annotations.class_names, media, frame_names.image_tmpl if has_frames else None, records, reports,
        [f"classes: {annotations.class_order}", *annotations.remarks, *_remarks(annotations, looks, located)],
    )  # fmt: skip


def _inspect(media: Path, located: Located, names: FrameNames) -> Looks:
    """The first path of each clip that can be used, else the first."""
    chosen: Looks = {}
    ids, rank = list(located), 0
    while ids:
        paths = sorted({located[clip_id][rank] for clip_id in ids})
        inspections = in_threads(partial(inspect_video, media, names=names), paths, "inspecting videos")
        by_path = dict(zip(paths, inspections, strict=True))
        for clip_id in ids:
            path = located[clip_id][rank]
            if clip_id not in chosen or not by_path[path].fault:
                chosen[clip_id] = path, by_path[path]
        rank += 1
        ids = [clip_id for clip_id in ids if chosen[clip_id][1].fault and len(located[clip_id]) > rank]
    return chosen


def _judge(clips: Sequence[Clip], looks: Looks, published: Published | None) -> tuple[list[VideoRecord], ListReport]:
    """Records of the clips that can be used, and an account of all."""
    found = [(clip, *looks[clip.id]) for clip in clips if clip.id in looks]
    records = [VideoRecord(path, look.num_frames, clip.label) for clip, path, look in found if not look.fault]
    missing = [clip.id for clip in clips if clip.id not in looks]
    dropped = {clip.id: look.fault for clip, _, look in found if look.fault}
    return records, ListReport(len(clips), missing, dropped, published=published)


def _explain_nothing(
    data_set: str, annotations: Annotations, media: Path, reports: Mapping[str, ListReport], fix: str
) -> str:
    """The error message if no list has a clip."""
    reasons = {name: reason for report in reports.values() for name, reason in report.dropped.items()}
    if reasons:
        found = counted(len(reasons), "clip")
        return f"{data_set}: none of the {found} found can be used: {next(iter(reasons.values()))}"
    ids = {clip.id: clip.origin for clips in annotations.lists.values() for clip in clips}
    there = {kind: [quoted(path) for path in islice(media_below(media, kind), 4)] for kind in KINDS}
    return (
        f"{data_set}: none of the {counted(len(ids), 'clip')} is in {media}.\n"
        f"Looked for: {few([quoted(clip_id) for clip_id in ids])}, as in {next(iter(ids.values()))}\n"
        f"Found: {'; '.join(f'{kind} {few(paths)}' for kind, paths in there.items() if paths) or 'no media'}\n"
        f"{fix}"
    )


def _remarks(annotations: Annotations, looks: Looks, located: Located) -> list[str]:
    """Lines about the media."""
    zero_based = [path for path, look in looks.values() if look.zero_based and not look.fault]
    several = [" or ".join(paths) for paths in located.values() if len(paths) > 1]
    short = [
        f"{looks[clip.id][0]} for {clip.name}"
        for clip in chain(*annotations.lists.values())
        if clip.aliases and clip.id in looks and bare_path(looks[clip.id][0]).rpartition("/")[2] != clip.name
    ]
    return [
        *remark_on(zero_based, "video", "with a frame 0, which is not used (frames count from 1)", 1),
        *remark_on(several, "clip", "found twice or more, first usable one taken", 1),
        *remark_on(short, "clip", "found under a shorter name, without times", 1),
    ]
