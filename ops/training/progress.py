"""Progress within an epoch: sums over its clips, and everything else from which a resumed run continues."""

from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from common.errors import counted, few, wrong_fields
from ops.runtime import Runtime
from ops.scoring.metrics import FIGURES, mean_recall, topk_hits
from ops.training.step_clock import Seconds, peak_memory


@dataclass
class Sums:
    """Sums over videos, divided by their number once, at the end."""

    loss: float = 0.0
    top1: int = 0
    top5: int = 0
    videos: int = 0
    seconds: Seconds = field(default_factory=Seconds)
    replaced: list[str] = field(default_factory=list)
    confusion: Any = 0  # (K, K) videos of an evaluation: row = label, column = best class
    shown: ClassVar[tuple[str, ...]] = ("top1", "top5", "mean_class")  # in progress lines

    def add(self, logits: Tensor, target: Tensor, loss: float) -> None:
        """Logits (N, K), labels (N,) or targets (N, K) whose largest share is the label, mean loss of the N videos."""
        top1, top5 = (int(hits.sum()) for hits in topk_hits(logits, self._labels(target), (1, 5)))
        self.loss += loss * len(target)
        self.top1 += top1
        self.top5 += top5
        self.videos += len(target)

    def _labels(self, target: Tensor) -> Tensor:
        return target.argmax(1) if target.ndim == 2 else target

    def averages(self) -> dict[str, float]:
        """Mean loss; accuracies in percent, for an evaluation including mean class accuracy."""
        videos = max(self.videos, 1)
        means = {"loss": self.loss / videos, "top1": 100 * self.top1 / videos, "top5": 100 * self.top5 / videos}
        return {**means, "mean_class": mean_recall(self.confusion)} if np.ndim(self.confusion) else means

    def __add__(self, other: "Sums") -> "Sums":
        return type(self)(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def describe(self) -> str:
        averages = self.averages()
        shown = [f"  {FIGURES[name]} {averages[name]:.1f} %" for name in self.shown if name in averages]
        return f"loss {averages['loss']:.3f}" + "".join(shown)

    def describe_replaced(self) -> str:
        """The unreadable frames that others replaced."""
        names, reads = sorted(set(self.replaced)), counted(len(self.replaced), "read")
        return (
            f"{counted(len(names), 'frame')} could not be read; each time the nearest readable frame was used instead "
            f"({reads}): {few(names)}"
        )


@dataclass
class MultiLabelSums(Sums):
    """Sums over videos with several labels; `top1` counts those whose best class is one of them."""

    precisions: Any = 0  # (K,) average precisions of an evaluation, in percent
    shown: ClassVar[tuple[str, ...]] = ("map", "hit1")

    def _labels(self, target: Tensor) -> Tensor:
        return target

    def averages(self) -> dict[str, float]:
        """Mean loss; hit at 1 and, for an evaluation, mAP in percent."""
        means = super().averages()
        mean = {"map": float(np.nanmean(self.precisions))} if np.ndim(self.precisions) else {}
        return {"loss": means["loss"], "hit1": means["top1"], **mean}


def over_processes(own: Sums, runtime: Runtime) -> Sums:
    """The sums of all processes together."""
    return reduce(add, runtime.gather(own))


@dataclass
class Progress:
    """How far one process is in an epoch."""

    sums: Sums = field(default_factory=Sums)
    point: Sums = field(default_factory=Sums)  # the sums at the last point of the curves within the epoch
    gradient_norm: Tensor | float | None = None  # of the last step
    mixing: dict[str, float] = field(default_factory=dict)  # sums of the mixing method
    random: list[Tensor] = field(default_factory=list)  # `Runtime.random_state`; empty: not known

    def next_point(self, seconds: float, lr: float, runtime: Runtime) -> dict[str, float]:
        """Figures of the next point of the curves, after `seconds` of the epoch at the learning rate `lr`.

        Means are those since the last point, over the clips of this process; the gradient norm is that of the last step
        before clipping, and absent before the first one.
        """
        names = ("loss", "top1", "top5", "videos")
        recent = type(self.sums)(**{name: getattr(self.sums, name) - getattr(self.point, name) for name in names})
        speed = recent.videos * runtime.world_size / max(seconds - self.point.seconds.total, 1e-9)
        figures = {**recent.averages(), "lr": lr, "clips_per_second": speed}
        figures["memory_gib"] = peak_memory(runtime.device) / 2**30
        if self.gradient_norm is not None:
            figures["gradient_norm"] = float(self.gradient_norm)
        self.point = replace(self.sums, seconds=Seconds(total=seconds), replaced=[])
        return {f"step/{name}": value for name, value in figures.items()}


@dataclass
class Position:
    """How far all processes of a run are in an epoch."""

    clips: int  # the first ones of the epoch's order are done
    fraction: float  # of the epoch
    processes: list[Progress]

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "Position":
        """From a checkpoint; a `ValueError` if the fields are not those of a position."""
        try:
            _require(stored, {"clips": int, "fraction": float, "processes": list})
            if stored["clips"] < 0:
                raise ValueError("clips")
            return cls(stored["clips"], stored["fraction"], [_progress(progress) for progress in stored["processes"]])
        except (AttributeError, LookupError, RuntimeError, TypeError) as error:
            raise ValueError(str(error)) from error

    def own(self, runtime: Runtime) -> Progress:
        """The part of this process; if the number of processes has changed, the main process takes over all sums."""
        if len(self.processes) == runtime.world_size:
            return self.processes[runtime.rank]
        if not runtime.is_main or not self.processes:
            return Progress()
        sums = reduce(add, (progress.sums for progress in self.processes))
        return Progress(sums, self.processes[0].point, mixing=self.processes[0].mixing)


def _progress(stored: Any) -> Progress:
    """From its fields in a checkpoint; wrong fields may raise any of several exceptions."""
    _require(stored, {"mixing": dict, "random": list})
    if not isinstance(stored["gradient_norm"], float):  # it may be infinite: the scaler of fp16 skips such a step
        raise ValueError("gradient_norm")
    _require(stored["mixing"], dict.fromkeys(stored["mixing"], float))
    torch.Generator().set_state(stored["random"][0])  # refuses other tensors
    rest = {name: stored[name] for name in ("gradient_norm", "mixing", "random")}
    return Progress(_sums(stored["sums"]), _sums(stored["point"]), **rest)


def _sums(stored: Any) -> Sums:
    kinds = {"loss": float, "top1": int, "top5": int, "videos": int, "replaced": list[str]}
    _require(stored, kinds)
    seconds = Seconds(**stored["seconds"])
    _require(vars(seconds), dict.fromkeys(vars(seconds), float))
    return Sums(seconds=seconds, **{name: stored[name] for name in kinds})


def _require(stored: Any, kinds: dict[str, Any]) -> None:
    if wrong := wrong_fields(stored, kinds):
        raise ValueError(", ".join(wrong))
