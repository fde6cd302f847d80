"""The same work on many files at once, with a progress bar on a terminal."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str, threads: int = 16) -> list[Result]:
    """`work` on every item, results in order. For waiting on disks: many threads hide a network's delay."""
    return _map(ThreadPoolExecutor(threads), work, items, title, 1)


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], title: str, workers: int) -> list[Result]:
    """`work` on every item, results in order. For decoding."""
    return _map(ProcessPoolExecutor(max(1, workers)), work, items, title, 4)


def _map(pool: Executor, work: Callable[[Item], Result], items: Sequence[Item], title: str, chunk: int) -> list[Result]:
    with pool:
        results = pool.map(work, items, chunksize=chunk)
        return list(tqdm(results, title, len(items), leave=False, disable=None, dynamic_ncols=True))
