"""`InputError`, for anything that the user can fix; what its messages are made of; and how scripts report it."""

import io
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType, GenericAlias
from typing import Any

STDERR = 2  # its file descriptor
SHOWN = 5  # faults of one kind that a message names
WORKER_DIED = "DataLoader worker (pid"  # how torch's messages begin


class InputError(ValueError):
    """A bad input. The message says what was given and where, what is allowed, and what to do."""


def refuse(faults: Sequence[str], what: str = "more bad line", cure: str = "") -> None:
    """Raise an `InputError` that shows the first faults and counts the rest (`what`); without faults do nothing."""
    if faults:
        more = f"\nand {counted(len(faults) - SHOWN, what)}{cure}" if len(faults) > SHOWN else ""
        raise InputError("\n".join(faults[:SHOWN]) + more)


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 clip", "2,000 clips", "3 classes", "4 entries"."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}es" if noun.endswith("ss") else f"{noun}s"
    return f"{number:,} {noun}"


def quoted(name: str) -> str:
    """A name in quotes, with control characters escaped, but not its backslashes doubled, as `repr` would."""
    return repr(name).replace("\\\\", "\\")


def reason(error: Exception) -> str:
    """The text of an exception; of an `OSError` without the path, whose backslashes it doubles."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def unforeseen(name: object, error: Exception) -> InputError:
    """The fault of one of many files, for an exception that nobody foresaw: it must not stop the work on the others."""
    kind = type(error).__name__
    return InputError(f"{name} cannot be read ({kind}: {error}); drop it from the list, and report this")


def few(names: Sequence[str], number: int = 3) -> str:
    """The first names, and dots if there are more."""
    return ", ".join(names[:number]) + (", ..." if len(names) > number else "")


def command(*words: object) -> str:
    """A command as it can be pasted into a shell, whatever blanks and quotes are in its words."""
    return shlex.join(map(str, words))


def wrong_fields(stored: object, kinds: Mapping[str, Any]) -> list[str]:
    """Names of the fields that what was read from a file lacks, or holds with a value of another kind.

    Args:
        stored: such as the content of a JSON file.
        kinds: name -> a type. Numbers must be finite, and True is not a number; `list[str]`: all items are text.
    """
    if not isinstance(stored, Mapping):
        return list(kinds)
    return [name for name, kind in kinds.items() if not _is_a(stored.get(name), kind)]


def _is_a(value: object, kind: Any) -> bool:
    if kind in (int, float):
        number = int if kind is int else (int, float)
        return isinstance(value, number) and not isinstance(value, bool) and abs(value) < 2**63
    if isinstance(kind, GenericAlias):
        return isinstance(value, list) and all(_is_a(item, kind.__args__[0]) for item in value)
    return isinstance(value, kind)


# Instructions to a terminal, marks that turn the order of letters around, and what is not text.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Text with names from files, safe to show: control characters, except tabs and line ends, as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def short(value: object, length: int = 80) -> str:
    """The text of a value from a file, cut to this many characters: a damaged file may hold megabytes."""
    text = str(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


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
