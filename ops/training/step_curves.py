"""Curves within an epoch of training."""

import sys
from dataclasses import replace

import torch
from torch import Tensor

from ops.runtime import Runtime
from ops.training.progress import Progress, Sums
from ops.training.run_log import RunLog
from ops.training.step_clock import Seconds


class StepCurves:
    """Logs points within one epoch: means since the last point, over the clips of this process.

    The `progress` of a resumed epoch has the last point; each new one is noted there.
    """

    def __init__(self, log: RunLog, runtime: Runtime, progress: Progress | None = None) -> None:
        self._log, self._runtime, self._progress = log, runtime, progress or Progress()

    def __call__(
        self, epoch: float, sums: Sums, *, seconds: float, lr: float, gradient_norm: Tensor | float | None
    ) -> None:
        """Log a point at an epoch with its fraction; `sums` and `seconds` are those of the epoch so far.

        The gradient norm is that of the last step before clipping; None before the first one.
        """
        names = ("loss", "top1", "top5", "videos")
        point = self._progress.point
        recent = type(sums)(**{name: getattr(sums, name) - getattr(point, name) for name in names})
        speed = recent.videos * self._runtime.world_size / max(seconds - point.seconds.total, 1e-9)
        figures = {**recent.averages(), "lr": lr, "clips_per_second": speed}
        figures["memory_gib"] = peak_memory(self._runtime.device) / 2**30
        if gradient_norm is not None:
            figures["gradient_norm"] = float(gradient_norm)
        self._log.write_step(epoch, {f"step/{name}": value for name, value in figures.items()})
        self._progress.point = replace(sums, seconds=Seconds(total=seconds), replaced=[])


def peak_memory(device: torch.device) -> float:
    """Most bytes held so far: by the tensors on a GPU, or on the CPU by this process without its workers."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
