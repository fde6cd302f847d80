"""Interruptions of work, full disks, and where they can be tested."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_posix = pytest.mark.skipif(os.name != "posix", reason="this system has no fork, signals or POSIX shell")


def stop_after_first(items: Iterator, *_args: object) -> Iterator:
    """In place of `track`: an interruption after the first item."""
    yield next(items)
    raise KeyboardInterrupt


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes, as on a full disk."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
