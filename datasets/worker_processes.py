"""Worker processes of a DataLoader: what they need, how they start and end."""

import atexit
import signal
import sys
import tempfile
from multiprocessing import active_children
from multiprocessing.connection import Listener
from types import TracebackType

import torch

from common.console import StopRequest
from common.errors import InputError


def require_sockets() -> None:
    """Refuse a TMPDIR in which workers cannot open the sockets that pass batches on, such as one with a long path.

    In a worker the error would be lost, and the main process would wait forever.
    """
    try:
        Listener().close()
    except OSError as error:
        raise InputError(
            f"worker processes cannot use {tempfile.gettempdir()} ({error}); choose a short, writable path, such as "
            "TMPDIR=/tmp, or read without workers: -j 0"
        ) from error


def kill_workers_at_exit() -> None:
    """Register this once per process, however many loaders there are."""
    atexit.unregister(_kill_workers)
    atexit.register(_kill_workers)


def _kill_workers() -> None:
    """At exit, kill the workers before Python asks them to end with a signal that they ignore, and waits."""
    for process in active_children():
        if process.daemon:
            process.kill()


def start_worker(_number: int) -> None:
    """Use one thread per worker; leave signals to the main process, which may need a few more batches."""
    torch.set_num_threads(1)
    for name in StopRequest.NAMES:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    sys.excepthook = _ignore_lost_connections


def _ignore_lost_connections(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An `excepthook` that hides the errors of a worker whose main process stopped while it received a batch."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
