"""Finds the videos or frames of clips by name, in any folder below a root."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from common.errors import InputError
from datasets.class_names import loose
from datasets.lists import VIDEO_SUFFIXES
from datasets.preparing.annotations.base import Clip
from datasets.reading.frames import IMAGE_SUFFIXES
from datasets.reading.readers import ARCHIVE_SUFFIX

KINDS = ("frames", "videos")  # frames first: they are preferred where there are both
DEEPEST = 4  # levels of folders that are searched
_loose = lru_cache(10_000)(loose)  # of the folders of all clips


def clip_name(entry: os.DirEntry, kind: str) -> str | None:
    """The name of the clip that a file, a folder or a broken link may contain; None if it cannot contain one.

    `kind`: "frames" for a folder or an archive `<name>.zip`, "videos" for a video file.
    """
    stem, suffix = os.path.splitext(entry.name)
    is_folder, is_video = is_dir(entry), suffix.lower() in VIDEO_SUFFIXES
    if kind == "videos":
        return stem if is_video and not is_folder else None
    if suffix == ARCHIVE_SUFFIX and not is_folder:
        return stem
    is_broken = entry.is_symlink() and not is_video and not os.path.exists(entry.path)
    return entry.name if is_folder or is_broken else None


def is_dir(entry: os.DirEntry) -> bool:
    """Whether it is a folder or a link to one; False for a link to itself, which raises an `OSError`."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def list_path(path: str, kind: str) -> str:
    """A path as in lists, where an archive is written like a folder: without .zip."""
    return path.removesuffix(ARCHIVE_SUFFIX) if kind == "frames" else path


def find_clips(root: Path, kind: str, clips: Iterable[Clip], *, fold_case: bool = False) -> dict[str, list[str]]:
    """Find clips by name, anywhere below a folder.

    Searches `DEEPEST` levels of folders, but not the frame folders of clips. If clips of several folders share a name,
    each is looked for only in its own folder. `kind`: "frames" or "videos"; `fold_case`: ignore case in names.

    Returns:
        Id of a clip -> paths below `root`, as in lists, the likeliest first. Clips that were not found are left out.
    """
    distinct = {clip.id: clip for clip in clips}.values()
    folders: dict[str, str] = {}  # name -> folder of the first clip with it
    shared: set[str] = set()  # names of clips of several folders
    for clip in distinct:
        for name in (clip.name, *clip.aliases):
            key = _key(name, fold_case)
            if folders.setdefault(key, clip.folder) != clip.folder and _loose(folders[key]) != _loose(clip.folder):
                shared.add(key)
    paths_of: dict[str, tuple[str, ...]] = defaultdict(tuple)  # a set of each would be three times as large
    for name, path in _walk(root, "", kind, lambda name: _key(name, fold_case) in folders, DEEPEST):
        key = _key(name, fold_case)
        if path not in paths_of[key]:  # a folder and an archive have one path
            paths_of[key] += (path,)
    found = {}
    for clip in distinct:
        keys = [_key(name, fold_case) for name in (clip.name, *clip.aliases)]
        paths = [
            (not _is_in(path, clip.folder), rank, path)
            for rank, key in enumerate(keys)
            for path in paths_of.get(key, ())
            if key not in shared or _is_in(path, clip.folder)
        ]
        if paths:
            found[clip.id] = [path for *_, path in sorted(paths)]
    return found


def media_below(root: Path, kind: str) -> Iterator[str]:
    """Paths of the videos, or of archives and folders with images, at most `DEEPEST` levels below a folder."""
    suffixes = VIDEO_SUFFIXES if kind == "videos" else (ARCHIVE_SUFFIX,)
    for folder, folders, files in os.walk(root, followlinks=True):
        below = Path(folder).relative_to(root)
        folders[:] = sorted(folders) if len(below.parts) < DEEPEST - (kind == "videos") else []
        names = [name for name in sorted(files) if not name.startswith(".")]
        yield from (str(below / name) for name in names if name.lower().endswith(suffixes))
        if kind == "frames" and any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
            yield str(below)


def _is_in(path: str, folder: str) -> bool:
    """Whether one of the folders of a path has this name, in any spelling."""
    return _loose(folder) in map(_loose, path.split("/")[:-1])


def _key(name: str, fold_case: bool) -> str:
    """A name in normal form: macOS stores accents and letters separately."""
    name = unicodedata.normalize("NFC", name)
    return name.casefold() if fold_case else name


def _walk(root: Path, below: str, kind: str, is_wanted: Callable[[str], bool], depth: int) -> Iterator[tuple[str, str]]:
    """(clip name, path as in lists) of the wanted entries."""
    for entry in scan_folder(root / below):
        path = f"{below}/{entry.name}" if below else entry.name
        name = clip_name(entry, kind)
        if name is not None and is_wanted(name):
            yield name, list_path(path, kind)
        elif depth > 1 and is_dir(entry):
            yield from _walk(root, path, kind, is_wanted, depth - 1)


def scan_folder(folder: Path) -> list[os.DirEntry]:
    """Entries of a folder sorted by name, without hidden ones. Raises `InputError` if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
