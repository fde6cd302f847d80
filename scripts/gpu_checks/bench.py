"""What the checks share: facts with bounds, the devices, a scratch folder, and how the project's scripts are run."""

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

from datasets.built_in.moving_digits import Settings, make_moving_digits
from ops.runtime import Runtime
from scripts.benchmarking.networks import Setting

ROOT = Path(__file__).resolve().parents[2]
PAIR = "digit_pair"  # two classes of the built-in data set: that the other ten never occur is learnt in a few steps
PATIENCE = 240  # seconds per script: more means that it hangs


class Skip(Exception):  # noqa: N818
    """A check, or the rest of one, that does not run here; the message says why."""


@dataclass(frozen=True)
class Fact:
    """A result: a number that has to be within bounds, or a text. `more` are figures without bounds, by unit."""

    what: str
    value: float | str
    low: float | None = None
    high: float | None = None
    more: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        value, low, high = self.value, self.low, self.high  # NaN is not ok
        return isinstance(value, str) or (low is None or low <= value) and (high is None or value <= high)

    def cells(self) -> list[str]:
        """What, value, bounds: for a table."""
        numbers = [self.value if isinstance(self.value, str) else f"{self.value:.4g}"]
        numbers += [f"{number:.4g} {unit}" for unit, number in self.more.items()]
        bounds = [f"{word} {bound:g}" for word, bound in ((">=", self.low), ("<=", self.high)) if bound is not None]
        return [self.what, ", ".join(numbers), ", ".join(bounds)]


@dataclass
class Run:
    """A finished training: its checkpoint, the lines of its log, and what it printed."""

    checkpoint: Path
    lines: list[dict[str, float]]
    output: str


@dataclass
class Bench:
    """Where the checks run. Without a GPU everything is small."""

    runtime: Runtime
    folder: Path
    deadline: float = inf  # as `time.monotonic()` tells it
    batch_size: int = 16  # clips per batch where speed and memory are measured

    def __post_init__(self) -> None:
        self.device = self.runtime.device
        self.gpus = list(range(torch.cuda.device_count())) if self.device.type == "cuda" else []
        sizes = ("resnet50", self.batch_size, 8, 224) if self.gpus else ("resnet18", 2, 2, 32)
        self.setting = Setting(*sizes, self.device, training=False)
        torch.backends.cuda.matmul.allow_tf32 = False  # PyTorch's default, which some containers change

    def require_gpus(self, number: int) -> None:
        if len(self.gpus) < number:
            raise Skip(f"needs {number} or more GPUs; here are {len(self.gpus)}")

    def require_time(self, seconds: float) -> None:
        if time.monotonic() + seconds > self.deadline:
            raise Skip("time: --limit is reached; --only runs the rest")

    def script(self, name: str, *arguments: object, launcher: Sequence[str] = (), cpu: bool = False) -> str:
        """What a script of the project prints; `launcher`: of Python, before the script; `cpu`: the GPUs are hidden.

        Raises:
            RuntimeError: it fails, or hangs.
        """
        command = [sys.executable, *launcher, str(ROOT / name), *map(str, arguments)]
        environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if cpu else {})}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except BaseException as error:  # also Ctrl-C: nothing of it stays behind
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
        """Run train.py with a folder of its own."""
        runs = self.folder / "runs" / name
        output = self.script("train.py", *arguments, "--root_model", runs, "--root_log", runs, launcher=launcher)
        (log,) = runs.glob("*/log.jsonl")
        return Run(log.with_name("ckpt.pth.tar"), [json.loads(line) for line in log.open()], output)

    @cached_property
    def data(self) -> Path:
        """The folder of `PAIR`."""
        settings = Settings() if self.gpus else Settings(train_per_class=6, val_per_class=2, num_frames=6, height=48)
        folder = self.folder / "data" / PAIR
        make_moving_digits(folder, settings)
        for path in (folder / "train.txt", folder / "val.txt"):
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if line.split()[-1] in ("0", "1")))
        return folder

    @property
    def few(self) -> list[object]:
        """Arguments of a training of three epochs on `PAIR`."""
        size, segments, workers = (64, 8, 4) if self.gpus else (32, 2, 0)
        return [
            PAIR, "--data_root", self.data.parent, "--arch", "resnet18", "--num_segments", segments, "--epochs", 3,
            "--input_size", size, "-b", 4, "--lr", 0.01, "--lr_type", "cos", "--dropout", 0, "--npb", "-j", workers,
        ]  # fmt: skip

    @cached_property
    def plain(self) -> Run:
        """The training in float32 that others go on from and are compared with."""
        return self.train("plain", *self.few, *(["--gpus", 0] if self.gpus else []))
