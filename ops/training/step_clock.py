"""Memory, and the time spent in each part of an epoch, with advice if the device waits for data."""

import sys
import time
from dataclasses import asdict, astuple, dataclass
from itertools import pairwise
from typing import Any

import torch

from common.errors import counted

TOLERATED = 0.10  # share of the time that a device may wait for data


def peak_memory(device: torch.device) -> float:
    """Most bytes held so far: by the tensors on a GPU, or on the CPU by this process without its workers."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass
class Seconds:
    """Time of an epoch by the parts of its steps, and of the decoding that the workers do meanwhile."""

    waiting: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    optimiser: float = 0.0
    decoding: float = 0.0  # summed over the workers
    total: float = 0.0
    mixing: float = 0.0  # of clips, including a method's own training; 0 without mixing

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def shares(self, workers: int) -> dict[str, float]:
        """Part -> share of the time, 0 to 1; decoding: how busy the workers were."""
        parts = asdict(self)
        total = max(parts.pop("total"), 1e-9)
        parts["decoding"] /= max(workers, 1)
        if not parts["mixing"]:
            del parts["mixing"]
        return {part: seconds / total for part, seconds in parts.items()}


class StepClock:
    """Times the parts of training steps without making the host wait for a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._seconds = Seconds()
        self._start = time.perf_counter()
        self._marks = [("", self._moment())]  # ends of parts

    def first_batch(self, reading: float) -> None:
        """Call when the first batch arrives, which took `reading` seconds to read.

        The start of the workers before that is not counted: it takes seconds where they are not forked.
        """
        now = time.perf_counter()
        waiting = min(reading, now - self._start)
        self._start, self._seconds = now - waiting, Seconds(waiting=waiting)
        self._marks = [("", self._moment())]

    def lap(self, part: str) -> None:
        """Count the time since the last call as `part`."""
        self._marks.append((part, self._moment()))
        if len(self._marks) > 1000:
            self._settle()

    @property
    def elapsed(self) -> float:
        """Seconds so far, without the start of the workers."""
        return time.perf_counter() - self._start

    def read(self) -> Seconds:
        """All times so far."""
        self._settle()
        self._seconds.total = self.elapsed
        return self._seconds

    def _moment(self) -> Any:
        """The time in seconds; on a GPU an event in its stream, to time the work of the device, idle time included."""
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _settle(self) -> None:
        """Count the parts, and keep the last mark, where the next part begins."""
        if self._on_gpu:
            self._marks[-1][1].synchronize()
        for (_, start), (part, end) in pairwise(self._marks):
            seconds = start.elapsed_time(end) / 1000 if self._on_gpu else end - start
            setattr(self._seconds, part, getattr(self._seconds, part) + seconds)
        del self._marks[:-1]


def time_report(share: dict[str, float], workers: int, cores: int) -> str:
    """One line on `Seconds.shares`, and a second one with advice if the device waits for data too long.

    `cores`: CPU cores available to each process of the run.
    """
    percent = {part: f"{100 * value:.0f} %" for part, value in share.items()}
    busy = f"{counted(workers, 'worker')} {percent['decoding']} busy" if workers else f"decoding {percent['decoding']}"
    line = "  time: waiting for data {waiting} ({}), forward {forward}, backward {backward}, optimiser {optimiser}"
    text = line.format(busy, **percent) + (f", mixing {percent['mixing']}" if "mixing" in percent else "")
    if share["waiting"] <= TOLERATED:
        return text
    return f"{text}\n  The network waits for data {percent['waiting']} of the time. {_advice(share, workers, cores)}"


def _advice(share: dict[str, float], workers: int, cores: int) -> str:
    if workers == 0:
        return "Read clips in parallel with training: -j 2 or more."
    if share["decoding"] < 0.5:
        return (
            "The workers are idle, so decoding is not the limit. In an epoch of a few steps the wait for the first "
            "batch counts; otherwise check the disk and the copy to the device."
        )
    if workers < cores:
        return f"More workers would help: -j {min(2 * workers, cores)} (there are {cores} cores for them)."
    return (
        "All cores are reading. Make reading cheaper: extract frames at training size (scripts/extract_frames.py "
        "--size 320 240, so that nothing is resized) instead of decoding videos; pip install simplejpeg, the fastest "
        "decoder."
    )
