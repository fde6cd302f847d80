"""The videos that a user names: files, frame folders, archives, folders of videos, lists, webcams and streams."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from common.errors import InputError, counted, reason
from datasets.lists import VIDEO_SUFFIXES, VideoRecord, parse_line, read_text
from datasets.missing_path import there_is
from datasets.reading.frames import IMAGE_SUFFIXES, UNREADABLE, FrameArchive, FrameFolder, NumberedImages, is_flow
from datasets.reading.readers import ARCHIVE_SUFFIX, Reader
from datasets.reading.video_decoding import not_to_its_end
from datasets.reading.video_file import VideoFile

ANY_NAME = "{}"  # an unused template: `NamedImages` sorts the names themselves
LIST_SUFFIX = ".txt"
_URL = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # one letter would be a drive


@dataclass(frozen=True)
class Source:
    """A video to classify."""

    path: Path
    record: VideoRecord  # its path is the video's name: in a list as listed, otherwise as given
    address: str = ""  # number of a webcam or URL of a stream, instead of a path


def is_live(argument: str) -> bool:
    """Whether an argument is the number of a webcam or the URL of a stream, and no existing path."""
    return not os.path.exists(argument) and (argument.isdecimal() or _URL.match(argument) is not None)


def find_sources(arguments: Sequence[str], root_path: Path | None = None) -> list[Source]:
    """The videos of a folder, of a list (.txt), or the path itself, which need not exist; or a live source.

    Raises:
        InputError: a folder or list cannot be read, or has no videos.
    """
    return [source for argument in arguments for source in _sources(argument, root_path)]


def shown_address(address: str) -> str:
    """An address without the name and password in it, for messages and files."""
    return re.sub(r"//[^/@]*@", "//", address)


def _sources(argument: str, root_path: Path | None) -> list[Source]:
    if not argument:
        raise InputError("a SOURCE is empty; give a file, or . for the videos of the current folder")
    path = Path(argument)
    if is_live(argument):
        return [Source(path, VideoRecord(shown_address(argument), None, 0), argument)]
    if path.suffix.lower() == LIST_SUFFIX and not path.is_dir():
        return _listed(path, root_path)
    paths = _videos_below(path) if os.path.isdir(path) else [path]
    return [Source(found, VideoRecord(str(found), None, 0)) for found in paths]


def _videos_below(root: Path) -> list[Path]:
    """Video files, archives and frame folders, at any depth; `root` may be a frame folder itself."""

    def refuse(error: OSError) -> NoReturn:
        raise InputError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    found: list[Path] = []
    seen: set[str] = set()  # a link may lead back up
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        is_new = os.path.realpath(folder) not in seen
        seen.add(os.path.realpath(folder))
        folders[:] = [name for name in folders if is_new and name[0] != "."]
        shown = [name for name in names if is_new and name[0] != "."]
        videos = [name for name in shown if name.lower().endswith((*VIDEO_SUFFIXES, ARCHIVE_SUFFIX))]
        if not videos and any(name.lower().endswith(IMAGE_SUFFIXES) for name in shown):
            found.append(Path(folder))
            folders.clear()
        found += [Path(folder, name) for name in videos]
    if not found:
        raise InputError(f"{root} has no frames and no videos; give a video file, or a folder of images or videos")
    return sorted(found, key=lambda path: in_natural_order(str(path)))


def _listed(list_file: Path, root_path: Path | None) -> list[Source]:
    """The videos of a list, whose paths are below `root_path` or else the list's own folder."""
    lines = [line.strip() for line in read_text(list_file, "the list").splitlines() if line.strip()]
    if not lines:
        raise InputError(f"the list {list_file} has no videos; each line is a path or `path num_frames label`")
    root = list_file.parent if root_path is None else root_path
    sources = [_listed_source(line, root) for line in lines]
    if not any(os.path.exists(source.path) for source in sources):
        raise InputError(
            f"none of the {counted(len(lines), 'video')} of the list {list_file} is in {root}; give the folder of its "
            "paths with --root_path. A line is a path, or `path num_frames label`"
        )
    return sources


def _listed_source(line: str, root: Path) -> Source:
    """The source of a line: a path that exists, or else a line of a list file."""
    record = VideoRecord(line, None, 0)
    if not os.path.exists(root / line):
        with suppress(ValueError):
            record = parse_line(line, None)
    path = root / record.path
    archive = Path(f"{path}{ARCHIVE_SUFFIX}")
    return Source(archive if not os.path.exists(path) and os.path.exists(archive) else path, record)


def open_source(path: Path, decoder: str, num_frames: int | None = None) -> Reader:
    """The reader of a complete video file, or of a folder or archive (.zip) of images.

    Args:
        path: the file or folder.
        decoder: for images.
        num_frames: as listed; None: counted.
    """
    if os.path.isdir(path):
        return NamedImages(FrameFolder(path, ANY_NAME, 0, decoder), num_frames)
    if not os.path.exists(path):
        raise InputError(f"there is no {path}; give a video file, or a folder or .zip of frames{there_is(path)}")
    if path.suffix.lower() == ARCHIVE_SUFFIX:
        return NamedImages(FrameArchive(path, ANY_NAME, 0, decoder), num_frames)
    refuse_text(path)
    video = VideoFile(path, num_frames)
    if video.fault:
        raise not_to_its_end(path, video.fault)
    return video


def refuse_text(path: Path) -> None:
    """Refuse a text file; playlists are text that FFmpeg reads."""
    with path.open("rb") as file:
        start = file.read(512)
    if start and not start.startswith(b"#EXTM3U") and all(byte >= 32 or byte in b"\t\r\n" for byte in start):
        raise InputError(f"{path} is a text file, not a video; the name of a list of videos ends in {LIST_SUFFIX}")


class NamedImages:
    """The images of a folder or archive, in the order of the numbers in their names."""

    def __init__(self, images: NumberedImages, num_frames: int | None = None) -> None:
        """Open a video of `num_frames` frames, or of as many as there are."""
        self.images, self.path = images, images.path
        try:
            names = [name for name in images.names() if name.lower().endswith(IMAGE_SUFFIXES) and "/" not in name]
        except UNREADABLE as error:
            raise InputError(f"{images.path} cannot be read ({reason(error)}); extract the video again") from error
        self.names = sorted([name for name in names if not is_flow(name)] or names, key=in_natural_order)
        self.num_frames = len(self.names) if num_frames is None else num_frames
        if not names:
            raise InputError(f"{images.path} has no frames; give a video file, or a folder or .zip of images")
        if self.num_frames > len(self.names):
            listed = counted(self.num_frames, "listed frame")
            raise InputError(f"{self.path} has {len(self.names)} of the {listed}; extract it again or correct the list")

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As `Reader.frames`; nothing is replaced."""
        with self.images.opened() as load:
            for number in numbers:
                try:
                    image = load(self.names[number])
                except UNREADABLE as error:
                    path = self.path / self.names[number]
                    raise InputError(f"{path} cannot be read ({reason(error)}); extract the video again") from error
                yield number, image


def in_natural_order(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts 2.jpg before 10.jpg."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name
