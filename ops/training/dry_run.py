"""--dry_run: time and memory of a training, estimated from its first steps, and its learning rate."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice, pairwise
from typing import Any

from common.errors import counted
from ops.runtime import Runtime
from ops.training.engine import TrainSettings, train_one_epoch
from ops.training.progress import over_processes
from ops.training.state import TrainState
from ops.training.step_clock import peak_memory

STEPS = 3  # of the optimiser; the first one, which takes longer, is not timed
MOST_JUMPS = 8  # of the learning rate, in one line


@dataclass(frozen=True)
class FirstBatches:
    """The first batches of a loader."""

    loader: Any
    count: int

    def __len__(self) -> int:
        return min(self.count, len(self.loader))

    def __iter__(self) -> Iterator[Any]:
        return islice(self.loader, self.count)


def dry_run(
    state: TrainState,
    loader: Any,
    runtime: Runtime,
    settings: TrainSettings,
    *,
    lr_at: Callable[[float], float],
    epochs: int,
) -> None:
    """Log the number of steps, the learning rate, and the time and memory of `STEPS` steps.

    `lr_at` gives the learning rate at a (fractional) epoch.
    """
    steps = -(-len(loader) // settings.accumulate)
    logging.info("%s per epoch, %s in all", counted(steps, "step"), counted(steps * epochs, "step"))
    logging.info("Learning rate: %s", _rates(lr_at, epochs))
    logging.info(_measured_steps(state, loader, runtime, settings, lr_at))


def _measured_steps(
    state: TrainState, loader: Any, runtime: Runtime, settings: TrainSettings, lr_at: Callable[[float], float]
) -> str:
    """Run the steps; returns the result as one line."""
    batches = FirstBatches(loader, STEPS * settings.accumulate)
    ends: list[float] = []
    own = train_one_epoch(
        runtime.wrap(state.model), batches, state.optimiser, state.scaler, runtime,
        replace(settings, print_freq=len(loader) + 1),
        epoch=0, lr_at=lr_at, mixer=state.mixer, after_step=lambda *_: ends.append(time.perf_counter()),
    )  # fmt: skip
    sums = over_processes(own, runtime)
    if sums.replaced:
        logging.warning("%s", sums.describe_replaced())
    device = "GPU" if runtime.device.type == "cuda" else "process, without its workers"
    memory = f"peak memory {peak_memory(runtime.device) / 2**30:.2f} GiB per {device}"
    if len(ends) < 2:
        return f"{memory}; the epoch is too short to time"
    of_step = (ends[-1] - ends[0]) / (len(ends) - 1)
    epoch = timedelta(seconds=round(of_step * len(loader) / settings.accumulate))
    return f"{1000 * of_step:.0f} ms per step (mean of {len(ends) - 1}), {epoch} per epoch without validation; {memory}"


def _rates(lr_at: Callable[[float], float], epochs: int) -> str:
    """The learning rate in one line: at the start, at each quarter, where it jumps, and at the end."""
    of_epoch = [lr_at(epoch) for epoch in range(epochs)]
    pairs = enumerate(pairwise(of_epoch), start=1)
    jumps = [epoch for epoch, (before, now) in pairs if abs(now - before) > 0.5 * before]
    shown = {epochs * quarter // 4 for quarter in range(4)} | set(jumps[:MOST_JUMPS])
    text = ", ".join(f"{of_epoch[epoch]:.3g} after {epoch}" for epoch in sorted(shown))
    return f"{text} epochs, {lr_at(epochs):.3g} at the end"
