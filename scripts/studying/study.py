"""Studies: many small trainings, a core and a row of a table each. What a stopped study has done stays done."""

import csv
import json
import logging
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from common.errors import InputError, counted
from common.files import write_json
from common.folder_lock import FolderLock
from common.progress import track
from ops.mixing.mixer import Mixer
from ops.network import VideoNet
from ops.optimiser import make_optimiser, parameter_groups
from ops.runtime import Runtime, keep_freed_memory
from ops.schedule import learning_rate
from ops.training.engine import Sums, TrainSettings, train_one_epoch
from ops.training.run_log import provenance

Job = TypeVar("Job")
Row = TypeVar("Row", bound=Any)  # a dataclass of plain values


def train(
    model: VideoNet,
    loader: Any,
    runtime: Runtime,
    *,
    epochs: int,
    lr: float,
    seed: int,
    label_smoothing: float = 0.0,
    mixer: Mixer | None = None,
) -> Sums:
    """Train a placed network: SGD, half a cosine after half an epoch of warm-up, decay 5e-4, gradients clipped at 20.

    Returns:
        The sums of the last epoch.
    """
    optimiser = make_optimiser("sgd", parameter_groups(model, lr, 5e-4), lr, 0.9)
    no_scaler = torch.amp.GradScaler("cpu", enabled=False)
    settings = TrainSettings(clip_gradient=20, seed=seed, label_smoothing=label_smoothing)
    lr_at = partial(learning_rate, lr=lr, lr_type="cos", lr_steps=(), epochs=epochs, warmup=0.5)
    sums = Sums()
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        sums = train_one_epoch(
            model, loader, optimiser, no_scaler, runtime, settings, epoch=epoch, lr_at=lr_at, mixer=mixer
        )
    return sums


def on_one_core() -> Runtime:
    """Set a worker process up: one thread, no lines of its own."""
    torch.set_num_threads(1)
    keep_freed_memory()
    logging.getLogger().setLevel(logging.WARNING)
    return Runtime(torch.device("cpu"))


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """The table so far; empty if there is none.

    Raises:
        InputError: it is none of this script's.
    """
    if not path.exists():
        return []
    kinds: dict[str, Any] = {field.name: field.type for field in fields(kind)}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [kind(**{name: kinds[name](text) for name, text in line.items()}) for line in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no table of this script ({error!r}); choose another --output_dir") from error


def append_row(path: Path, row: Row) -> None:
    """One more line, with a heading if it is the first."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(row)])
        if new:
            writer.writeheader()
        writer.writerow(
            {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in asdict(row).items()}
        )


def claim_budget(path: Path, budget: Any, *, new: bool) -> None:
    """Write the budget and what the run depends on; a study that goes on must have the same budget.

    Raises:
        InputError: it has another one, or the file is damaged.
    """
    try:
        runs = [] if new else json.loads(path.read_text())["runs"]
        same = new or runs[0]["budget"] == asdict(budget)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} does not say the budget of the rows ({error!r}); choose another folder") from error
    if not same:
        raise InputError(f"{path.parent} has rows of another budget ({path}); choose another --output_dir")
    write_json(path, {"runs": [*runs, {"budget": asdict(budget), **provenance()}]})


def _in_words(row: Any) -> str:
    """A row for the progress line: its numbers short, those that it lacks left out."""
    known = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in asdict(row).items()}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in known.items() if value != "nan")


def complete(table: Path, rows: list[Row], jobs: Sequence[Job], work: Callable[[Job], Row], workers: int) -> None:
    """Do what is missing, and put each row into `rows` and the table as soon as it is there.

    Args:
        table: file of the rows.
        rows: those that are in it.
        jobs: what is to be in it; a row has its `job`.
        work: makes a row, in a process of its own.
        workers: processes.

    Raises:
        InputError: another study is at work in the table's folder.
    """
    lock = FolderLock(table.parent)  # two studies at a time would write rows twice
    done = {row.job for row in rows}
    missing = [job for job in jobs if job not in done]
    logging.info("%s, %d are in %s already", counted(len(missing), "training"), len(done), table)
    try:
        for row in track(_run(missing, work, workers), len(missing), "trainings", 1, lambda: _in_words(rows[-1])):
            rows.append(row)
            append_row(table, row)
    except KeyboardInterrupt:
        logging.info("\nStopped. In %s: %s; the same command goes on.", table, counted(len(rows), "training"))
        sys.exit(130)
    finally:
        lock.release()


def _run(jobs: Sequence[Job], work: Callable[[Job], Row], workers: int) -> Iterator[Row]:
    """Rows in the order in which they are done. When it is left early, what has not ended is given up at once."""
    pool = ProcessPoolExecutor(workers, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        for result in as_completed([pool.submit(work, job) for job in jobs]):
            yield result.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()
