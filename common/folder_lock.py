"""A lock on a folder, held by one process at a time, on this machine or on others that share the disk."""

import errno
import logging
import os
import socket
import sys
import time
from pathlib import Path

from common.errors import InputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "run.lock"
_HELD = (errno.EACCES, errno.EAGAIN)


class FolderInUseError(InputError):
    """Another process holds the lock of a folder."""


class FolderLock:
    """The lock of an existing folder, held until `release` or the end of this process.

    The operating system releases the lock of a killed process; its lock file blocks nobody.
    """

    def __init__(self, folder: Path) -> None:
        """Lock the folder; a `FolderInUseError` if another process has, an `InputError` if it cannot be written."""
        self.path = folder / LOCK
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            self._take()
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error

    def _take(self) -> None:
        """Lock the open file and write the name of its holder into it."""
        try:
            _lock(self._file)
        except OSError as error:
            if error.errno in _HELD:
                os.lseek(self._file, 0, os.SEEK_SET)
                holder = os.read(self._file, 200).decode(errors="replace").strip() or "another process"
                os.close(self._file)
                raise FolderInUseError(
                    f"{self.path.parent} is in use by {holder}; wait until that ends, or stop it"
                ) from error
            logging.warning("%s cannot be locked (%s): start nothing else there", self.path.parent, error.strerror)
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        holder = f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
        os.write(self._file, holder.encode())

    def is_valid(self) -> bool:
        """Whether the folder is still the one that was locked: not deleted, moved or replaced."""
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except OSError:
            return False

    def release(self) -> None:
        os.close(self._file)


def _lock(file: int) -> None:
    """Lock an open file without waiting, or raise `OSError`."""
    if sys.platform == "win32":
        os.lseek(file, 1 << 30, os.SEEK_SET)  # far from the text, which others read
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        # Not flock: forked workers would share the lock and keep it when the main process is killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
