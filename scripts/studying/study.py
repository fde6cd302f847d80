"""Studies: many small trainings, one core and one table row each, which resume after an interruption."""

import argparse
import csv
import json
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Generic, TypeVar

from common.cli import make_parser, number
from common.errors import InputError, counted
from common.files import make_folder, write_json
from common.folder_lock import FolderLock
from common.progress import track
from ops.choices import ARCHS

Row = TypeVar("Row", bound=Any)  # a NamedTuple of plain values; the first ones say which training it is
Job = tuple[Any, ...]  # these values


def study_parser(
    description: str | None, output_dir: str, *, seeds: int, epochs: int, batch_size: int
) -> argparse.ArgumentParser:
    """A parser with the options that all studies have, with these defaults (`seeds`: their number)."""
    parser = make_parser(description or "", "An interrupted study resumes: trainings in the table are not repeated.")
    text = "folder for the table and all other files"
    parser.add_argument("--output_dir", type=Path, default=Path(output_dir), help=text)
    parser.add_argument("--arch", choices=list(ARCHS), default="resnet18", help="backbone, where there is a choice")
    parser.add_argument("--num_segments", type=number(int, 1), default=4, help="segments per clip, T")
    text = "random seeds; each sets the weights and the training clips"
    parser.add_argument("--seeds", nargs="+", type=number(int, 0), default=list(range(seeds)), help=text)
    parser.add_argument("--epochs", type=number(int, 1), default=epochs, help="length of the cosine schedule")
    parser.add_argument("-b", "--batch_size", type=number(int, 1), default=batch_size, help="clips per step")
    parser.add_argument("--lr", type=number(float, 0, open_low=True), default=0.02, help="learning rate")
    parser.add_argument("-j", "--workers", type=number(int, 1), default=2, help="parallel trainings, one core each")
    return parser


class Study(Generic[Row]):
    """A table of trainings in a folder, `<name>.csv`, with the budget of each of them in settings.json."""

    def __init__(self, folder: Path, name: str, kind: type[Row], budget: Mapping[str, Any]) -> None:
        """Open a study, new or interrupted; `kind` is the class of the rows, `budget` the settings of all trainings.

        Raises:
            InputError: the folder cannot be written, or has rows of something else or of another budget.
        """
        from ops.training.run_log import provenance  # here because it loads torch

        self.folder = make_folder(folder, "--output_dir")
        self.table = folder / f"{name}.csv"
        self.rows = read_rows(self.table, kind)
        settings = folder / "settings.json"
        try:
            runs = json.loads(settings.read_text())["runs"] if self.rows else []
            same = not runs or runs[0]["budget"] == budget
        except (OSError, ValueError, LookupError, TypeError) as error:
            fault = f"lacks the budget of the rows ({error!r})"
            raise InputError(f"{settings} {fault}; choose another --output_dir") from error
        if not same:
            raise InputError(f"{folder} has rows of another budget ({settings}); choose another --output_dir")
        write_json(settings, {"runs": [*runs, {"budget": budget, **provenance()}]})

    def complete(self, jobs: Sequence[Job], work: Callable[..., Row], workers: int) -> None:
        """Run the missing jobs; each row enters the table as soon as its training ends.

        `work(*job)` returns the row; it runs in one of `workers` other processes.

        Raises:
            InputError: another study uses the folder, or a training failed.
        """
        lock = FolderLock(self.folder)  # two studies at once would write rows twice
        done = {row[: len(jobs[0])] for row in self.rows}
        missing = [job for job in dict.fromkeys(jobs) if job not in done]  # `--seeds 0 0` trains once
        logging.info("%s to run, %d already in %s", counted(len(missing), "training"), len(done), self.table)
        try:
            for row in track(run_all(missing, work, workers), len(missing), "trainings", 1, self._describe_last):
                self._append(row)
        except KeyboardInterrupt:
            kept = counted(len(self.rows), "training")
            logging.info("\nStopped. %s has %s; run the same command to resume.", self.table, kept)
            sys.exit(130)
        finally:
            lock.release()

    def _append(self, row: Row) -> None:
        self.rows.append(row)
        new = not self.table.exists()
        with self.table.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row._fields)
            if new:
                writer.writeheader()
            writer.writerow(_as_text(row))

    def _describe_last(self) -> str:
        """The last row for the progress line, without the numbers that it lacks."""
        cells = _as_text(self.rows[-1]).items()
        return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in cells if text != "nan")


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of a table; none if the file does not exist. Refuses other files."""
    if not path.exists():
        return []
    kinds = kind.__annotations__
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [kind(**{name: kinds[name](text) for name, text in line.items()}) for line in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a table of this script ({error!r}); choose another --output_dir") from error


def _as_text(row: Any) -> dict[str, str]:
    return {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in row._asdict().items()}


def run_all(jobs: Sequence[Job], work: Callable[..., Row], workers: int) -> Iterator[Row]:
    """Rows in order of completion. If the caller stops early, running jobs are ended at once."""
    pool = ProcessPoolExecutor(workers, initializer=_start_worker)
    try:
        for result in as_completed([pool.submit(work, *job) for job in jobs]):
            yield result.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def _start_worker() -> None:
    """One core, no GPU and no output of its own; Ctrl-C is handled by the main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    from ops.malloc import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    logging.getLogger().setLevel(logging.WARNING)
