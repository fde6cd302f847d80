"""The order of an epoch's clips: repeated, and balanced over classes."""

from collections import Counter

import pytest
import torch

from datasets.epoch_sampler import EpochSampler, balanced_order, occurrences

LABELS = [0] * 70 + [1] * 20 + [3] * 7 + [7]  # four classes of 98 videos: 24 or 25 clips each


def clips(epoch: int = 0, world_size: int = 1, done: int = 0, seed: int = 0, **options) -> list[list[int]]:
    """The indices that each process reads."""
    shares = []
    for rank in range(world_size):
        sampler = EpochSampler(len(LABELS), seed, True, rank, world_size, **options)
        sampler.set_epoch(epoch, done)
        keys = list(sampler)
        assert len(keys) == len(sampler)
        assert {key[0] for key in keys} <= {epoch}
        shares.append([index for _, index in keys])
    return shares


def test_the_plain_order_is_one_permutation() -> None:
    generator = torch.Generator().manual_seed(3 * 1_000_003 + 2)
    assert clips(epoch=2, seed=3) == [torch.randperm(len(LABELS), generator=generator).tolist()]


def test_every_class_gets_equally_many_clips() -> None:
    for epoch in range(3):
        [order] = clips(epoch, balanced=LABELS)
        assert sorted(Counter(LABELS[index % 98] for index in order).values()) == [24, 24, 25, 25]
        videos = Counter(index % 98 for index in order)
        for label in (0, 1, 3, 7):
            times = {videos[video] for video in range(98) if LABELS[video] == label}
            assert max(times) - min(times) <= 1
        assert len(set(order)) == len(order) == 98  # a video that comes again gives another clip


def test_the_balanced_order_depends_on_seed_and_epoch_alone() -> None:
    first = clips(balanced=LABELS)
    torch.rand(5)
    assert clips(balanced=LABELS) == first
    assert first not in (clips(epoch=1, balanced=LABELS), clips(seed=1, balanced=LABELS))
    used = {index % 98 for epoch in range(40) for index in clips(epoch, balanced=LABELS)[0]}
    assert len(used) == 98  # the large class is not cut to the same videos every time


@pytest.mark.parametrize("options", [{"balanced": LABELS}, {"repeats": 3}, {"balanced": LABELS, "repeats": 2}])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_one_order_and_an_epoch_goes_on(options: dict, world_size: int) -> None:
    [order] = clips(epoch=4, **options)
    shares = clips(epoch=4, world_size=world_size, **options)
    assert len({len(share) for share in shares}) == 1
    together = [index for group in zip(*shares, strict=True) for index in group]
    assert together == order[: len(together)]
    assert len(together) > len(order) - world_size
    assert clips(epoch=4, done=40, **options) == [order[40:]]


def test_repeats_follow_one_another_and_are_other_clips() -> None:
    [order] = clips(repeats=3)
    assert len(order) == 3 * 98
    assert sorted(order) == list(range(3 * 98))
    for first in range(0, len(order), 3):
        assert len({index % 98 for index in order[first : first + 3]}) == 1
    assert [order[i] for i in range(0, len(order), 3)] == clips()[0]


def test_small_orders() -> None:
    generator = torch.Generator().manual_seed(0)
    assert balanced_order(torch.tensor([5]), generator).tolist() == [0]
    assert sorted(balanced_order(torch.tensor([2, 0]), generator).tolist()) == [0, 1]
    assert occurrences(torch.tensor([4, 1, 4, 4, 1, 0])).tolist() == [0, 0, 1, 2, 1, 0]
