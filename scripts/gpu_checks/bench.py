"""Shared by the checks: facts with bounds, the devices, a scratch folder, and running the project's scripts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from pathlib import Path

import torch

from common.errors import counted
from datasets.built_in.moving_digits import Settings, make_moving_digits
from ops.runtime import Runtime
from scripts.benchmarking.networks import Setting

ROOT = Path(__file__).resolve().parents[2]
PAIR = "digit_pair"  # two of the built-in data set's 12 classes: a few steps teach that the others never occur
PATIENCE = 240  # seconds after which a script counts as hanging


class Skip(Exception):  # noqa: N818
    """Raised by a check to skip itself or its rest; the message gives the reason."""


@dataclass(frozen=True)
class Fact:
    """A result: a number, which may have bounds, or a text."""

    what: str
    value: float | str
    low: float | None = None
    high: float | None = None
    more: dict[str, float] = field(default_factory=dict)  # unit -> number without bounds

    @property
    def ok(self) -> bool:
        if isinstance(self.value, str):
            return True
        return (self.low is None or self.low <= self.value) and (self.high is None or self.value <= self.high)

    def cells(self) -> list[str]:
        """Name, value and bounds, as cells of a table."""
        values = [self.value if isinstance(self.value, str) else f"{self.value:.4g}"]
        values += [f"{number:.4g} {unit}" for unit, number in self.more.items()]
        bounds = [f"{sign} {bound:g}" for sign, bound in ((">=", self.low), ("<=", self.high)) if bound is not None]
        return [self.what, ", ".join(values), ", ".join(bounds)]


@dataclass
class Run:  # a finished training
    checkpoint: Path
    lines: list[dict[str, float]]  # of its log
    output: str


@dataclass
class Bench:
    """The environment of the checks. Without a GPU everything is small."""

    runtime: Runtime
    folder: Path
    deadline: float = inf  # on the clock of `time.monotonic()`
    batch_size: int = 16  # clips per batch in the checks of speed and memory

    def __post_init__(self) -> None:
        self.device = self.runtime.device
        self.gpus = list(range(torch.cuda.device_count())) if self.device.type == "cuda" else []
        sizes = ("resnet50", self.batch_size, 8, 224) if self.gpus else ("resnet18", 2, 2, 32)
        self.setting = Setting(*sizes, self.device, training=False)
        torch.backends.cuda.matmul.allow_tf32 = False  # PyTorch's default, which some containers change

    def require_gpus(self, number: int) -> None:
        if len(self.gpus) < number:
            raise Skip(f"needs at least {counted(number, 'GPU')}, found {len(self.gpus)}")

    def require_time(self, seconds: float) -> None:
        if time.monotonic() + seconds > self.deadline:
            raise Skip("time: --limit is reached; run the rest with --only")

    def script(self, name: str, *arguments: object, launcher: Sequence[str] = (), cpu: bool = False) -> str:
        """Run a script of the project and return its output; `cpu` hides the GPUs.

        `launcher` are arguments of Python before the script, such as those of torchrun.

        Raises:
            RuntimeError: the script failed or hangs.
        """
        command = [sys.executable, *launcher, str(ROOT / name), *map(str, arguments)]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if cpu else {})}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except BaseException as error:  # including Ctrl-C: leave no process running
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise RuntimeError(f"{name} did not end within {PATIENCE} s") from error
            raise
        with (self.folder / "commands.log").open("a") as log:
            log.write(f"$ {' '.join(command)}\n{output}\n")
        if process.returncode:
            raise RuntimeError(f"{name} failed: {(output.strip().splitlines() or ['no output'])[-1]}")
        return output

    def train(self, name: str, *arguments: object, launcher: Sequence[str] = ()) -> Run:
        """Run train.py with its own folder."""
        runs = self.folder / "runs" / name
        output = self.script("train.py", *arguments, "--root_model", runs, "--root_log", runs, launcher=launcher)
        (log,) = runs.glob("*/log.jsonl")
        return Run(log.with_name("ckpt.pth.tar"), [json.loads(line) for line in log.open()], output)

    @cached_property
    def data(self) -> Path:
        """The folder of data set `PAIR`."""
        settings = Settings() if self.gpus else Settings(train_per_class=6, val_per_class=2, num_frames=6, height=48)
        folder = self.folder / "data" / PAIR
        make_moving_digits(folder, settings)
        for path in (folder / "train.txt", folder / "val.txt"):
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if line.split()[-1] in ("0", "1")))
        return folder

    def train_briefly(self, name: str, *arguments: object, launcher: Sequence[str] = ()) -> Run:
        """Run train.py for three epochs on `PAIR`; later arguments replace these."""
        arch, size, segments, workers = ("resnet18", 64, 8, 4) if self.gpus else ("resnet10", 32, 2, 0)
        few = [
            PAIR, "--data_root", self.data.parent, "--arch", arch, "--num_segments", segments, "--epochs", 3,
            "--input_size", size, "-b", 4, "--lr", 0.01, "--lr_type", "cos", "--dropout", 0, "--npb", "-j", workers,
        ]  # fmt: skip
        return self.train(name, *few, *arguments, launcher=launcher)

    @cached_property
    def plain(self) -> Run:
        """A training in float32 that other checks resume, test and compare with."""
        return self.train_briefly("plain", *(["--gpus", 0] if self.gpus else []))
