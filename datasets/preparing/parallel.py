"""The same work on many files at once, with a progress bar on a terminal and a line now and then elsewhere."""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

from progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str, threads: int = 16) -> list[Result]:
    """`work` on every item, results in order. For waiting on disks: many threads hide a network's delay."""
    return _map(ThreadPoolExecutor(threads), work, items, title, every=20_000)


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], title: str, workers: int) -> list[Result]:
    """`work` on every item, results in order. For decoding."""
    pool = ProcessPoolExecutor(max(1, workers), initializer=_leave_interrupts_to_main)
    return _map(pool, work, items, title, every=500)


def _map(pool: Executor, work: Callable[[Item], Result], items: Sequence[Item], title: str, every: int) -> list[Result]:
    try:
        return list(track(pool.map(work, items), len(items), title, every, lambda: ""))
    finally:
        pool.shutdown(cancel_futures=True)  # at Ctrl-C what has not begun is dropped


def _leave_interrupts_to_main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
