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


def stop_at(monkeypatch, when: float, error: type[BaseException] = KeyboardInterrupt) -> None:
    """Let the run be interrupted at an epoch (with its fraction), once."""
    real = train.learning_rate

    def learning_rate(epoch: float, **options) -> float:
        if epoch >= when:
            monkeypatch.setattr(train, "learning_rate", real)
            raise error
        return real(epoch, **options)

    monkeypatch.setattr(train, "learning_rate", learning_rate)
