"""The same work on many files at once, with a progress bar on a terminal and a line now and then elsewhere."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from typing import Any, TypeVar

from common.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")
PARENT_POLL = 1.0  # seconds between two looks whether the main process lives
Describe = Callable[[Sequence[Result]], str]  # the results so far -> figures behind the progress


class StoppedError(Exception):
    """Work stopped before its end; the message says why.

    Attributes:
        results: what was done until then, from the first item on.
        by_user: Ctrl-C, or a scheduler's stop.
    """

    def __init__(self, why: str, results: Any, *, by_user: bool) -> None:
        super().__init__(why)
        self.results = results
        self.by_user = by_user


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str, threads: int = 16) -> list[Result]:
    """`work` on every item, results in order. For waiting on disks: many threads hide a network's delay."""
    results: list[Result] = []
    _map(ThreadPoolExecutor(threads), work, items, title, results, every=max(1000, len(items) // 10))
    return results


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    workers: int,
    describe: Describe[Result] = lambda results: "",
) -> list[Result]:
    """`work` on every item, results in order. For decoding.

    When it is interrupted, the items in work are finished and the others dropped.

    Raises:
        StoppedError: it was interrupted, or a process was killed.
    """
    pool = ProcessPoolExecutor(max(1, workers), initializer=_start_worker)
    results: list[Result] = []
    try:
        _map(pool, work, items, title, results, min(500, max(1, len(items) // 20)), describe)
    except KeyboardInterrupt:
        raise StoppedError("interrupted", results, by_user=True) from None
    except BrokenProcessPool as error:
        why = "a process was killed, perhaps for want of memory (-j 1 needs the least)"
        raise StoppedError(why, results, by_user=False) from error
    return results


def _map(
    pool: Executor,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    results: list[Result],
    every: int,
    describe: Describe[Result] = lambda results: "",
) -> None:
    """Fill `results`."""
    try:
        done = pool.map(work, items, chunksize=1 if len(items) < 1000 else 4)
        for result in track(done, len(items), title, every, lambda: describe(results)):
            results.append(result)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Ctrl-C reaches all processes; what it means is the main one's affair. Without that one, a worker ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """A main process that is killed tells its workers nothing: they would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL)
    os._exit(1)
