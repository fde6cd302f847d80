"""Variants measured in turns, A B A B, so that what else the machine does meets all of them alike; paired ratios."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from common.progress import track

Times = dict[str, list[float]]  # variant -> seconds of each round


@dataclass(frozen=True)
class Spread:
    """The middle of some values: median, lower and upper quartile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value or more; quartiles interpolate between the values, the least and the largest included."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), low, high)

    def text(self, decimals: int = 2, scale: float = 1.0) -> str:
        """Such as "0.71 (0.69 to 0.74)"."""
        middle, low, high = (f"{value * scale:.{decimals}f}" for value in (self.median, self.low, self.high))
        return f"{middle} ({low} to {high})"


def ratios(times: Sequence[float], base: Sequence[float]) -> Spread:
    """The ratio of each round to the base's turn in the same round: both met the same machine."""
    return Spread.of([own / other for own, other in zip(times, base, strict=True)])


def alternate(
    variants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    calls: int = 1,
    device: torch.device | None = None,
) -> Times:
    """Time variants in turns.

    Args:
        variants: name -> what is measured.
        rounds: turns of each.
        warmup: calls of each before the first round.
        calls: calls a turn, for what takes too short a time.
        device: waited for at the start and the end of a turn, if it is a GPU.

    Returns:
        Seconds a call, a value for each round.
    """
    times: Times = {name: [] for name in variants}
    for _ in range(warmup):
        for call in variants.values():
            call()
    for _ in track(range(rounds), rounds, "round", 1):
        for name, call in variants.items():
            times[name].append(seconds(call, calls, device))
    return times


def seconds(call: Callable[[], object], calls: int = 1, device: torch.device | None = None) -> float:
    """Seconds a call."""
    _wait_for(device)
    start = time.perf_counter()
    for _ in range(calls):
        call()
    _wait_for(device)
    return (time.perf_counter() - start) / calls


def _wait_for(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
