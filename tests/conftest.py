"""Shared by all tests: two threads are what the smallest machine has, and tests must not fight for more."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)
