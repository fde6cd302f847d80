"""Slots of shared memory: used again when nobody looks at them, and only then."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from common.errors import InputError
from datasets import shared_memory
from datasets.shared_memory import MAX_SLOTS, SharedTensors, _in_a_slot, uint8_memory


@dataclass(frozen=True)
class Made(SharedTensors):
    """What a worker made: `pixels` (5, 3, 4), all of them `number`, in one of its slots or in memory for once."""

    pixels: Tensor
    number: int
    in_a_slot: bool


class Maker(Dataset):
    """A new `Made` for each number; sizes differ where `growing`."""

    def __init__(self, *, growing: bool = False) -> None:
        self.growing = growing

    def __getitem__(self, number: int) -> Made:
        memory = uint8_memory((3, 4, 5 * (number + 1) if self.growing else 5)).fill_(number)
        return Made(memory.permute(2, 0, 1), number, _in_a_slot(memory))


def made(count: int, workers: int = 1, **settings: Any) -> Iterator[Made]:
    return iter(DataLoader(Maker(**settings), None, sampler=range(count), num_workers=workers))


def is_whole(one: Made) -> bool:
    return bool((one.pixels == one.number).all())


def test_slots_are_used_again() -> None:
    for one in made(40):
        assert is_whole(one)
        assert one.pixels.stride() == (1, 20, 5)
        assert one.in_a_slot
    assert one.number == 39


def test_what_is_kept_stays_as_it_is() -> None:
    """Four times as much as there are slots; the same of views, when the whole was dropped."""
    kept = list(made(4 * MAX_SLOTS))
    assert all(is_whole(one) for one in kept)
    assert sum(one.in_a_slot for one in kept) == MAX_SLOTS
    views = [one.pixels[1:, 2:, ::2] for one in made(4 * MAX_SLOTS)]
    assert all(bool((view == number).all()) for number, view in enumerate(views))


def test_larger_memory_takes_the_place_of_smaller() -> None:
    assert all(is_whole(one) and one.in_a_slot for one in made(30, growing=True))


def test_larger_memory_takes_the_place_of_smaller_behind_one_that_is_kept() -> None:
    loader = made(30, growing=True)
    first = next(loader)
    assert all(is_whole(one) and one.in_a_slot for one in loader)
    assert is_whole(first)


def test_slots_of_batches_that_nobody_took_are_free_again() -> None:
    """A loop that is left early, with workers that live on."""
    loader = DataLoader(Maker(), None, sampler=range(30), num_workers=1, persistent_workers=True)
    for _ in range(2 * MAX_SLOTS):
        for one in loader:
            assert is_whole(one)
            break
    assert all(one.in_a_slot for one in loader)


def test_memory_outlives_its_worker() -> None:
    loader = made(1)
    one = next(loader)
    del loader
    assert is_whole(one)


def test_dropped_outside_inference_mode() -> None:
    """A batch that came within `inference_mode` and is dropped outside gives its slot back without a word."""
    with torch.inference_mode():
        loader = made(30)
        last = [next(loader) for _ in range(3)][-1]
    del last
    assert all(one.in_a_slot for one in loader)


@pytest.mark.parametrize("strategy", sorted(torch.multiprocessing.get_all_sharing_strategies()))
def test_with_each_sharing_strategy(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy(strategy)
    try:
        assert all(is_whole(one) and one.in_a_slot for one in made(30, workers=2))
    finally:
        torch.multiprocessing.set_sharing_strategy(before)


def test_no_room_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("No space left on device (28)")

    monkeypatch.setattr(shared_memory, "get_worker_info", object)
    monkeypatch.setattr(torch.UntypedStorage, "_new_shared", full)
    with pytest.raises(InputError, match=r"no room for 3 MiB.*No space left.*-j.*--shm-size"):
        uint8_memory((3, 1024, 1024))
