"""Output files and folders: files are written whole or not at all, one alone or several together."""

import errno
import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common.errors import InputError


def make_folder(folder: Path, flag: str) -> Path:
    """Make a folder for results, named by the option `flag`; an `InputError` if it cannot be written."""
    probe = folder / ".can_write"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink(missing_ok=True)  # another run may have been faster
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; choose another folder with {flag}") from error
    return folder


def require_replaceable(path: Path | None, flag: str) -> None:
    """Refuse a file to write, named by the option `flag`, that `replacing` cannot write or should not replace."""
    if path is None:
        return
    make_folder(path.parent, flag)
    if path.is_dir():
        raise InputError(f"{flag} {path} is a folder; give the name of a file")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(f"{flag} {path} is a link or a device, which a file would replace; give another name")


def file_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, in hexadecimal; lists with equal hashes have the same clips."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file next to `path` to write to; at the end it replaces `path`.

    Nobody ever sees half a file, whether the run is killed, the machine loses power, the disk is full, or another run
    is reading.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # one per process: two runs may write the same file
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """As `replacing`, but an `InputError` says that the file cannot be written."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error


def _sync(path: Path) -> None:
    """Wait until the disk has the content of a file, or the names in a folder."""
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot sync folders
            raise
    finally:
        os.close(file)


def remove_unfinished(folder: Path, *names: str) -> None:
    """Remove what killed processes have left of these files; nobody may be writing them."""
    for name in names:
        for path in folder.glob(f".{glob.escape(name)}.*.tmp"):
            path.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write or replace a text file; an `OSError` leaves the old file unchanged."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write or replace a file of indented JSON; an `InputError` leaves the old file unchanged."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def all_or_nothing(folder: Path, flag: str) -> Iterator[Path]:
    """A temporary folder whose files and links move to `folder`, named by the option `flag`, at the end.

    If writing fails, nothing in `folder` has changed; if moving fails, the message lists the files that are new.

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
        changed = f"Only {', '.join(placed)} are new: run it again" if placed else "Nothing was changed"
        raise InputError(f"cannot write into {folder}: {error.strerror}; {cure}. {changed}") from error
    finally:
        if not was_there:
            with suppress(OSError):  # not empty: all went well
                folder.rmdir()
