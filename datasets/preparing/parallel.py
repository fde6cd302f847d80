"""Work on many files at once, with progress. Unlike `tqdm.contrib.concurrent` it keeps results when interrupted."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain
from threading import Thread
from typing import Any, TypeVar

from common.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")
PARENT_POLL = 1.0  # seconds between checks that the main process is alive
THREADS = 16


class StoppedError(Exception):
    """Work stopped before its end; the message says why."""

    def __init__(self, why: str, results: Any, *, by_user: bool) -> None:
        """`results` so far, from the first item on; `by_user`: Ctrl-C or a scheduler's SIGTERM."""
        super().__init__(why)
        self.results = results
        self.by_user = by_user


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str) -> list[Result]:
    """Results of `work` on all items, in order. For waiting on disks: many threads hide the delay of a network."""
    results: list[Result] = []
    _map(ThreadPoolExecutor(THREADS), work, items, title, results, every=max(1000, len(items) // 10))
    return results


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    workers: int,
    describe: Callable[[Sequence[Result]], str] = lambda results: "",
) -> list[Result]:
    """Results of `work` on all items, in order. For decoding.

    On interruption, running items are finished and the others dropped; this, or a killed process, raises a
    `StoppedError`. `describe` turns the results so far into text for the progress.
    """
    pool = ProcessPoolExecutor(max(1, workers), initializer=_start_worker)
    results: list[Result] = []
    try:
        _map(pool, work, items, title, results, min(500, max(1, len(items) // 20)), lambda: describe(results))
    except KeyboardInterrupt:
        raise StoppedError("interrupted", results, by_user=True) from None
    except BrokenProcessPool as error:
        why = "a process was killed, perhaps for lack of memory (-j 1 needs the least)"
        raise StoppedError(why, results, by_user=False) from error
    return results


def _map(
    pool: Executor,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    results: list[Result],
    every: int,
    describe: Callable[[], str] = str,
) -> None:
    """Append to `results`."""
    try:
        size = 1 if len(items) < 1000 else 4 if isinstance(pool, ProcessPoolExecutor) else 32  # less to hand over
        chunks = [items[start : start + size] for start in range(0, len(items), size)]
        done = chain.from_iterable(pool.map(partial(_each, work), chunks))
        for result in track(done, len(items), title, every, describe):
            results.append(result)  # not `extend`, which would lose the results before an interruption
    finally:
        pool.shutdown(cancel_futures=True)


def _each(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [work(item) for item in items]


def _start_worker() -> None:
    """Workers ignore Ctrl-C (the main process handles it) and end with the main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this worker if the main process was killed; it would wait for work forever."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL)
    os._exit(1)
