"""Shared by all tests: two threads are what the smallest machine has, and tests must not fight for more."""

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("no_deadline", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("no_deadline")


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)
