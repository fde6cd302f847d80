"""The reader of each form of video: frame folder, archive or video file. The form is detected automatically."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from errno import ELOOP, ENOENT, ENOTDIR
from pathlib import Path
from typing import Protocol

import numpy as np

from common.errors import InputError, quoted
from datasets.lists import MORE_NUMBERS, VideoRecord
from datasets.missing_path import refuse_broken_link, there_is
from datasets.reading.frames import FrameArchive, FrameFolder
from datasets.reading.renumbered import part_of
from datasets.reading.video_file import VideoFile

ARCHIVE_SUFFIX = ".zip"


class Reader(Protocol):
    """The frames of one video. Holds no open file, so that it can be sent to another process."""

    path: Path
    num_frames: int  # as listed; counted if the list does not say

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Decode frames and yield each as soon as it is decoded.

        Args:
            numbers: distinct, 0-based.
            replaced: None: an unreadable frame is an error. A list: the nearest readable frame of the video takes its
                place, and the name of the unreadable one is added here.

        Yields:
            (number, (H, W, 3) uint8 RGB), in any order. A frame that comes again replaces the earlier one: jumps in a
            video file may turn out to be wrong.

        Raises:
            InputError: a frame cannot be read and must not be replaced, or no frame can be read.
        """
        ...


def open_record(root_path: Path, record: VideoRecord, image_tmpl: str, decoder: str = "auto") -> Reader:
    """The reader of a listed video; `image_tmpl` and `decoder` as for `NumberedImages`.

    Raises:
        InputError: nothing is there, or the list gives no number of frames and they cannot be counted, or its window
            has no frame.
    """
    reader, path = find_record(root_path, record)
    num_frames, window = record.num_frames, record.window
    if window is not None:  # the whole video's frames are not counted
        num_frames = 0 if window.in_seconds else int(window.end)
    whole = VideoFile(path, num_frames) if reader is VideoFile else reader(path, image_tmpl, num_frames, decoder)
    return part_of(whole, window)


def find_record(root_path: Path, record: VideoRecord) -> tuple[type, Path]:
    """The class of a video's reader, and the file or folder that it reads; nothing is opened.

    In this order: a frame folder `<root>/<path>`, an archive `<root>/<path>.zip`, an archive (.zip) or video file
    `<root>/<path>`.

    Raises:
        InputError: nothing is there.
    """
    path = root_path / record.path
    if not path.name:
        raise InputError(f"{quoted(record.path)} names no folder and no file; give a path below {root_path}")
    archive = path if path.suffix.lower() == ARCHIVE_SUFFIX else path.with_name(path.name + ARCHIVE_SUFFIX)
    try:
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            return FrameFolder, path
        if stat.S_ISREG(_mode(archive)):
            return FrameArchive, archive
        if stat.S_ISREG(mode):
            return VideoFile, path
    except OSError as error:  # a folder without permission, a name that is too long
        raise InputError(f"{path} cannot be reached: {error.strerror}; check --root_path and the list") from error
    refuse_broken_link(path)
    refuse_broken_link(archive)
    raise InputError(
        f"there is no frame folder, no archive {archive.name} and no video file at {path}; "
        "check --root_path and the paths in the list" + _hint(path, record)
    )


def _mode(path: Path) -> int:
    """The kind of a file or folder; 0 if there is none. Unlike `Path.is_dir` and `is_file` one call for both."""
    try:
        return os.stat(path).st_mode
    except ValueError:  # a null character
        return 0
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR, ELOOP):
            return 0
        raise


def _hint(path: Path, record: VideoRecord) -> str:
    """The likely mistake, for a message: something similar exists."""
    if "\\" in record.path or record.path[0] in "\"'":
        return " (write / between folders, and no quotes)"
    shorter = re.sub(r"(?<=\S)(\s+\d+)+$", "", path.name)
    if shorter != path.name and _exists(path.with_name(shorter)):
        return f" (there is {shorter}: the line has too many numbers; {MORE_NUMBERS})"
    whole = path.with_name(f"{path.name} {record.num_frames}")
    if _exists(whole):
        return f" (if {whole.name} is meant, add its number of frames to the line)"
    frames = path.with_suffix("")
    if path.suffix and (os.path.isdir(frames) or os.path.isfile(f"{frames}{ARCHIVE_SUFFIX}")):
        return f" (there are frames {frames.name}; if they were extracted after the list was made, prepare it again)"
    return there_is(path)


def _exists(path: Path) -> bool:
    """Whether a file, folder or archive exists; unlike `Path.exists`, names that are too long do not raise."""
    return os.path.exists(path) or os.path.exists(f"{path}{ARCHIVE_SUFFIX}")
