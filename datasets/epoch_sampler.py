"""The order of clips in an epoch, divided among processes: shuffled, balanced over classes, or as listed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

_AT_ONCE = 4096  # keys that are made at a time: an epoch may have millions


@dataclass(eq=False)
class EpochSampler(Sampler[tuple[int, int]]):
    """(epoch, index) of this process's share of the clips.

    Shuffled, the order depends on (seed, epoch), and all processes get equally many clips; the tail of the shuffled
    order is left out. In list order, every video is in exactly one share; shares may differ by one. An epoch that
    continues after its first `done` clips shares the rest.

    If a video is repeated in an epoch, its index is raised by `num_videos` each time, so that it gives another clip.
    """

    num_videos: int
    seed: int
    shuffle: bool
    rank: int = 0  # of this process, out of `world_size`
    world_size: int = 1
    repeats: int = 1  # shuffled: clips of each video, next to each other in the order
    balanced: np.ndarray | None = None  # shuffled: labels (M,) of the videos; every class gets equally many clips
    epoch: int = 0
    done: int = 0

    @property
    def num_clips(self) -> int:
        """Clips of an epoch, over all processes."""
        return self.num_videos * self.repeats

    def set_epoch(self, epoch: int, done: int = 0) -> None:
        """Choose the epoch of the next pass, from 0, and how many clips of its order to skip."""
        self.epoch, self.done = epoch, done

    def __len__(self) -> int:
        even, more = divmod(self.num_clips - self.done, self.world_size)
        return even if self.shuffle else even + (self.rank < more)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = torch.arange(self.num_videos)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            if self.balanced is None:
                order = torch.randperm(self.num_videos, generator=generator)
            else:
                order = balanced_order(torch.as_tensor(self.balanced), generator)
            if self.balanced is not None or self.repeats > 1:
                order = order.repeat_interleave(self.repeats)
                order = order + self.num_videos * occurrences(order)
        epoch, share = self.epoch, order[self.done + self.rank :: self.world_size][: len(self)]
        for part in share.split(_AT_ONCE):
            yield from ((epoch, index) for index in part.tolist())


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """(M,) positions in labels (M,), in random order, with equally many of each class to within one.

    Positions of a small class are repeated, equally often to within one; some of a large class are left out.
    """
    classes, counts = labels.unique(return_counts=True)
    shares = torch.full_like(counts, len(labels) // len(classes))
    shares[torch.randperm(len(classes), generator=generator)[: len(labels) % len(classes)]] += 1
    chosen = []
    for members, share in zip(labels.argsort(stable=True).split(counts.tolist()), shares.tolist(), strict=True):
        rounds = -(-share // len(members))
        chosen += [members[torch.randperm(len(members), generator=generator)] for _ in range(rounds)]
        chosen[-1] = chosen[-1][: share - (rounds - 1) * len(members)]
    return torch.cat(chosen)[torch.randperm(len(labels), generator=generator)]


def occurrences(order: Tensor) -> Tensor:
    """How often each value of order (M,) has come before it: (M,)."""
    ordered, places = order.sort(stable=True)
    before = torch.arange(len(order)) - torch.searchsorted(ordered, ordered)
    return torch.empty_like(order).scatter(0, places, before)
