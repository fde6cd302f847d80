"""One reader for each form in which a video's frames may lie; which one, is seen from what is there."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from common.errors import InputError, quoted
from datasets.lists import MORE_NUMBERS, VideoRecord
from datasets.reading.frames import FrameArchive, FrameFolder, Frames, Take, take_all
from datasets.reading.missing import refuse_broken_link, there_is
from datasets.reading.video_file import VideoFile

ARCHIVE_SUFFIX = ".zip"


class Reader(Protocol):
    """The frames of one video. Holds no open file, so that it may go to any process."""

    num_frames: int  # by the list if it says so, else counted

    def read(self, indices: Sequence[int], *, replace_unreadable: bool, take: Take = take_all) -> Frames:
        """Decode frames, each once.

        Args:
            indices: distinct 0-based frame numbers.
            replace_unreadable: take the nearest readable frame of the same video for one that cannot be read, and say
                so in `Frames.replaced`; otherwise stop.
            take: called with each frame as it is decoded, so that a video need not be held at full size; perhaps twice
                with the same frame.

        Raises:
            InputError: a frame cannot be read and must not be replaced, or none can be.
        """
        ...


AT_ONCE = 8  # frames that are changed in one call: resizing so is quicker than one by one, and few are held


def read_changed(
    reader: Reader,
    numbers: Sequence[int],
    change: Callable[[list[np.ndarray]], Sequence[np.ndarray]],
    write: Callable[[int, np.ndarray], object],
    *,
    replace_unreadable: bool,
) -> list[str]:
    """Read frames, change several at a time, and hand on what they have become.

    Args:
        reader: of the video.
        numbers: as for `Reader.read`, and so is `replace_unreadable`.
        change: images (H, W, 3) -> what becomes of each.
        write: called with a frame's number and what it has become.

    Returns:
        `Frames.replaced`.
    """
    waiting: dict[int, np.ndarray] = {}

    def hand_on() -> None:
        for number, changed in zip(waiting, change(list(waiting.values())), strict=True):
            write(number, changed)
        waiting.clear()

    def take(number: int, image: np.ndarray) -> None:
        waiting[number] = image
        if len(waiting) == AT_ONCE:
            hand_on()

    replaced = reader.read(numbers, replace_unreadable=replace_unreadable, take=take).replaced
    if waiting:
        hand_on()
    return replaced


def open_record(root_path: Path, record: VideoRecord, image_tmpl: str, decoder: str = "auto") -> Reader:
    """The reader of a clip.

    Args:
        root_path: of the data set.
        record: of a list.
        image_tmpl: frame number (from 1) -> file name, in folders and archives.
        decoder: of these files, one of `DECODER_NAMES`.

    Raises:
        InputError: there is nothing, or the list says no number of frames and they cannot be counted.
    """
    reader, path = find_record(root_path, record)
    if reader is VideoFile:
        return VideoFile(path, record.num_frames)
    return reader(path, image_tmpl, record.num_frames, decoder)


def find_record(root_path: Path, record: VideoRecord) -> tuple[type, Path]:
    """The kind of reader for a clip and the file or folder that it reads; nothing is opened.

    `<root>/<path>` is a folder of frames, `<root>/<path>.zip` an archive of frames, or `<root>/<path>` an archive
    (.zip) or a video file. Looked for in this order.

    Args:
        root_path: of the data set.
        record: of a list.

    Raises:
        InputError: there is nothing.
    """
    path = root_path / record.path
    if not path.name:
        raise InputError(f"{quoted(record.path)} names no folder and no file; give a path below {root_path}")
    archive = path if path.suffix.lower() == ARCHIVE_SUFFIX else path.with_name(path.name + ARCHIVE_SUFFIX)
    try:
        if path.is_dir():
            return FrameFolder, path
        if archive.is_file():
            return FrameArchive, archive
        if path.is_file():
            return VideoFile, path
    except OSError as error:  # a folder that may not be searched, a name that is too long
        raise InputError(f"{path} cannot be reached: {error.strerror}; check --root_path and the list") from error
    refuse_broken_link(path)
    refuse_broken_link(archive)
    raise InputError(
        f"there is no frame folder, no archive {archive.name} and no video file at {path}; "
        "check --root_path and the paths in the list" + _look_around(path, record)
    )


def _look_around(path: Path, record: VideoRecord) -> str:
    """What lies there under a similar name, for a message."""
    if "\\" in record.path or record.path[0] in "\"'":
        return " (a list has / between folders, and no quotes)"
    shorter = re.sub(r"(?<=\S)(\s+\d+)+$", "", path.name)
    if shorter != path.name and _exists(path.with_name(shorter)):
        return f" (there is {shorter}: the line has too many numbers; {MORE_NUMBERS})"
    whole = path.with_name(f"{path.name} {record.num_frames}")
    if _exists(whole):
        return f" (if {whole.name} is meant: write its number of frames into the list, too)"
    frames = path.with_suffix("")
    if path.suffix and (os.path.isdir(frames) or os.path.isfile(f"{frames}{ARCHIVE_SUFFIX}")):
        return f" (there are frames {frames.name}; if they were extracted since the list was made, prepare it again)"
    return there_is(path)


def _exists(path: Path) -> bool:
    """Whether there is a file or folder, or an archive in its place; `Path.exists` fails where a name is too long."""
    return os.path.exists(path) or os.path.exists(f"{path}{ARCHIVE_SUFFIX}")
