"""Several files that are written together: all of them, or none."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from errors import InputError


@contextmanager
def all_or_nothing(folder: Path, flag: str) -> Iterator[Path]:
    """A temporary folder whose files (or links) go to `folder` at the end, in place of those that are there.

    If writing fails, nothing in `folder` has changed.

    Args:
        folder: made if it is not there.
        flag: the option that names it.

    Raises:
        InputError: it cannot be written.
    """
    was_there = folder.exists()
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
    except OSError as error:
        cure = "free some space" if error.errno == errno.ENOSPC else f"choose another {flag}"
        raise InputError(f"cannot write into {folder}: {error.strerror}; {cure}. Nothing was changed") from error
    finally:
        if not was_there:
            with suppress(OSError):  # not empty: all went well
                folder.rmdir()
