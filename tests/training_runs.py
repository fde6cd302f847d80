"""train.py on a tiny data set of its own, for the tests of what it does."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import train


def in_empty_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, data: Sequence[str], small: Sequence[str], name: str
) -> Callable[..., Path]:
    """A function that runs train.py in `folder` with these flags and more; it returns the run's folder."""
    monkeypatch.chdir(folder)

    def run(*flags: str, name: str = name) -> Path:
        train.main(["mine", "RGB", *data, *small, *flags])
        return folder / "runs" / name

    return run
