"""Files that are written whole or not at all: one, or several together."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written; at the end it takes the place of what is there.

    A killed run, a full disk, or another run that reads meanwhile never meets a part of a file.

    Raises:
        OSError: it cannot be put there; what was there is there still.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # its own, if two runs write the same
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a file, in place of one that is there.

    Raises:
        OSError: it cannot be written; what was there is there still.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def all_or_nothing(folder: Path, flag: str) -> Iterator[Path]:
    """A temporary folder whose files (or links) go to `folder` at the end, in place of those that are there.

    If writing fails, nothing in `folder` has changed; if putting them in their places fails, the message says which are
    new.

    Args:
        folder: made if it is not there.
        flag: the option that names it.

    Raises:
        InputError: it cannot be written.
    """
    was_there = folder.exists()
    placed: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".unfinished.", dir=folder) as scratch:  # inside: on the same file system
            yield Path(scratch)
            parts = sorted(Path(scratch).iterdir())
            for target in (folder / path.name for path in parts):
                if target.is_dir() and not target.is_symlink():
                    raise IsADirectoryError(errno.EISDIR, f"{target.name} is a folder there", str(target))
            for path in parts:
                os.replace(path, folder / path.name)
                placed.append(path.name)
    except OSError as error:
        cure = "free some space" if error.errno == errno.ENOSPC else f"choose another {flag}"
        changed = f"New are only {', '.join(placed)}: run it again" if placed else "Nothing was changed"
        raise InputError(f"cannot write into {folder}: {error.strerror}; {cure}. {changed}") from error
    finally:
        if not was_there:
            with suppress(OSError):  # not empty: all went well
                folder.rmdir()


def make_folder(folder: Path, flag: str) -> Path:
    """Make a folder for results and make sure that it can be written.

    Raises:
        InputError: it cannot.
    """
    probe = folder / ".can_write"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink(missing_ok=True)  # another run may have been faster
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; choose another folder with {flag}") from error
    return folder


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON, written as `write_whole` does.

    Raises:
        InputError: it cannot be written.
    """
    try:
        write_whole(path, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error
