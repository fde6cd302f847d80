"""What a run leaves behind beside its weights: TensorBoard curves, one JSON line an epoch, options and versions."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboardX import SummaryWriter

from errors import InputError

LINES = "log.jsonl"


class RunLog:
    """Curves for TensorBoard and the same figures as JSON lines, both from `start_epoch` on.

    What an earlier, interrupted try wrote about `start_epoch` and later is dropped; what it wrote before stays.
    """

    def __init__(self, folder: Path, start_epoch: int) -> None:
        self.path = folder / LINES
        kept = [line for line in self._lines() if json.loads(line)["epoch"] < start_epoch]
        self.path.write_text("".join(kept))
        self.writer = SummaryWriter(str(folder), purge_step=start_epoch)

    def _lines(self) -> list[str]:
        """Whole lines of an earlier try; a kill may have cut the last one."""
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        return [line for line in lines if line.endswith("\n")]

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Figures of one epoch (0-based), by curve name such as "train/loss"."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()
        with self.path.open("a") as file:
            file.write(json.dumps({"epoch": epoch, **figures}) + "\n")

    def write_image(self, epoch: int, name: str, picture: np.ndarray) -> None:
        """A picture (H, W, 3) uint8 of one epoch, for TensorBoard alone."""
        self.writer.add_image(name, picture, epoch, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


def make_folder(folder: Path, flag: str) -> Path:
    """Make a folder for results and make sure that it can be written.

    Raises:
        InputError: it cannot.
    """
    probe = folder / ".can_write"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink(missing_ok=True)  # another run may have been faster
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; choose another folder with {flag}") from error
    return folder


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON, written whole or not at all: another run may read it meanwhile.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def provenance() -> dict[str, Any]:
    """What a result depends on besides the options: command, git revision, versions, devices."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "command": sys.argv,
        "git_revision": _git("rev-parse", "HEAD"),
        "git_changed_files": (_git("status", "--porcelain") or "").splitlines(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),  # asked without importing it, which takes a second
        "cuda": torch.version.cuda,
        "gpus": gpus,
        "threads": torch.get_num_threads(),
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # an unpacked archive: no git, no revision
    return done.stdout.strip()
