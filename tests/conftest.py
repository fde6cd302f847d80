"""Shared by all tests."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the scripts that tests start: `make test` runs
# several tests at a time, and small networks gain nothing from more threads

import hypothesis
import pytest
from video_files import own_data_flags, write_dataset

hypothesis.settings.register_profile("no_deadline", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("no_deadline")


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of a small data set of a module's own."""
    return own_data_flags(write_dataset(tmp_path_factory.mktemp("data")))
