"""A line of a list: what a look at its video, or the decoding of all its frames, says of it."""

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
from datasets.reading.video_packets import require_packets, require_whole

_NAMES = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/.*/\S*|\S*([\d*/]|\w\.\w)\S*")  # quoted, paths, file names, numbers
IN_MEMORY = 32  # frames of a folder that are decoded at a time


class Row(NamedTuple):
    """A line of a list.

    Attributes:
        number: of the line, from 1.
        record: what it says, mended where it can be; None: the line cannot be kept.
        fault: what is wrong with it and what to do; empty if it is good.
        path: path of the clip, if the row has a fault and the line can be read.
    """

    number: int
    record: VideoRecord | None
    fault: str = ""
    path: str = ""

    def bad(self, fault: str, mended: VideoRecord | None = None) -> "Row":
        """The row with one fault more."""
        path = self.record.path if self.record else self.path
        return Row(self.number, mended, f"{self.fault}; also: {fault}" if self.fault else fault, path)

    @property
    def kind(self) -> str:
        """The fault without the names and numbers in it: equal for faults of one kind."""
        fault = self.fault
        for name in filter(None, (self.path, Path(self.path).name)):
            fault = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "*", fault)
        return _NAMES.sub("*", fault)

    def looked_at(self, look: Inspection) -> "Row":
        """The row after a look at its files."""
        if look.fault:
            return self.bad(look.fault)
        return self if look.num_frames is None else self.counted(look.num_frames, zero_based=look.zero_based)

    def counted(self, num_frames: int, *, zero_based: bool = False) -> "Row":
        """The row, whose video has `num_frames` frames; bad if the list says another number."""
        record = self.record
        if record is None or record.num_frames in (None, num_frames):
            return self
        zero = " (and a frame 0, which is not used)" if zero_based else ""
        return self.bad(
            f"{quoted(record.path)} has {counted(num_frames, 'frame')}{zero}, the list says {record.num_frames}; "
            f"write {num_frames}, or extract the video again",
            replace(record, num_frames=num_frames),
        )


class Look(NamedTuple):
    """A look at the video of a row.

    Attributes:
        found: what it gave.
        is_video_file: it was opened, but not decoded.
        is_unverified: the list has its number of frames, and only decoding tells whether it is right.
    """

    found: Inspection
    is_video_file: bool = False
    is_unverified: bool = False


def look_at(spec: DatasetSpec, names: FrameNames, record: VideoRecord) -> Look:
    """Count the frames in a folder or archive; open a video file, and count its packets if the list has a number.

    Args:
        spec: the data set.
        names: counts frames.
        record: of a list.
    """
    path, listed = spec.root_path / record.path, record.num_frames
    try:
        found = inspect_video(spec.root_path, record.path, names)
        if found.fault or found.num_frames is not None:
            return Look(found)
        require_whole(path)
        if listed is None:
            return Look(found, is_video_file=True)
        video = VideoFile(path, listed)
        count = video.count_by_packets()
        if video.index is None or count is None or video.index.fault:
            require_packets(path, listed)
        return Look(replace(found, num_frames=count), is_video_file=True, is_unverified=count is None)
    except Exception as error:
        return Look(Inspection(fault=_fault(path, error)))


def decode_row(spec: DatasetSpec, row: Row) -> Row:
    """Decode every frame of a row's video."""
    record = row.record
    if record is None:
        return row
    try:
        reader, path = find_record(spec.root_path, record)
        if reader is VideoFile:
            return row.counted(_decode(path))
        images = open_record(spec.root_path, record, spec.image_tmpl)
        for start in range(0, images.num_frames, IN_MEMORY):
            for _ in images.frames(range(start, min(start + IN_MEMORY, images.num_frames))):
                pass
    except Exception as error:
        return row.bad(_fault(spec.root_path / record.path, error))
    return row


def _fault(path: Path, error: Exception) -> str:
    """What to say of a video that raised an exception."""
    return str(error if isinstance(error, InputError) else unforeseen(path, error))


def _decode(path: Path) -> int:
    """Decode a video file.

    Returns:
        The number of its frames.

    Raises:
        InputError: it has none, or fewer than its packets tell, or breaks off.
    """
    count = sum(1 for _ in decode_video(path))
    promised = VideoFile(path, count).count_by_packets()
    if not count or promised not in (None, count):
        raise InputError(f"{path}: {count} of its {promised or 0} frames could be decoded; download the video again")
    return count
