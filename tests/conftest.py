"""Shared by all tests."""

import atexit
import gc
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # Python's own tidying up takes seconds after torch
    atexit.register(os._exit, 0)  # registered first, so it runs last
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the scripts that tests start: `make test` runs
# several tests at a time, and small networks gain nothing from more threads

import ctypes
import logging
import multiprocessing
import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from PIL import Image
from started_python import start_starter, stop_starter
from video_files import own_data_flags, write_dataset

from common.console import fork_workers
from common.signals import StopRequest
from ops.malloc import keep_freed_memory
from ops.models import NETS

fork_workers()  # as `run_script` does
gc.disable()  # until all is imported, see `pytest_runtestloop`
if platform.libc_ver()[0] == "glibc":  # a fork takes 50 ms for each GiB of memory, also for what is only kept
    os.register_at_fork(before=lambda: ctypes.CDLL(None).malloc_trim(0))
hypothesis.settings.register_profile("no_deadline", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("no_deadline")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """When all is imported: no garbage collection needs to look at that again, and programs can be forked from here."""
    gc.freeze()
    gc.set_threshold(10_000)  # with 700, collections take a twentieth of the time
    gc.enable()
    os.fsync = lambda file: None  # no test cuts the power, and disks are slow; `posix.fsync` is the real one
    start_starter()
    keep_freed_memory()  # as the scripts do; programs of the starter decide that for themselves


def pytest_sessionfinish() -> None:
    stop_starter()
    if "PYTEST_XDIST_WORKER" not in os.environ:  # else libraries of torch report leaks when Python ends
        gc.unfreeze()


class ToStdout(logging.Handler):
    """Prints log lines on whatever is stdout at that moment: pytest replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record))


@pytest.fixture(autouse=True)
def log_lines_on_stdout() -> Iterator[None]:
    """Set logging up as `run_script` does, for tests that call the `main` of a script."""
    root = logging.getLogger()
    level = root.level
    root.addHandler(ToStdout())
    root.setLevel(logging.INFO)
    yield
    root.setLevel(level)
    for handler in root.handlers[:]:  # also those that a script has set up
        if type(handler) in (ToStdout, logging.StreamHandler):
            root.removeHandler(handler)


@pytest.fixture
def forked_workers() -> Iterator[None]:
    """Fork worker processes, so that they inherit what a test patches. By default they are forked on Linux only."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("fork", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A training that a test runs in this process changes their handlers."""
    numbers = [getattr(signal, name) for name in ("SIGCHLD", *StopRequest.NAMES) if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def quick_plots(monkeypatch) -> None:
    """A picture of one pixel in place of each confusion matrix, which is a third of a small training's time."""

    def plot(_matrix: object, _names: object, path: Path, title: str) -> None:
        Image.new("RGB", (1, 1)).save(path)

    monkeypatch.setattr("ops.training.fit.plot_confusion", plot)
    monkeypatch.setattr("pkl_to_results.plot_confusion", plot)


@pytest.fixture(scope="module")
def tiny_network() -> Iterator[None]:
    """`--net Tiny`: a ResNet's weights and steps take most of a small run's time."""
    from tiny_net import TINY  # not for xdist's main process, which needs no torch

    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(NETS, "Tiny", TINY)
        yield


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of a small data set of a module's own."""
    return own_data_flags(write_dataset(tmp_path_factory.mktemp("data")))
