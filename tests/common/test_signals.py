"""Signals: requests to stop, a second Ctrl-C, and those that arrive while workers start."""

import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from interruptions import needs_posix
from started_python import run_python
from torch.utils.data import DataLoader

from common import signals
from common.signals import Stopped, StopRequest, take_sigterm_as_ctrl_c
from datasets.loader import ClipLoader

ROOT = Path(signals.__file__).parents[1]


STOPPED_WITH_A_WORKER = """
import signal
from common.console import run_script
from common.signals import Stopped, StopRequest, take_sigterm_as_ctrl_c

def main():
    both = {signal.SIGCHLD, signal.SIGTERM}
    signal.signal(signal.SIGCHLD, lambda *_: None)  # as torch does
    take_sigterm_as_ctrl_c()
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    for number in both:
        signal.raise_signal(number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)

run_script(main)
"""


@needs_posix
def test_a_worker_that_ends_just_before_a_stop_is_no_error() -> None:
    """SIGTERM to a whole group: the end of a worker and the stop arrive together."""
    done = run_python([sys.executable, "-c", STOPPED_WITH_A_WORKER], cwd=ROOT)
    assert (done.returncode, done.stderr) == (130, "\nStopped.\n")


class Forking:
    """A stop arrives as it is deleted, where exceptions are lost."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_at_the_start_of_workers_is_not_lost(number: int, monkeypatch, request) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        request.addfinalizer(partial(signal.signal, each, signal.getsignal(each)))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it

    def start(_loader: DataLoader) -> Iterator[int]:
        Forking(number)
        return iter([1, 2])

    monkeypatch.setattr(DataLoader, "__iter__", start)
    take_sigterm_as_ctrl_c()
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        next(iter(ClipLoader([1, 2], [(0, 0)], workers=0, pin_memory=False)))
    assert signal.getsignal(number) is before


def test_a_signal_is_remembered_until_the_work_asks(monkeypatch) -> None:
    """Signals that the process ignores, as under nohup, stay ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)
        stop.check()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    with StopRequest() as stop:
        for name in ("SIGUSR1", "SIGTERM"):
            signal.raise_signal(getattr(signal, name))
        with pytest.raises(Stopped):
            stop.check()
        assert (stop.by, stop.status) == (" by SIGUSR1", 75)
    signal.raise_signal(signal.SIGUSR1)  # as the process ends


def test_ctrl_c_finishes_the_step_and_a_second_one_stops_at_once(monkeypatch) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    now = [10.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # torchrun passes it on, after the terminal did
        assert stop.status == 130
        now[0] = 12.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
