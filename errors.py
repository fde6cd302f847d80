"""The one exception that means: the user can mend this; and how a script shows it."""

import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

SHOWN = 5  # faults of one kind that a message names


class InputError(ValueError):
    """A bad input. The message says what was given and where, what is allowed, and what to do."""


def refuse(faults: Sequence[str], what: str = "bad lines") -> None:
    """Raise an `InputError` that shows the first faults and counts the rest (`what`); without faults do nothing."""
    if faults:
        more = f"\nand {len(faults) - SHOWN} more {what}" if len(faults) > SHOWN else ""
        raise InputError("\n".join(faults[:SHOWN]) + more)


def few(names: Sequence[str], number: int = 3) -> str:
    """The first names, and dots if there are more."""
    return ", ".join(names[:number]) + (", ..." if len(names) > number else "")


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


class _FallingSilent(io.FileIO):
    """A file that takes everything, even when nobody reads its pipe any more."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _let_stdout_take_everything() -> None:
    """Work goes on behind `| head`, and a class name that the terminal's encoding lacks is no fault."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and out is sys.__stdout__:  # not a test's
        raw = _FallingSilent(out.fileno(), "wb", closefd=False)
        by_line = out.line_buffering or out.write_through
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw), out.encoding, errors="backslashreplace", line_buffering=by_line
        )


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; an `InputError` becomes one line on stderr and exit status 2, Ctrl-C exit status 130.

    Everything else keeps its traceback: it is a defect of this project, not of the input.
    """
    _let_stdout_take_everything()
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
    finally:
        _let_workers_end()
