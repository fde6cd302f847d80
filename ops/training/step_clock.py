"""Where the time of an epoch goes, and what to change if the device waits for data."""

import time
from dataclasses import asdict, astuple, dataclass

import torch

from common.errors import counted

TOLERATED = 0.10  # share of the time that a device may wait for data


@dataclass
class Seconds:
    """Where the time of an epoch went: the parts of its steps, and beside them the decoding in the workers."""

    waiting: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    optimiser: float = 0.0
    decoding: float = 0.0  # summed over the workers
    total: float = 0.0
    mixing: float = 0.0  # of clips, with what a mixing learns; 0: there is none

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def add(self, part: str, seconds: float) -> None:
        """Time for one of the parts."""
        setattr(self, part, getattr(self, part) + seconds)

    def shares(self, workers: int) -> dict[str, float]:
        """Part -> share of the time, 0 to 1; of decoding: the share of their time that the workers were busy."""
        parts = asdict(self)
        total = max(parts.pop("total"), 1e-9)
        parts["decoding"] /= max(workers, 1)
        if not parts["mixing"]:
            del parts["mixing"]
        return {part: seconds / total for part, seconds in parts.items()}


class StepClock:
    """Times the parts of training steps without making the host wait for a GPU.

    On a GPU the marks are events in its stream: what the device does between them, idle time included.
    """

    def __init__(self, device: torch.device) -> None:
        self._seconds = Seconds()
        self._cuda = device.type == "cuda"
        self._marks: list[tuple[str, torch.cuda.Event]] = []
        self._start = self._last = time.perf_counter()
        if self._cuda:
            self._mark("")

    def first_batch(self, reading: float) -> None:
        """The first batch has come, whose reading took `reading` seconds: what it took before was the start of workers.

        That is a part of no step, and takes seconds where workers are not forked but import everything themselves.
        """
        now = time.perf_counter()
        waiting = min(reading, now - self._start)
        self._start, self._last = now - waiting, now
        self._seconds = Seconds(waiting=waiting)
        if self._cuda:
            self._marks.clear()
            self._mark("")

    def lap(self, part: str) -> None:
        """The time since the last call belongs to `part`."""
        if self._cuda:
            self._mark(part)
            return
        now = time.perf_counter()
        self._seconds.add(part, now - self._last)
        self._last = now

    def read(self) -> Seconds:
        """All of it until now."""
        if self._marks:
            self._settle()
        self._seconds.total = time.perf_counter() - self._start
        return self._seconds

    def _mark(self, part: str) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._marks.append((part, event))
        if len(self._marks) > 1000:
            self._settle()

    def _settle(self) -> None:
        """Read the events and keep the last one, where the next part begins."""
        self._marks[-1][1].synchronize()
        for (_, start), (part, end) in zip(self._marks, self._marks[1:], strict=False):
            self._seconds.add(part, start.elapsed_time(end) / 1000)
        del self._marks[:-1]


def time_report(share: dict[str, float], workers: int, cores: int) -> str:
    """One line, and a second one with what to change if the device waits for data too long.

    Args:
        share: of `Seconds.shares`.
        workers: that read clips.
        cores: of the machine, for each process of the run.
    """
    percent = {part: f"{100 * value:.0f} %" for part, value in share.items()}
    who = f"{counted(workers, 'worker')} busy" if workers else "of it decoding"
    busy = f"{who} {percent['decoding']}"
    line = "  time: waiting for data {waiting} ({}), forward {forward}, backward {backward}, optimiser {optimiser}"
    text = line.format(busy, **percent) + (f", mixing {percent['mixing']}" if "mixing" in percent else "")
    if share["waiting"] <= TOLERATED:
        return text
    return f"{text}\n  The network waits for data {percent['waiting']} of the time. {_advice(share, workers, cores)}"


def _advice(share: dict[str, float], workers: int, cores: int) -> str:
    if workers == 0:
        return "Read clips beside the training: -j 2 or more."
    if share["decoding"] < 0.5:
        return (
            "Yet the workers idle, so reading is not the limit: epochs of a few steps wait for their first batch; "
            "else look at the disk, or at a copy to the device that is slow."
        )
    if workers < cores:
        return f"More workers help: -j {min(2 * workers, cores)} (this machine has {cores} cores for them)."
    return (
        "All cores read. Make reading cheaper: extract frames at the size of the training (scripts/extract_frames.py "
        "--size 320 240: no resize), rather than read videos; pip install simplejpeg, the fastest decoder."
    )
