"""Hints for messages about a path that does not exist."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from common.errors import InputError
from datasets.class_names import loose


def broken_link(path: Path) -> str:
    """The broken link on the way to `path`, such as to a disk that was moved; empty if there is none."""
    for part in (path, *path.parents):
        if os.path.islink(part) and not os.path.exists(part):
            return f" ({part} is a link to {os.readlink(part)}, which is not there)"
    return ""


def refuse_broken_link(path: Path) -> None:
    """Raise an `InputError` if a link on the way to `path` is broken."""
    link = broken_link(path)
    if link:
        raise InputError(f"there is nothing at {path}{link}; restore the link, or mount the disk that it leads to")


def there_is(path: Path) -> str:
    """A broken link, or an existing name with another suffix or spelling; empty if there is neither."""
    try:
        if not path.parent.is_dir():
            return broken_link(path) or there_is(path.parent)
        names = _names(path.parent, path.parent.stat().st_mtime_ns)
    except OSError:
        names = {}
    similar = {name for key in (path.name, path.stem) for name in names.get(loose(key), ())} - {path.name}
    return broken_link(path) or (f" (there is {min(similar)})" if similar else "")


@lru_cache(maxsize=2)  # all videos of a list may be missing from one large folder
def _names(folder: Path, _changed: int) -> Mapping[str, list[str]]:
    """Simplified names, with and without suffix -> names in a folder."""
    names: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        for key in {loose(name), loose(os.path.splitext(name)[0])}:
            names.setdefault(key, []).append(name)
    return names
