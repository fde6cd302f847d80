"""Batches of clips, and the worker processes that read them and live as long as their loader."""

import atexit
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import active_children
from multiprocessing.connection import Listener
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

from common.console import WORKER_DIED
from common.errors import InputError
from common.signals import StopRequest, ignore_end_of_workers, stops_wait, time_limit
from datasets.clip_dataset import Clips
from datasets.epoch_sampler import EpochSampler
from datasets.shared_memory import SharedTensors, shared_bytes, uint8_memory
from datasets.view_dataset import SourceViews, ViewDataset

ANSWER_LIMIT = 540  # seconds to wait for a worker's batch; other processes of a run wait for a minute more


@dataclass(frozen=True)
class Batch(SharedTensors):
    """N samples."""

    clip: Tensor  # (N, T, L, H, W, 3) uint8 RGB
    label: Tensor  # (N,) int64, or (N, K) float32 with 1 for each label of a clip
    index: Tensor  # (N,) int64, in the list
    video_ids: list[str]  # N paths of the list
    replaced: list[str]  # files of frames that could not be read
    seconds: float  # summed over the samples, for reading them


def _read_batch(dataset: Clips, size: int, keys: Iterator[tuple[int, int]]) -> Batch:
    """Samples by their keys (epoch, index), read straight into the memory of the batch."""
    memory = uint8_memory((size, *dataset.clip_shape))
    samples = [dataset.read(*key, clip) for key, clip in zip(keys, memory, strict=True)]
    return Batch(
        memory,
        torch.stack([torch.as_tensor(sample.label) for sample in samples]),
        torch.tensor([sample.index for sample in samples]),
        [sample.video_id for sample in samples],
        [name for sample in samples for name in sample.replaced],
        sum(sample.seconds for sample in samples),
    )


@dataclass(frozen=True)
class _Batches(torch.utils.data.Dataset):
    """A dataset whose workers read whole batches."""

    dataset: Any
    latest: Tensor  # (workers, 2) int64, shared: process number of each worker, and the index that it read last

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Any:
        """A `Batch`, or what a dataset of views has for its one key.

        An `InputError` is returned as a value, because a worker would wrap a raised one in its traceback.
        """
        noted = self._noted(keys)
        try:
            if isinstance(self.dataset, Clips):
                return _read_batch(self.dataset, len(keys), noted)
            return self.dataset[next(noted)[1]]
        except InputError as error:
            return error

    def _noted(self, keys: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        worker = get_worker_info()
        for key in keys:
            if worker is not None:
                self.latest[worker.id] = torch.tensor((os.getpid(), key[1]))
            yield key

    def unanswered(self, worker: int) -> InputError:
        """The error for a worker that does not deliver its batch."""
        process, index = self.latest[worker].tolist()
        records = getattr(self.dataset, "records", None)  # generated clips have none
        name = self.dataset.spec.root_path / records[index % len(records)].path if records else f"clip {index}"
        return InputError(
            f"process {process}, a worker, has not answered for {ANSWER_LIMIT / 60:g} minutes; the last video that it "
            f"opened is {name}. Check whether the process was stopped or its disk does not answer; then run the same "
            "command again, train.py with --resume auto"
        )


def _unchanged(batch: Any) -> Any:
    return batch


class ClipLoader(DataLoader):
    """A DataLoader that raises a worker's `InputError` unchanged and does not comment on the number of workers."""

    dataset: Any  # `_Batches`
    sampler: Any  # an `EpochSampler`, whose `set_epoch` chooses the epoch

    def __init__(
        self,
        dataset: Clips | ViewDataset | SourceViews,
        sampler: EpochSampler | list[tuple[int, int]],
        workers: int,
        pin_memory: bool,
        **sizes: Any,
    ) -> None:
        if workers > 0:
            _require_sockets()
            atexit.unregister(_kill_workers)  # once per process, however many loaders there are
            atexit.register(_kill_workers)
        latest = shared_bytes(16 * max(workers, 1)).view(torch.int64).view(-1, 2)
        super().__init__(
            _Batches(dataset, latest),
            sampler=sampler,
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # the global one belongs to the training step
            **sizes,
        )
        has_limit = workers > 0 and not isinstance(dataset, SourceViews)  # reading a user's video may take hours
        self.answer_limit = ANSWER_LIMIT if has_limit else 0  # seconds to wait for a batch of a worker; 0: no limit

    def __iter__(self) -> Any:
        with stops_wait():
            batches = super().__iter__()  # starts the workers, by the method of `common.console.fork_workers`
        number = 0  # of the next batch

        def unanswered() -> InputError:
            return self.dataset.unanswered(number % self.num_workers)  # the workers take turns

        try:
            while True:
                with time_limit(self.answer_limit, unanswered):
                    batch = next(batches, None)
                if batch is None:
                    break
                if isinstance(batch, InputError):
                    try:
                        raise batch
                    finally:
                        del batch  # its traceback refers to this frame: the cycle would keep the workers alive
                yield batch
                number += 1
        except (ConnectionError, EOFError) as error:  # torch notices a dead worker only while it waits for a batch
            ignore_end_of_workers()  # otherwise its end may raise a second error, on top of this one
            raise RuntimeError(f"{WORKER_DIED} unknown) died while it handed over a batch") from error

    def check_worker_number_rationality(self) -> None:
        """Do not warn about more workers than cores: the user chose their number."""


def make_loader(
    dataset: Clips,
    *,
    batch_size: int,
    workers: int,  # processes; 0: read in this one
    shuffle: bool,  # use a new order in each epoch (`loader.sampler.set_epoch`)
    seed: int = 0,  # of the order
    drop_last: bool = False,  # drop an incomplete last batch, unless it is the only one
    rank: int = 0,  # of this process, out of `world_size`
    world_size: int = 1,  # processes that share the samples
    repeats: int = 1,  # clips per video in each epoch
    balanced: np.ndarray | None = None,  # labels of all videos, to draw equally many clips of every class
    pin_memory: bool = False,  # for faster copies to the GPU
) -> ClipLoader:
    """A loader of `Batch`es."""
    sampler = EpochSampler(len(dataset), seed, shuffle, rank, world_size, repeats, balanced)
    drop_last = drop_last and len(sampler) >= batch_size
    return ClipLoader(dataset, sampler, workers, pin_memory, batch_size=batch_size, drop_last=drop_last)


def make_view_loader(
    dataset: ViewDataset | SourceViews, *, workers: int, indices: Iterable[int] | None = None, pin_memory: bool = False
) -> ClipLoader:
    """A loader of `VideoViews`, one video at a time: those at `indices` of the list, or all in list order."""
    keys = [(0, index) for index in (range(len(dataset)) if indices is None else indices)]
    return ClipLoader(dataset, keys, workers, pin_memory, batch_size=1)


def _require_sockets() -> None:
    """Refuse a TMPDIR in which workers cannot open the sockets that pass batches on, such as one with a long path.

    In a worker the error would be lost, and the main process would wait forever.
    """
    try:
        Listener().close()
    except OSError as error:
        raise InputError(
            f"worker processes cannot use {tempfile.gettempdir()} ({error}); choose a short, writable path, such as "
            "TMPDIR=/tmp, or read without workers: -j 0"
        ) from error


def _kill_workers() -> None:
    """At exit, kill the workers before Python asks them to end with a signal that they ignore, and waits."""
    for process in active_children():
        if process.daemon:
            process.kill()


def _start_worker(_number: int) -> None:
    """Use one thread per worker; leave signals to the main process, which may need a few more batches."""
    torch.set_num_threads(1)
    for name in StopRequest.NAMES:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    sys.excepthook = _ignore_lost_connections


def _ignore_lost_connections(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An `excepthook` that hides the errors of a worker whose main process stopped while it received a batch."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
