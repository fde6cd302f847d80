"""Shared by the tests of train.py."""

from collections.abc import Callable
from pathlib import Path

import pytest

import train


@pytest.fixture
def run(request, tiny_data: list[str], tmp_path: Path, monkeypatch, quick_plots) -> Callable[..., Path]:
    """Run train.py in an empty folder, with the module's flags `SMALL` and more; returns the run's folder."""
    monkeypatch.chdir(tmp_path)

    def run(*flags: str, name: str = request.module.NAME) -> Path:
        train.main(["mine", "RGB", *tiny_data, *request.module.SMALL, *flags])
        return tmp_path / "runs" / name

    return run
