"""Several processes of one run, as torchrun starts them, but forked: they need not import torch again."""

import os
import socket
import sys
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess


def start_processes(work: Callable[[int], None], count: int = 2) -> list[BaseProcess]:
    """Start `work(rank)` in `count` processes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]

    def main(rank: int) -> None:
        os.environ |= {
            "WORLD_SIZE": str(count),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(count),
        }
        os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        status = 1
        try:
            work(rank)
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)  # without the cleanup of the process that was forked

    processes: list[BaseProcess] = [get_context("fork").Process(target=main, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    return processes


def exit_statuses(work: Callable[[int], None], count: int = 2) -> list[int | None]:
    """Run `work(rank)` in `count` processes to its end."""
    processes = start_processes(work, count)
    for process in processes:
        process.join(100)
    return [process.exitcode for process in processes]


def exit_statuses_at_once(work: Callable[[], None]) -> list[int | None]:
    """Do `work` in two processes that know nothing of one another."""
    processes = [get_context("fork").Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    return [process.exitcode for process in processes]
