"""Slots of shared memory: reused as soon as nothing refers to them, and not before."""

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
    """From a worker: `pixels` (5, 3, 4), all of them `number`, in one of its slots or in new memory."""

    pixels: Tensor
    label: Tensor
    number: int
    in_a_slot: bool


class Maker(Dataset):
    """A new `Made` for each number; sizes differ where `growing`."""

    def __init__(self, *, growing: bool = False) -> None:
        self.growing = growing

    def __getitem__(self, number: int) -> Made:
        memory = uint8_memory((3, 4, 5 * (number + 1) if self.growing else 5)).fill_(number)
        return Made(memory.permute(2, 0, 1), torch.tensor([number]), number, _in_a_slot(memory))


def made(count: int, workers: int = 1, **settings: Any) -> Iterator[Made]:
    return iter(DataLoader(Maker(**settings), None, sampler=range(count), num_workers=workers))


def is_whole(one: Made) -> bool:
    return bool((one.pixels == one.number).all())


def test_slots_are_reused() -> None:
    for one in made(40):
        assert is_whole(one)
        assert one.pixels.stride() == (1, 20, 5)
        assert one.in_a_slot
    assert one.number == 39


def test_small_tensors_take_no_shared_memory() -> None:
    for one in made(3):
        assert one.label.tolist() == [one.number]
        assert not one.label.is_shared()


def test_kept_batches_do_not_change() -> None:
    """Four times as many as there are slots; also views, after the whole was dropped."""
    kept = list(made(4 * MAX_SLOTS))
    assert all(is_whole(one) for one in kept)
    assert sum(one.in_a_slot for one in kept) == MAX_SLOTS
    views = [one.pixels[1:, 2:, ::2] for one in made(4 * MAX_SLOTS)]
    assert all(bool((view == number).all()) for number, view in enumerate(views))


def test_larger_memory_replaces_smaller() -> None:
    assert all(is_whole(one) and one.in_a_slot for one in made(30, growing=True))


def test_larger_memory_replaces_smaller_after_a_kept_one() -> None:
    loader = made(30, growing=True)
    first = next(loader)
    assert all(is_whole(one) and one.in_a_slot for one in loader)
    assert is_whole(first)


def test_slots_of_unused_batches_are_free_again() -> None:
    """A loop that ends early, with persistent workers."""
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
    """A batch that came within `inference_mode` and is dropped outside frees its slot without a warning."""
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


def test_no_shared_memory_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("No space left on device (28)")

    monkeypatch.setattr(shared_memory, "get_worker_info", object)
    monkeypatch.setattr(torch.UntypedStorage, "_new_shared", full)
    with pytest.raises(InputError, match=r"no room for 3 MiB.*No space left.*-j.*--shm-size"):
        uint8_memory((3, 1024, 1024))
