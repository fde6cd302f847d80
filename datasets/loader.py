"""Batches of clips, read by worker processes that live as long as the loader."""

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Listener
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from common.console import stops_wait
from common.errors import InputError
from datasets.clip_dataset import Sample, VideoDataset
from datasets.shared_memory import Travelling, uint8_memory
from datasets.view_dataset import VideoViews, ViewDataset


@dataclass(frozen=True)
class Batch(Travelling):
    """N samples.

    Attributes:
        clip: (N, V, T, L, 3, H, W) uint8 RGB, the 3 colours of a pixel together in memory.
        label: (N,) int64.
        index: (N,) int64 places in the list.
        video_ids: N paths of the list.
        replaced: files of frames that could not be read.
        seconds: that reading these samples took, one after the other.
    """

    clip: Tensor
    label: Tensor
    index: Tensor
    video_ids: list[str]
    replaced: list[str]
    seconds: float

    def pin_memory(self) -> "Batch":
        """What the DataLoader calls to speed up the way to the GPU."""
        return replace(self, clip=self.clip.pin_memory(), label=self.label.pin_memory())


def collate(samples: Sequence[Sample], memory: Tensor) -> Batch:
    """Samples -> batch.

    Args:
        samples: N samples.
        memory: (N, V, T, L, H, W, 3), in which their clips lie.
    """
    return Batch(
        memory.permute(0, 1, 2, 3, 6, 4, 5),
        torch.tensor([sample.label for sample in samples]),
        torch.tensor([sample.index for sample in samples]),
        [sample.video_id for sample in samples],
        [name for sample in samples for name in sample.replaced],
        sum(sample.seconds for sample in samples),
    )


class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, index) of this process's share of the samples.

    Shuffled: the order depends on (seed, epoch), and every process has equally many, the tail of the shuffled order
    left out. In order: every sample is in exactly one share; shares may differ by one.
    """

    def __init__(self, num_samples: int, *, seed: int, shuffle: bool, rank: int = 0, world_size: int = 1) -> None:
        self.num_samples = num_samples
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass, from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        even = self.num_samples // self.world_size
        return even if self.shuffle else even + (self.rank < self.num_samples % self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = torch.arange(self.num_samples)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.num_samples, generator=generator)
        share = order[self.rank :: self.world_size][: len(self)]
        return iter([(self.epoch, index) for index in share.tolist()])


def _read_batch(dataset: VideoDataset, keys: Sequence[tuple[int, int]]) -> Batch:
    """A whole batch at once, so that its frames are written where they stay."""
    memory = uint8_memory((len(keys), *dataset.clip_shape))
    return collate([dataset.read(key, clip) for key, clip in zip(keys, memory, strict=True)], memory)


def _read_views(dataset: ViewDataset, keys: Sequence[tuple[int, int]]) -> VideoViews:
    """The views of one video."""
    ((_epoch, index),) = keys
    return dataset[index]


@dataclass(frozen=True)
class _Reading(torch.utils.data.Dataset):
    """What a worker does for one batch: `read(dataset, keys)`."""

    dataset: Any
    read: Callable[[Any, Sequence[tuple[int, int]]], Any]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Any:
        """What was read; or an `InputError` as a value: a worker would wrap it into its traceback's text."""
        try:
            return self.read(self.dataset, keys)
        except InputError as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch


class ClipLoader(DataLoader):
    """A DataLoader that raises an `InputError` of a worker as it was, and is silent about the number of workers."""

    def __iter__(self) -> Any:
        with stops_wait():
            batches = super().__iter__()  # starts the workers
        for batch in batches:
            if isinstance(batch, InputError):
                try:
                    raise batch
                finally:
                    del batch  # its traceback holds this frame: a circle, which would keep the workers for long
            yield batch

    def check_worker_number_rationality(self) -> None:
        """No long warning, twice, where there are more workers than cores: the user has chosen their number."""


def make_loader(
    dataset: VideoDataset,
    *,
    batch_size: int,
    workers: int,
    shuffle: bool,
    seed: int = 0,
    drop_last: bool = False,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> ClipLoader:
    """A loader of `Batch`es.

    Args:
        dataset: clips.
        batch_size: N.
        workers: processes; 0: read in this one.
        shuffle: a new order each epoch (`loader.sampler.set_epoch`).
        seed: of the order.
        drop_last: leave an incomplete last batch out, unless it is the only one.
        rank: number of this process, of `world_size`.
        world_size: processes that share the samples.
        pin_memory: for a faster way to the GPU.
    """
    sampler = EpochSampler(len(dataset), seed=seed, shuffle=shuffle, rank=rank, world_size=world_size)
    return _start_loader(
        _Reading(dataset, _read_batch), sampler, workers, pin_memory,
        batch_size=batch_size, drop_last=drop_last and len(sampler) >= batch_size,
    )  # fmt: skip


def make_view_loader(dataset: ViewDataset, *, workers: int, first: int = 0, pin_memory: bool = False) -> ClipLoader:
    """A loader of `VideoViews`, one video at a time, in list order.

    Args:
        dataset: videos.
        first: place in the list to begin at.
        workers: processes; 0: read in this one.
        pin_memory: for a faster way to the GPU.
    """
    places = [(0, index) for index in range(first, len(dataset))]
    return _start_loader(_Reading(dataset, _read_views), places, workers, pin_memory, batch_size=1)


def _start_loader(
    reading: _Reading, sampler: EpochSampler | list[tuple[int, int]], workers: int, pin_memory: bool, **batches: Any
) -> ClipLoader:
    if workers > 0:
        _require_sockets()
    return ClipLoader(
        reading,
        sampler=sampler,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # its own: the global one belongs to the training step
        **batches,
    )


def _require_sockets() -> None:
    """Make sure that workers can hand their batches over: by sockets under TMPDIR, whose paths must be short.

    Raises:
        InputError: they cannot. In a worker the error would be lost, and the main process would wait for ever.
    """
    try:
        Listener().close()
    except OSError as error:
        raise InputError(
            f"processes that read clips cannot use {tempfile.gettempdir()} ({error}); choose a short path that can be "
            "written, such as TMPDIR=/tmp, or read without them: -j 0"
        ) from error


def _start_worker(_number: int) -> None:
    """One thread a worker; Ctrl-C is the main process's affair."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.excepthook = _quiet_about_a_gone_parent


def _quiet_about_a_gone_parent(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An `excepthook`: the main process may be stopped in the middle of taking a batch over; that is no fault."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
