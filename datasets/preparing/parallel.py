"""The same work on many files at once, with a progress bar on a terminal and a line now and then elsewhere."""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

from progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")
Describe = Callable[[Sequence[Result]], str]  # the results so far -> figures behind the progress


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str, threads: int = 16) -> list[Result]:
    """`work` on every item, results in order. For waiting on disks: many threads hide a network's delay."""
    return _map(ThreadPoolExecutor(threads), work, items, title, every=20_000)


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    workers: int,
    describe: Describe[Result] = lambda results: "",
) -> list[Result]:
    """`work` on every item, results in order. For decoding.

    When it is interrupted, the items in work are finished and the others dropped.
    """
    pool = ProcessPoolExecutor(max(1, workers), initializer=_leave_signals_to_main)
    return _map(pool, work, items, title, every=min(500, max(1, len(items) // 20)), describe=describe)


def _map(
    pool: Executor,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    every: int,
    describe: Describe[Result] = lambda results: "",
) -> list[Result]:
    results: list[Result] = []
    try:
        done = pool.map(work, items, chunksize=1 if len(items) < 1000 else 4)
        for result in track(done, len(items), title, every, lambda: describe(results)):
            results.append(result)
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def _leave_signals_to_main() -> None:
    """Ctrl-C reaches all processes; what it means is the main one's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
