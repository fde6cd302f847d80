"""How a script runs: one line per error, exit statuses, signals, and output that survives odd names and full disks."""

import io
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from common.errors import InputError

STDERR = 2  # its file descriptor


WORKER_DIED = "DataLoader worker (pid"  # how torch's messages begin


# Instructions to a terminal, marks that turn the order of letters around, and what is not text.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Text with names from files, safe to show: control characters, except tabs and line ends, as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def take_sigterm_as_ctrl_c() -> None:
    """Let a scheduler's stop be a `KeyboardInterrupt` in this process, which may have a DataLoader."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        _let_workers_end()  # they got it too
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def stops_wait() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of a short block that forks, such as the start of workers.

    What a handler raises in the middle of a fork is lost (Python discards the exceptions of fork hooks and `__del__`),
    or raised in the new process.
    """
    if threading.current_thread() is not threading.main_thread():  # no other gets signals
        yield
        return
    asked: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:  # even when the block failed: its new processes may have been stopped, too
            signal.raise_signal(asked[0])


def _let_workers_end() -> None:
    """From now on the end of a DataLoader's worker is no fault; torch would raise it in the middle of anything."""
    if hasattr(signal, "SIGCHLD"):  # not on Windows
        # no SIG_DFL: Python complains of a signal that came before and finds no handler
        signal.signal(signal.SIGCHLD, lambda *_: None)


class _Unfailing(io.FileIO):
    """A stream that takes everything: work goes on after `| head`, and when the disk with its log is full.

    Attributes:
        failed: whether something could not be written, other than to a pipe that nobody reads any more.
    """

    failed = False

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            if not self.failed and self.fileno() != STDERR:
                self.failed = True
                reason = f"cannot write to standard output: {error.strerror}"
                print(f"error: {reason}; the work goes on, but what it prints is lost", file=sys.stderr)
        return memoryview(data).nbytes


class _Readable(io.TextIOWrapper):
    """Prints names from files without the instructions to a terminal that may be in them.

    Carriage returns pass on stderr, where progress bars are.
    """

    def write(self, text: str) -> int:
        lines = text.split("\r") if self.fileno() == STDERR else [text]
        return super().write("\r".join(map(printable, lines)))


def _protect(stream: Any) -> Any:
    """The stream, protected from what names and full disks can do to it; another object, such as a test's, as it is."""
    if not isinstance(stream, io.TextIOWrapper) or stream not in (sys.__stdout__, sys.__stderr__):
        return stream
    raw = _Unfailing(stream.fileno(), "wb", closefd=False)
    by_line = stream.line_buffering or stream.write_through
    return _Readable(io.BufferedWriter(raw), stream.encoding, errors="backslashreplace", line_buffering=by_line)


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; an `InputError` becomes one line on stderr and exit status 2, Ctrl-C exit status 130.

    Everything else keeps its traceback: it is a defect of this project, not of the input.
    """
    sys.stdout, sys.stderr = _protect(sys.stdout), _protect(sys.stderr)
    try:
        main()
        if isinstance(sys.stdout, _Readable):
            sys.stdout.flush()
            if sys.stdout.buffer.raw.failed:  # type: ignore[attr-defined]
                sys.exit(2)
    except InputError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
    except RuntimeError as error:
        if not str(error).startswith(WORKER_DIED):
            raise
        print(f"error: {_of_dead_worker(str(error))}", file=sys.stderr)
        sys.exit(2)
    finally:
        _let_workers_end()


def _of_dead_worker(error: str) -> str:
    """What to do about torch's message of a worker that was killed or crashed."""
    return (
        f"a process that reads clips has died ({error.split('. ')[0].strip(' .')}). Most often the system ends it for "
        "lack of memory: take fewer (-j) or smaller batches (-b). If it crashed, -j 0 may show why. Then run the same "
        "command again, train.py with --resume auto"
    )
