"""Decides after each optimiser step whether a run saves a checkpoint in the middle of an epoch, or stops."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from torch.utils.data import DataLoader

from common.signals import Stopped, StopRequest
from ops.runtime import Runtime
from ops.training.progress import Position, Progress, Sums
from ops.training.run_folder import RunFolder
from ops.training.run_log import RunLog
from ops.training.state import TrainState

WORTH_SAVING = 60  # seconds of training that are saved before a validation, in case that is interrupted
GO_ON, SAVE, STOP = range(3)


@dataclass
class Saver:
    """Writes the checkpoints of a run, after any step of the optimiser; called after each one."""

    state: TrainState
    runtime: Runtime
    folders: RunFolder
    log: RunLog | None  # of the main process
    stop: StopRequest
    steps: float = float("inf")  # of the optimiser from one checkpoint to the next
    seconds: float = float("inf")  # from one checkpoint to the next
    validates: bool = False  # whether a validation follows this epoch
    progress: Progress = field(default_factory=Progress)  # of this process in this epoch
    _clips: int = 0  # done in this epoch when it started or was resumed
    _first: int = 0  # batches done then
    _batch: int = 0  # clips of a batch, over all processes
    _steps: int = 0  # since the last checkpoint
    _time: float = field(default_factory=time.monotonic)  # of the last checkpoint

    def start_epoch(self, loader: DataLoader, *, validates: bool) -> int:
        """Let `loader` begin where the run is in its epoch, and return the number of batches that are done."""
        position, sampler = self.state.position, loader.sampler
        self.validates, self._batch = validates, loader.batch_size * self.runtime.world_size  # type: ignore[operator]
        self._clips = position.clips if position else 0
        if position and sampler.num_clips - self._clips < self._batch:  # type: ignore[attr-defined]
            self._clips = sampler.num_clips  # type: ignore[attr-defined]  # not a whole batch is left
        self._first = self._clips // self._batch
        self.progress = position.own(self.runtime) if position else Progress()
        if self.state.mixer is not None:
            self.state.mixer.method.sums = dict(self.progress.mixing)
        sampler.set_epoch(self.state.epoch, self._clips)  # type: ignore[attr-defined]
        return self._first

    def __call__(self, batch: int, batches: int, sums: Callable[[], Sums]) -> None:
        """After `batch` of `batches`: save the run if it is time; if it was asked to stop, save it and raise `Stopped`.

        All processes do so together.
        """
        self._steps += 1
        before_validation = self.validates and batch == batches
        seconds = min(self.seconds, WORTH_SAVING) if before_validation else self.seconds
        due = self._steps >= self.steps or (self.runtime.is_main and time.monotonic() - self._time >= seconds)
        agreed = self.runtime.highest(STOP if self.stop.number else SAVE if due else GO_ON)
        if agreed or before_validation:
            clips = self._clips + (batch - self._first) * self._batch
            self.state.position = Position(clips, batch / batches, self.runtime.gather(self._own_progress(sums())))
        if agreed:
            self.save()
        if agreed == STOP:
            self.runtime.gather(None)  # the others wait for the main process
            raise Stopped

    def _own_progress(self, sums: Sums) -> Progress:
        method = self.state.mixer.method if self.state.mixer is not None else None
        mixing = {name: float(value) for name, value in method.sums.items()} if method is not None else {}
        norm = float(self.progress.gradient_norm)  # type: ignore[arg-type]  # there was a step
        return Progress(sums, self.progress.point, norm, mixing, self.runtime.random_state())

    def save(self, *, best: bool = False, keep: bool = False) -> None:
        """Let the main process write the checkpoint of the run as it is; the rest is as in `TrainState.save`."""
        self._steps, self._time = 0, time.monotonic()
        if self.log is not None:
            self.log.flush_steps()
        if self.runtime.is_main:
            self.folders.require_valid()
            self.state.save(self.folders.folder, best=best, keep=keep)
