"""Where the videos or frames of a data set are: by name, in whatever folders they were unpacked to."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from common.errors import InputError
from datasets.class_names import loose
from datasets.lists import VIDEO_SUFFIXES
from datasets.preparing.annotations.files import Clip
from datasets.reading.frames import IMAGE_SUFFIXES
from datasets.reading.readers import ARCHIVE_SUFFIX

KINDS = ("frames", "videos")  # frames come first where there are both
DEEPEST = 4  # levels of folders that are searched


def clip_name(entry: os.DirEntry, kind: str) -> str | None:
    """The name of the clip that a file or folder can hold; None if it cannot hold one. A broken link can.

    Args:
        entry: of a folder.
        kind: "frames": a folder, or an archive `<name>.zip`; "videos": a video file.
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
    """Whether it is a folder, or a link to one; no if it cannot be found out, as of a link to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def list_path(path: str, kind: str) -> str:
    """A path as lists write it: an archive stands in place of the folder `<path>`."""
    return path.removesuffix(ARCHIVE_SUFFIX) if kind == "frames" else path


def find_clips(root: Path, kind: str, clips: Iterable[Clip], *, fold_case: bool = False) -> dict[str, list[str]]:
    """Find clips by name, anywhere below a folder.

    Folders are searched as deep as `DEEPEST`, but no frame folder is looked into that belongs to a clip. Where clips
    in several folders have one name, each is looked for in its own folder alone.

    Args:
        root: folder of the videos or frame folders.
        kind: "frames" or "videos".
        clips: what is looked for.
        fold_case: take a name that differs in the case of letters.

    Returns:
        Id of a clip -> paths below `root`, as lists write them, the likeliest one first. Clips that were not found
        are left out.

    Raises:
        InputError: a folder cannot be read.
    """
    distinct = {clip.id: clip for clip in clips}.values()
    folders: dict[str, set[str]] = defaultdict(set)  # of the clips with a name
    for clip in distinct:
        for name in (clip.name, *clip.aliases):
            folders[_key(name, fold_case)].add(loose(clip.folder))
    places: dict[str, set[str]] = defaultdict(set)
    for name, path in _walk(root, "", kind, lambda name: _key(name, fold_case) in folders, DEEPEST):
        places[_key(name, fold_case)].add(list_path(path, kind))
    found = {}
    for clip in distinct:
        keys = [_key(name, fold_case) for name in (clip.name, *clip.aliases)]
        paths = [
            (not _is_in(path, clip.folder), rank, path)
            for rank, key in enumerate(keys)
            for path in places.get(key, ())
            if len(folders[key]) == 1 or _is_in(path, clip.folder)
        ]
        if paths:
            found[clip.id] = [path for *_, path in sorted(paths)]
    return found


def met(root: Path, kind: str) -> Iterator[str]:
    """Paths of the videos, or of the archives and the folders with images, below a folder, as deep as `DEEPEST`."""
    suffixes = VIDEO_SUFFIXES if kind == "videos" else (ARCHIVE_SUFFIX,)
    for folder, folders, files in os.walk(root, followlinks=True):
        below = Path(folder).relative_to(root)
        folders[:] = sorted(folders) if len(below.parts) < DEEPEST - (kind == "videos") else []
        names = [name for name in sorted(files) if not name.startswith(".")]
        yield from (str(below / name) for name in names if name.lower().endswith(suffixes))
        if kind == "frames" and any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
            yield str(below)


def _is_in(path: str, folder: str) -> bool:
    """Whether a folder of this name is above."""
    return loose(folder) in map(loose, path.split("/")[:-1])


def _key(name: str, fold_case: bool) -> str:
    """One spelling of a name: Macs store accents apart from their letters."""
    name = unicodedata.normalize("NFC", name)
    return name.casefold() if fold_case else name


def _walk(root: Path, below: str, kind: str, is_wanted: Callable[[str], bool], depth: int) -> Iterator[tuple[str, str]]:
    """(name, path below the root) of the wanted entries."""
    for entry in scan_folder(root / below):
        path = f"{below}/{entry.name}" if below else entry.name
        name = clip_name(entry, kind)
        if name is not None and is_wanted(name):
            yield name, path
        elif depth > 1 and is_dir(entry):
            yield from _walk(root, path, kind, is_wanted, depth - 1)


def scan_folder(folder: Path) -> list[os.DirEntry]:
    """Entries of a folder by name, without hidden ones.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
