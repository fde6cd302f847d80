"""Time and memory of calls. Variants are timed in turns, A B A B, so that other load affects all of them alike."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from common.progress import track

MIB = 2**20
CALLS = {"cpu": 1, "cuda": 10}  # per turn
WARMUP = {"cpu": 2, "cuda": 3}
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


@dataclass
class Measured:
    """One variant; memory is above model, optimiser and input."""

    seconds: list[float] = field(default_factory=list)  # per call, one value per round
    tensor_bytes: int = 0
    resident_bytes: list[int] = field(default_factory=list)  # one value per round, if measured


def measure(
    calls: Mapping[Name, Callable[[], object]], device: torch.device, rounds: int, per_turn: int | None = None
) -> dict[Name, Measured]:
    """Time and tensors of calls, so many of each (by default `CALLS`) in every turn."""
    times = alternate(calls, rounds=rounds, warmup=WARMUP[device.type], calls=per_turn or CALLS[device.type])
    return {name: Measured(times[name], peak_tensor_bytes(call, device)) for name, call in calls.items()}


def peak_tensor_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Peak memory of tensors during a call, minus that before it.

    On the CPU this is the sum over all allocations and releases of PyTorch's allocator (oneDNN's scratch memory
    included), which is reproducible; on a GPU it is the allocator's own count.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), order, e.nbytes()) for order, e in enumerate(events) if e.name() == "[memory]")
    held = peak = 0
    for _, _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def resident_bytes(pid: int) -> int:
    """Memory of a process now, shared pages divided among their processes; 0 without /proc."""
    return _field(f"/proc/{pid}/smaps_rollup", "Pss")


def private_bytes(pid: int) -> int:
    """Memory of a process that no other one shares; 0 without /proc."""
    return sum(_field(f"/proc/{pid}/smaps_rollup", name) for name in ("Private_Clean", "Private_Dirty"))


def peak_resident_bytes(call: Callable[[], object]) -> int:
    """Peak memory of this process during a call, minus that before it; 0 without /proc."""
    before = _field("/proc/self/status", "VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        return 0
    call()
    return _field("/proc/self/status", "VmHWM") - before


def _field(path: str, name: str) -> int:
    """Bytes of a line such as `VmRSS:   1234 kB`; 0 without it."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
