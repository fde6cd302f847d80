"""Time variants in turns, A B A B, so that other load on the machine affects all of them alike; paired ratios."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from common.progress import track

Name = TypeVar("Name")


@dataclass(frozen=True)
class Spread:
    """Median, lower and upper quartile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of one value or more; quartiles interpolate linearly."""
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        return cls(median, low, high)

    def text(self, decimals: int = 2, scale: float = 1.0) -> str:
        """Such as "0.71 (0.69 to 0.74)"."""
        middle, low, high = (f"{value * scale:.{decimals}f}" for value in (self.median, self.low, self.high))
        return f"{middle} ({low} to {high})"


def ratios(times: Sequence[float], base: Sequence[float]) -> Spread:
    """The ratio of each round to the base's turn in the same round, when the machine was in the same state."""
    return Spread.of([own / other for own, other in zip(times, base, strict=True)])


def alternate(
    variants: Mapping[Name, Callable[[], object]],  # name -> function to time
    *,
    rounds: int,  # turns of each variant
    warmup: int = 1,  # calls of each variant before the first round
    calls: int = 1,  # per turn, to make short calls measurable
) -> dict[Name, list[float]]:
    """Time variants in turns: seconds per call, one value per round."""
    times: dict[Name, list[float]] = {name: [] for name in variants}
    for _ in range(warmup):
        for call in variants.values():
            call()
    for _ in track(range(rounds), rounds, "round", 1):
        for name, call in variants.items():
            times[name].append(seconds(call, calls))
    return times


def seconds(call: Callable[[], object], calls: int = 1) -> float:
    """Seconds per call."""
    _wait_for_gpu()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    _wait_for_gpu()
    return (time.perf_counter() - start) / calls


def _wait_for_gpu() -> None:
    if torch.cuda.is_initialized():  # this process uses one
        torch.cuda.synchronize()
