"""train.py in the two processes of a run, as torchrun would start them, but forked: torch is imported once."""

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from started_python import run_python

ROOT = Path(__file__).resolve().parents[2]
HEAD = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
import torch._dynamo  # otherwise both import it at their first step
import train
from common.console import run_script
from two_processes import in_two_processes
"""


def run_program(folder: Path, program: str, flags: Sequence[str] = ()) -> subprocess.CompletedProcess:
    """Run a program, which follows `HEAD`, in a folder."""
    command = [sys.executable, "-c", HEAD + program, *flags]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return run_python(command, cwd=folder, env=environment)


def in_two_processes(work: Callable[[], None]) -> list[int | None]:
    """Do `work` in two new processes; returns their exit statuses. When one fails, the other one is ended."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_start, args=(rank, port, work)) for rank in range(2)]
    for process in processes:
        process.start()
    waiting = {process.sentinel: process for process in processes}
    while waiting:
        for sentinel in wait(list(waiting)):
            ended = waiting.pop(sentinel)
            ended.join()
            if ended.exitcode:
                for process in waiting.values():
                    process.terminate()
    return [process.exitcode for process in processes]


def _start(rank: int, port: int, work: Callable[[], None]) -> None:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="localhost")
    work()
