"""How a script runs: log lines, one line per error, exit statuses, signals, and output that survives full disks."""

import io
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, TextIO

from common.errors import InputError

# Threads of OpenMP wait for one another by spinning. Where other processes use the same cores, long spinning slows a
# training down many times. It is read when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

STDERR = 2  # its file descriptor
WORKER_DIED = "DataLoader worker (pid"  # the beginning of torch's messages

# Terminal control codes, marks that change the writing direction, line separators, and surrogates.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`, with log lines on stdout.

    An `InputError` becomes one line on stderr and exit status 2, Ctrl-C exit status 130. Anything else is a bug of this
    project and keeps its traceback.
    """
    _protect_streams()
    log_lines_to(sys.stdout)
    fork_workers()
    try:
        main()
        if isinstance(sys.stdout, _Readable):
            sys.stdout.flush()
            if sys.stdout.buffer.raw.failed:  # type: ignore[attr-defined]
                sys.exit(2)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
    except (InputError, RuntimeError) as error:
        ignore_end_of_workers()
        fault = str(error) if isinstance(error, InputError) else _fault(error)
        if not fault:
            raise
        print(printable(f"error: {fault}"), file=sys.stderr)
        sys.exit(2)
    finally:
        ignore_end_of_workers()


def answer_help(parser: ArgumentParser) -> None:
    """Answer --help and refuse wrong options before the slow imports, which Ctrl-C ends without a traceback."""
    _protect_streams()
    sys.excepthook = _no_traceback_of_ctrl_c
    parser.parse_args()


def _no_traceback_of_ctrl_c(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("\nStopped.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _fault(error: RuntimeError) -> str:
    """What to do about an error of torch that users can fix; nothing about other errors."""
    text = str(error).strip().split("\n")[0]
    again = "Then run the same command again, train.py with --resume auto"
    if text.startswith(WORKER_DIED):
        return (
            f"a process that reads clips has died ({text.split('. ')[0].strip(' .')}). Usually the system ran out of "
            f"memory: use fewer (-j) or smaller batches (-b). If it crashed, -j 0 may show why. {again}"
        )
    if "gloo" in text or type(error).__name__.startswith("Dist"):  # torch.distributed's, whose import takes a second
        return f"another process of this run has died or hangs ({text}); see its own messages. {again}"
    if unknown := re.search(r"(\S+) does not have a deterministic implementation", str(error)):
        return f"torch has no deterministic {unknown[1]} for this device; leave --deterministic out"
    return ""


def fork_workers() -> None:
    """Start processes by `fork` on Linux, the default before Python 3.14; workers do not use CUDA."""
    # The new default, a server that forks, imports torch once more per run (two seconds, 340 MiB), ends at a signal to
    # a whole job, such as Slurm's, and survives a killed main process together with its workers.
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)


def log_lines_to(stream: TextIO) -> None:
    """Print log messages as plain lines."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=stream, force=True)


def printable(text: str) -> str:
    """Text with names from files, safe to print: control characters, except tabs and line ends, as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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


class _Unfailing(io.FileIO):
    """A stream that accepts everything, so that work continues after `| head` or when the disk with its log is full."""

    failed = False  # whether output was lost, other than to a closed pipe

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            if not self.failed and self.fileno() != STDERR:
                self.failed = True
                reason = f"cannot write to standard output: {error.strerror}"
                print(f"error: {reason}; the work continues, but its output is lost", file=sys.stderr)
        return memoryview(data).nbytes


class _Readable(io.TextIOWrapper):
    """Prints names from files without terminal codes in them; stderr keeps the carriage returns of progress bars."""

    def write(self, text: str) -> int:
        lines = text.split("\r") if self.fileno() == STDERR else [text]
        return super().write("\r".join(map(printable, lines)))


def _protect_streams() -> None:
    """Let the standard streams survive odd names and full disks; other objects, such as a test's, stay."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            raw = io.BufferedWriter(_Unfailing(stream.fileno(), "wb", closefd=False))
            by_line = stream.line_buffering or stream.write_through
            safe = _Readable(raw, stream.encoding, errors="backslashreplace", line_buffering=by_line)
            setattr(sys, name, safe)
