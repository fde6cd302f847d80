"""How a script runs: log lines, one line per error, exit statuses, and output that survives full disks."""

import io
import logging
import multiprocessing
import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from common.errors import InputError
from common.signals import ignore_end_of_workers

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
