"""Batches of clips, read by worker processes that live as long as their loader."""

import atexit
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from multiprocessing import active_children
from multiprocessing.connection import Listener
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from common.console import WORKER_DIED, StopRequest, stops_wait
from common.errors import InputError
from datasets.clip_dataset import Clips
from datasets.epoch_sampler import EpochSampler
from datasets.shared_memory import SharedTensors, uint8_memory
from datasets.source_views import SourceViews
from datasets.view_dataset import VideoViews, ViewDataset


@dataclass(frozen=True)
class Batch(SharedTensors):
    """N samples."""

    clip: Tensor  # (N, T, L, H, W, 3) uint8 RGB
    label: Tensor  # (N,) int64
    index: Tensor  # (N,) int64, in the list
    video_ids: list[str]  # N paths of the list
    replaced: list[str]  # files of frames that could not be read
    seconds: float  # summed over the samples, for reading them

    def pin_memory(self) -> "Batch":
        """Called by the DataLoader, for faster copies to the GPU."""
        return replace(self, clip=self.clip.pin_memory(), label=self.label.pin_memory())


def _read_batch(dataset: Clips, keys: Sequence[tuple[int, int]]) -> Batch:
    """Samples by their keys (epoch, index), read straight into the memory of the batch."""
    memory = uint8_memory((len(keys), *dataset.clip_shape))
    samples = [dataset.read(*key, clip) for key, clip in zip(keys, memory, strict=True)]
    return Batch(
        memory,
        torch.tensor([sample.label for sample in samples]),
        torch.tensor([sample.index for sample in samples]),
        [sample.video_id for sample in samples],
        [name for sample in samples for name in sample.replaced],
        sum(sample.seconds for sample in samples),
    )


def _read_views(dataset: ViewDataset | SourceViews, keys: Sequence[tuple[int, int]]) -> VideoViews | str:
    """The views of one video; for `SourceViews` perhaps why there are none."""
    ((_epoch, index),) = keys
    return dataset[index]


@dataclass(frozen=True)
class _Batches(torch.utils.data.Dataset):
    """A dataset whose workers read whole batches."""

    dataset: Any
    read: Callable[[Any, Sequence[tuple[int, int]]], Any]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Any:
        """The batch; or an `InputError` as a value, because a worker would wrap a raised one in its traceback."""
        try:
            return self.read(self.dataset, keys)
        except InputError as error:
            return error


def _unchanged(batch: Any) -> Any:
    return batch


class ClipLoader(DataLoader):
    """A DataLoader that raises a worker's `InputError` unchanged and does not comment on the number of workers."""

    sampler: Any  # an `EpochSampler`, whose `set_epoch` chooses the epoch

    def __iter__(self) -> Any:
        with stops_wait():
            batches = super().__iter__()  # starts the workers
        try:
            for batch in batches:
                if isinstance(batch, InputError):
                    try:
                        raise batch
                    finally:
                        del batch  # its traceback refers to this frame: the cycle would keep the workers alive
                yield batch
        except (ConnectionError, EOFError) as error:  # torch notices a dead worker only while it waits for a batch
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
    repeats: int = 1,  # clips of each video in an epoch
    balanced: Sequence[int] | None = None,  # labels of all videos, to draw equally many clips of every class
    pin_memory: bool = False,  # for faster copies to the GPU
) -> ClipLoader:
    """A loader of `Batch`es."""
    sampler = EpochSampler(len(dataset), seed, shuffle, rank, world_size, repeats, balanced)
    return _start_loader(
        _Batches(dataset, _read_batch), sampler, workers, pin_memory,
        batch_size=batch_size, drop_last=drop_last and len(sampler) >= batch_size,
    )  # fmt: skip


def make_view_loader(
    dataset: ViewDataset | SourceViews, *, workers: int, indices: Iterable[int] | None = None, pin_memory: bool = False
) -> ClipLoader:
    """A loader of `VideoViews`, one video at a time: those at `indices` of the list, or all in list order."""
    keys = [(0, index) for index in (range(len(dataset)) if indices is None else indices)]
    return _start_loader(_Batches(dataset, _read_views), keys, workers, pin_memory, batch_size=1)


def _start_loader(
    batches: _Batches, sampler: EpochSampler | list[tuple[int, int]], workers: int, pin_memory: bool, **sizes: Any
) -> ClipLoader:
    if workers > 0:
        _require_sockets()
        atexit.unregister(_kill_workers)
        atexit.register(_kill_workers)
    return ClipLoader(
        batches,
        sampler=sampler,
        num_workers=workers,
        collate_fn=_unchanged,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # the global one belongs to the training step
        **sizes,
    )


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
    """At exit, before Python asks them to end by a signal that they ignore, and waits."""
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
