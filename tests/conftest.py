"""Shared by all tests: two threads are what the smallest machine has, and tests must not fight for more."""

from collections.abc import Iterator

import hypothesis
import pytest
import torch
from video_files import own_data_flags, write_dataset

hypothesis.settings.register_profile("no_deadline", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("no_deadline")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For many small networks: they gain nothing from two, and lose much where other work holds one of the cores."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(2)


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of a small data set of a module's own."""
    return own_data_flags(write_dataset(tmp_path_factory.mktemp("data")))
