"""Checks one line of a list: inspects its video, or decodes all its frames."""

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from common.errors import InputError, counted, quoted, unforeseen
from datasets.catalogue import DatasetSpec
from datasets.lists import VideoRecord
from datasets.preparing.inspection import FrameNames, Inspection, inspect_video
from datasets.reading.readers import find_record, open_record
from datasets.reading.video_decoding import decode_video
from datasets.reading.video_file import VideoFile
from datasets.reading.video_packets import require_whole

_NAMES = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/.*/\S*|\S*([\d*/]|\w\.\w)\S*")  # quoted, paths, file names, numbers


class Row(NamedTuple):
    """A line of a list."""

    number: int  # of the line, from 1
    record: VideoRecord | None  # its content, corrected where possible; None: the line cannot be kept
    fault: str = ""  # the fault and its remedy; empty if the line is good
    path: str = ""  # of the clip, in a row with a fault whose line could be parsed

    def bad(self, fault: str, corrected: VideoRecord | None = None) -> "Row":
        """The row with another fault."""
        path = self.record.path if self.record else self.path
        return Row(self.number, corrected, f"{self.fault}; also: {fault}" if self.fault else fault, path)

    @property
    def kind(self) -> str:
        """The fault with names and numbers masked, which is equal for faults of one kind."""
        fault = self.fault
        for name in filter(None, (self.path, Path(self.path).name)):
            fault = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "*", fault)
        return _NAMES.sub("*", fault)

    def counted(self, num_frames: int, *, zero_based: bool = False) -> "Row":
        """The row of a video with `num_frames` frames; bad and corrected if the list has another number."""
        record = self.record
        if record is not None and record.window and not record.window.in_seconds and record.window.end > num_frames:
            return self.bad(f"{quoted(record.id)} ends after the video's {counted(num_frames, 'frame')}; correct it")
        if record is None or record.num_frames in (None, num_frames):
            return self
        zero = " (and a frame 0, which is not used)" if zero_based else ""
        return self.bad(
            f"{quoted(record.path)} has {counted(num_frames, 'frame')}{zero}, the list says {record.num_frames}; "
            f"write {num_frames}, or extract the video again",
            record._replace(num_frames=num_frames),
        )


class Look(NamedTuple):
    """A row whose video was inspected."""

    row: Row
    found: Inspection
    is_video_file: bool = False  # opened, but not decoded
    is_unverified: bool = False  # only decoding reveals whether the listed number of frames is right


def look_at(spec: DatasetSpec, names: FrameNames, row: Row) -> Look:
    """Count the frames in a folder or archive; open a video file, and count its packets if the list has a number."""
    if row.record is None:
        return Look(row, Inspection())
    path, listed, window = spec.root_path / row.record.path, row.record.num_frames, row.record.window
    if window and not window.in_seconds:
        listed = int(window.end)
    count, is_video_file = None, False
    try:
        found = inspect_video(spec.root_path, row.record.path, names)
        if window and window.in_seconds and not found.fault:
            open_record(spec.root_path, row.record, spec.image_tmpl)
        if not found.fault and found.num_frames is None:
            is_video_file, count = True, _count_packets(path, listed)
            found = replace(found, num_frames=count)
    except Exception as error:
        found, is_video_file = Inspection(fault=_fault(path, error)), False
    if found.fault:
        row = row.bad(found.fault)
    elif found.num_frames is not None:
        row = row.counted(found.num_frames, zero_based=found.zero_based)
    return Look(row, found, is_video_file, is_unverified=is_video_file and listed is not None and count is None)


def _count_packets(path: Path, listed: int | None) -> int | None:
    """The number of frames by the packets of a video file; None if the list has no number, or only decoding can tell.

    Raises as `require_whole`.
    """
    if listed is not None:
        video = VideoFile(path, listed)
        count = video.count_by_packets()
        if count is not None and video.index is not None and not video.index.fault:
            return count
    require_whole(path, listed)
    return None


def decode_row(spec: DatasetSpec, row: Row) -> Row:
    """Decode every frame of a row's video."""
    record = row.record
    if record is None:
        return row
    try:
        reader, path = find_record(spec.root_path, record)
        if reader is VideoFile and record.window is None:
            return row.counted(_decode(path))
        images = open_record(spec.root_path, record, spec.image_tmpl)
        for _ in images.frames(range(images.num_frames)):
            pass
    except Exception as error:
        return row.bad(_fault(spec.root_path / record.path, error))
    return row


def _fault(path: Path, error: Exception) -> str:
    """The text for a video that raised an exception."""
    return str(error if isinstance(error, InputError) else unforeseen(path, error))


def _decode(path: Path) -> int:
    """Decode a video file. Returns its number of frames; refuses none, and fewer than its packets say."""
    count = sum(1 for _ in decode_video(path))
    promised = VideoFile(path, count).count_by_packets()
    if not count or promised not in (None, count):
        raise InputError(f"{path}: {count} of its {promised or 0} frames could be decoded; download the video again")
    return count
