"""Progress within an epoch: sums over its clips, and everything else from which a resumed run continues."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from common.errors import wrong_fields
from ops.runtime import Runtime
from ops.scoring.metrics import FIGURES, mean_recall, topk_hits
from ops.training.step_clock import Seconds


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

    def describe(self) -> str:
        averages = self.averages()
        shown = [f"  {FIGURES[name]} {averages[name]:.1f} %" for name in self.shown if name in averages]
        return f"loss {averages['loss']:.3f}" + "".join(shown)


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
    return _total(runtime.gather(own))


def _total(parts: Iterable[Sums]) -> Sums:
    first, *others = parts
    total = type(first)()
    for part in (first, *others):
        for name in vars(total):
            setattr(total, name, getattr(total, name) + getattr(part, name))
    return total


@dataclass
class Progress:
    """How far one process is in an epoch."""

    sums: Sums = field(default_factory=Sums)
    point: Sums = field(default_factory=Sums)  # the sums at the last point of the curves within the epoch
    gradient_norm: Tensor | float | None = None  # of the last step
    mixing: dict[str, float] = field(default_factory=dict)  # sums of the mixing method
    random: list[Tensor] = field(default_factory=list)  # `Runtime.random_state`; empty: not known

    @classmethod
    def of(cls, stored: Any) -> "Progress":
        """From its fields in a checkpoint; wrong fields may raise any of several exceptions."""
        kinds = {"sums": dict, "point": dict, "mixing": dict, "random": list}
        norm = None if wrong_fields(stored, kinds) else stored["gradient_norm"]
        if not isinstance(norm, float) or wrong_fields(stored["mixing"], dict.fromkeys(stored["mixing"], float)):
            raise ValueError("progress")
        torch.Generator().set_state(stored["random"][0])  # refuses other tensors
        return cls(_sums(stored["sums"]), _sums(stored["point"]), norm, stored["mixing"], stored["random"])


def _sums(stored: dict[str, Any]) -> Sums:
    kinds = {"loss": float, "top1": int, "top5": int, "videos": int, "replaced": list[str]}
    seconds = Seconds(**stored["seconds"])
    if wrong_fields(stored, kinds) or wrong_fields(vars(seconds), dict.fromkeys(vars(seconds), float)):
        raise ValueError("sums")
    return Sums(seconds=seconds, **{name: stored[name] for name in kinds})


@dataclass
class Position:
    """How far all processes of a run are in an epoch."""

    clips: int  # the first ones of the epoch's order are done
    fraction: float  # of the epoch
    processes: list[Progress]

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "Position":
        """From a checkpoint.

        Raises:
            ValueError: the fields are not those of a position.
        """
        try:
            if wrong_fields(stored, {"clips": int, "fraction": float, "processes": list}) or stored["clips"] < 0:
                raise ValueError("clips")
            return cls(stored["clips"], stored["fraction"], [Progress.of(progress) for progress in stored["processes"]])
        except (AttributeError, LookupError, RuntimeError, TypeError) as error:
            raise ValueError(str(error)) from error

    def own(self, runtime: Runtime) -> Progress:
        """The part of this process; if the number of processes has changed, the main process takes over all sums."""
        if len(self.processes) == runtime.world_size:
            return self.processes[runtime.rank]
        if not runtime.is_main or not self.processes:
            return Progress()
        first = self.processes[0]
        return Progress(_total(progress.sums for progress in self.processes), first.point, mixing=first.mixing)
