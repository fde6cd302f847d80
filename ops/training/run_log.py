"""The log of a run: TensorBoard curves, one JSON line per epoch, and the versions that a result depends on."""

import json
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from common.errors import InputError
from common.files import write_whole

LINES, EVENTS, OPTIONS = "log.jsonl", "events", "options.json"
STEPS = "steps"  # subfolder of the curves within epochs: a restart drops points by their step, which is another unit
STEPS_PER_EPOCH = 1000  # of these curves: TensorBoard takes whole numbers only
FLUSH_AFTER = 10  # seconds between their writes to the disk, each of which waits for it


class RunLog:
    """TensorBoard curves, and the same figures as JSON lines, from `start_epoch` (0-based) and its `fraction` on.

    Earlier lines of an interrupted run stay, later ones are dropped. An `InputError` says that the folder cannot be
    written, or at the start that it has the log of another run.
    """

    def __init__(
        self, folder: Path, start_epoch: int, before: Mapping[str, float] | None = None, fraction: float = 0.0
    ) -> None:
        """Open the log in `folder`; `before` are the figures of the epoch before, added if the log lacks them."""
        self.path = folder / LINES
        entries = list(self._entries())
        epochs = [entry["epoch"] for entry in entries]
        missing = bool(before) and start_epoch - 1 not in epochs
        last = {"epoch": start_epoch - 1, **(before or {})}
        if before and entries and (max(epochs) != start_epoch - 2 if missing else last not in entries):
            raise InputError(f"{self.path} is the log of another run; choose another --root_log, or move it away")
        kept = [entry for entry in entries if entry["epoch"] < start_epoch]
        with self._writing():
            write_whole(self.path, "".join(f"{json.dumps(entry)}\n" for entry in kept))
            step = round((start_epoch + fraction) * STEPS_PER_EPOCH)
            self._events = _open_events(folder, step, start_epoch - missing)
            (folder / STEPS).mkdir(exist_ok=True)
            self._steps = _open_events(folder / STEPS, step, step + 1)
        self._last_step, self._last_flush = 0, 0.0
        if before and missing:
            self.write(start_epoch - 1, before)

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Lines of an earlier start, without a last one that a kill has cut off."""
        with self._writing():
            *lines, _cut = (self.path.read_bytes() if self.path.exists() else b"").split(b"\n")
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line.decode())
                if type(entry["epoch"]) is not int or entry["epoch"] < 0:
                    raise ValueError
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise InputError(
                    f"line {number} of {self.path} is not a line of a training log; correct it, move the file away, or "
                    "choose another --root_log"
                ) from error
            yield entry

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"cannot write the log to {self.path.parent}: {error.strerror}; free some space or choose another "
                "--root_log, then continue with --resume auto. The checkpoints are intact."
            ) from error

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Figures of one epoch (0-based), by curve name such as "train/loss"."""
        with self._writing():
            for name, value in figures.items():
                _add(self._events, epoch, summary.scalar(name, value))
            self._events.flush()
            with self.path.open("a") as file:
                file.write(json.dumps({"epoch": epoch, **figures}) + "\n")

    def write_step(self, epoch: float, figures: Mapping[str, float]) -> None:
        """Figures within an epoch (0-based, with its fraction), for TensorBoard only.

        An epoch has at most `STEPS_PER_EPOCH` points; more are left out. A failure does not stop it: it would be lost.
        """
        step = round(epoch * STEPS_PER_EPOCH)
        if self._steps is None or step == self._last_step:
            return
        self._last_step = step
        with self._writing_steps():
            for name, value in figures.items():
                _add(self._steps, step, summary.scalar(name, value))
        if step % STEPS_PER_EPOCH == 0 or time.monotonic() > self._last_flush + FLUSH_AFTER:
            self.flush_steps()

    def flush_steps(self) -> None:
        """Write the points so far to the disk, before a checkpoint from which a resumed run does not repeat them."""
        if self._steps is not None:
            with self._writing_steps():
                self._steps.flush()
                self._last_flush = time.monotonic()

    @contextmanager
    def _writing_steps(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            logging.warning("No more curves within epochs: cannot write to %s: %s", self.path.parent, error.strerror)
            self._steps = None

    def write_options(self, epoch: int, options: Mapping[str, Any], metric: str) -> None:
        """Options of a start after `epoch` epochs, for TensorBoard's table of runs and their `metric`."""
        texts = {name: " ".join(map(str, value)) for name, value in options.items() if isinstance(value, list)}
        columns, row, _end_of_run = summary.hparams({**options, **texts}, {metric: 0})
        with self._writing():
            for content in (columns, row):
                _add(self._events, epoch, content)

    def write_image(self, epoch: int, name: str, picture: np.ndarray) -> None:
        """A picture (H, W, 3) uint8 of one epoch, for TensorBoard only."""
        with self._writing():
            _add(self._events, epoch, summary.image(name, picture, dataformats="HWC"))
            self._events.flush()

    def write_plot(self, epoch: int, name: str, plot: Callable[[Path], None]) -> None:
        """The PNG file that `plot` writes, as `write_image`."""
        with self._writing(), TemporaryDirectory() as folder:
            path = Path(folder) / "plot.png"
            plot(path)
            with Image.open(path) as picture:
                self.write_image(epoch, name, np.asarray(picture.convert("RGB")))

    def add_names(self, file: str, names: Sequence[str]) -> Path:
        """Add names to a sorted file of one name per line, and return its path."""
        path = self.path.with_name(file)
        with self._writing():
            known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            write_whole(path, "".join(f"{name}\n" for name in sorted({*known, *names})))
        return path

    def close(self) -> None:
        with self._writing():
            self._events.close()
            if self._steps is not None:
                self._steps.close()


def _open_events(folder: Path, start: int, dropped: int) -> EventsWriter:
    """A new event file; TensorBoard drops the points of earlier files from the step `dropped` on."""
    # tensorboardX's SummaryWriter would fail in its own thread; the suffix separates two starts in a second
    events = EventsWriter(str(folder / EVENTS), f".{start:09d}")
    for content in ({"file_version": "brain.Event:2"}, {"session_log": SessionLog(status=SessionLog.START)}):
        events.write_event(Event(step=dropped, wall_time=time.time(), **content))
    return events


def _add(events: EventsWriter, step: int, content: Any) -> None:
    events.write_event(Event(step=step, wall_time=time.time(), summary=content))


def provenance() -> dict[str, Any]:
    """Everything besides the options that a result depends on: command, git revision, versions, devices."""
    return {
        "command": sys.argv,
        "git_revision": _git("rev-parse", "HEAD"),
        "git_changed_files": (_git("status", "--porcelain") or "").splitlines(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),  # without importing it, which takes a second
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
    }


def _git(*arguments: str) -> str | None:
    """Output of a git command; None outside a repository, as in an unpacked archive."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
