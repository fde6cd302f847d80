"""Signals: requests to stop that lose no work, time limits, and the end of worker processes."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def take_sigterm_as_ctrl_c() -> None:
    """Turn a scheduler's SIGTERM into a `KeyboardInterrupt` in this process, which may have a DataLoader."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        ignore_end_of_workers()  # they got it too
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


class Stopped(Exception):  # noqa: N818  (not an error)
    """The work was asked to stop, and nothing of it is lost."""


class StopRequest:
    """Remembers a signal that asks for the end of the work in a `with` block, which goes on until it asks `check`.

    A second Ctrl-C after a second stops at once. Signals that the process ignores, as under nohup, stay ignored.
    """

    NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")  # not all exist on Windows

    def __init__(self) -> None:
        self.number, self._time = 0, 0.0  # of the first signal
        self._before: dict[int, Any] = {}  # handlers

    def __enter__(self) -> "StopRequest":
        for number in (getattr(signal, name) for name in self.NAMES if hasattr(signal, name)):
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_error: object) -> None:
        if not self.number:  # after a signal the process ends, and a repeated one must not kill it
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        if not self.number:
            self.number, self._time = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._time > 1:  # torchrun repeats the first one at once
            ignore_end_of_workers()  # they got it too
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise `Stopped` after a signal."""
        if self.number:
            raise Stopped

    @property
    def by(self) -> str:
        """The signal, for messages; empty if another process of the run got one."""
        return f" by {signal.Signals(self.number).name}" if self.number else ""

    @property
    def status(self) -> int:
        """The exit status: 130 after Ctrl-C, otherwise 75, "try again" (EX_TEMPFAIL of sysexits.h)."""
        return 130 if self.number == signal.SIGINT else 75


@contextmanager
def stops_wait() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of a short block that forks, such as the start of workers.

    An exception that a handler raises in the middle of a fork is lost (Python discards those of fork hooks and
    `__del__`) or raised in the new process.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield
        return
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:  # even if the block failed: its new processes may have been stopped as well
            signal.raise_signal(received[0])


@contextmanager
def time_limit(seconds: float, error: Callable[[], Exception]) -> Iterator[None]:
    """Raise `error()` if the block takes longer, even while it waits for another process; 0: no limit.

    Only in the main thread, and not on Windows: there is no such signal.
    """
    if not seconds or not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise error()

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again each second: in a destructor an exception would be lost
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ignore_end_of_workers() -> None:
    """From now on a DataLoader worker may end; torch would raise an error anywhere in the main process."""
    if hasattr(signal, "SIGCHLD"):  # not on Windows
        # Not SIG_DFL: Python complains about a signal that arrived earlier and finds no handler.
        signal.signal(signal.SIGCHLD, lambda *_: None)
