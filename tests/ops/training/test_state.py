"""Odd values in a checkpoint: an error message, no traceback, and no step from nonsense."""

import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_net import TinyNet, random_clips

from common.errors import InputError
from ops.optimiser import make_optimiser, make_step, parameter_groups
from ops.runtime import Runtime
from ops.training.progress import Position, Progress, Sums
from ops.training.state import TrainState
from ops.weights.checkpoint import TrainedOn
from ops.weights.file import read_checkpoint, save_checkpoint

CPU = Runtime(torch.device("cpu"))
ODD = [
    None,
    True,
    -1,
    10**30,
    0.5,
    float("nan"),
    "x",
    [],
    [1],
    {},
    {"a": None},
    {1: "x"},
    torch.zeros(2),
    torch.ones(6),
]


def make(optimizer: str, amp: bool = False) -> TrainState:
    torch.manual_seed(0)
    model = TinyNet()
    optimiser = make_optimiser(optimizer, parameter_groups(model, 0.1, 0.1), 0.1, 0.9)
    made_for = TrainedOn("Tiny", "none", 4, "mine", ["a", "b", "c"], 16, "none", "0", "0")
    scaler = torch.amp.GradScaler("cpu", enabled=amp)
    return TrainState(model, optimiser, scaler, made_for, {"options": {"lr": 0.1}, "environment": {"threads": 1}})


def step(state: TrainState) -> None:
    state.scaler.scale(state.model(random_clips()).square().mean()).backward()
    make_step(state.model.parameters(), state.optimiser, state.scaler, None, "here")
    state.scaler.update()


def at_random(content: Any, rng: random.Random) -> Any:
    """A copy with one value, at any depth, replaced."""
    if not isinstance(content, (dict, list)) or not content or rng.random() < 0.15:
        return rng.choice(ODD)
    keys = list(content) if isinstance(content, dict) else range(len(content))
    copy, key = content.copy(), rng.choice(keys)
    if isinstance(copy, dict) and rng.random() < 0.1:
        del copy[key]
    else:
        copy[key] = at_random(copy[key], rng)
    return copy


@pytest.mark.parametrize(("optimizer", "amp"), [("sgd", False), ("adamw", True)])
def test_odd_values_in_a_checkpoint(tmp_path: Path, optimizer: str, amp: bool) -> None:
    state, path, rng = make(optimizer, amp), tmp_path / "ckpt.pth.tar", random.Random(0)
    step(state)
    state.figures = {"val/top1": 1.0}
    state.epoch = 3
    state.position = Position(
        8, 0.5, [Progress(Sums(1.0, 2, 3, 4, replaced=["a"]), Sums(), 0.5, {}, [torch.get_rng_state()])]
    )
    state.save(tmp_path, best=False)
    content = read_checkpoint(path)
    refused = 0
    for _ in range(200):
        changed = at_random({**content, "optimizer": content["optimizer"]}, rng)
        if not isinstance(changed, dict):
            continue
        save_checkpoint(path, changed)
        resumed = make(optimizer, amp)
        try:
            resumed.resume(path)
            step(resumed)
            resumed.epoch += 1
            if resumed.position is not None:
                CPU.set_random_state(resumed.position.own(CPU).random)
            resumed.save(tmp_path, best=True)
        except InputError:
            refused += 1
    assert 60 < refused < 200


NAMES = [f"ckpt{middle}.pth.tar" for middle in ("", ".previous", ".best")]


@pytest.mark.parametrize(("damaged", "epoch"), [(0, 3), (1, 2), (2, 1), (3, None)])
def test_damaged_checkpoints_are_skipped(tmp_path: Path, damaged: int, epoch: int | None, caplog) -> None:
    state = make("sgd")
    for number, best in ((1, True), (2, False), (3, False)):
        step(state)
        state.figures = {"val/top1": float(number)}
        state.epoch = number
        state.save(tmp_path, best=best)
    paths = [tmp_path / name for name in NAMES]
    for path in paths[:damaged]:
        path.write_bytes(path.read_bytes()[:-100])
    resumed = make("sgd")
    if epoch is None:
        with pytest.raises(InputError, match=r"ckpt\.best\.pth\.tar is not a checkpoint.*damaged"):
            resumed.resume_newest(paths, CPU)
        return
    resumed.resume_newest(paths, CPU)
    assert (resumed.epoch, resumed.figures) == (epoch, {"val/top1": float(epoch)})
    assert bool(resumed.optimiser.state) == (epoch > 1)  # the best one has none
    assert [f"{path.name}.damaged" in caplog.text for path in paths] == [True] * damaged + [False] * (3 - damaged)
    assert [path.exists() for path in paths] == [False] * damaged + [True] * (3 - damaged)
    resumed.save(tmp_path, best=False)
    for path in paths[damaged:]:  # none that is whole was replaced by a damaged one
        read_checkpoint(path)


def test_the_best_epochs_are_kept_and_the_earlier_of_equal_ones(tmp_path: Path) -> None:
    state, kept = make("sgd"), []
    state.keep_best = 2
    (tmp_path / ".ckpt.epoch_3.pth.tar.17.tmp").touch()
    for epoch, accuracy in enumerate((10.0, 20.0, 5.0, 10.0, 15.0)):
        kept.append(state.rank_epoch(accuracy))
        state.epoch = epoch + 1
        state.save(tmp_path, best=False, keep=kept[-1])
    assert kept == [True, True, False, False, True]
    assert state.best_epochs == {2: 20.0, 5: 15.0}
    epochs = {f"ckpt.epoch_{epoch}.pth.tar" for epoch in (2, 5)}
    assert {path.name for path in tmp_path.iterdir()} == {*NAMES[:2], *epochs}
    assert not make("sgd").rank_epoch(50.0)


def test_processes_that_read_different_bytes_resume_from_the_same_checkpoint(tmp_path: Path) -> None:
    class OtherIsDamaged(Runtime):
        def gather(self, value):
            faults.append(value)
            return [value, "x is damaged" if len(faults) == 1 else None]

    state, faults = make("sgd"), []
    for number in (1, 2):
        state.epoch = number
        state.save(tmp_path, best=False)
    state.resume_newest([tmp_path / name for name in NAMES[:2]], OtherIsDamaged(torch.device("cpu")))
    assert (state.epoch, faults) == (1, [None, None])


def test_a_wrong_flag_is_no_damage(tmp_path: Path) -> None:
    state = make("adamw")
    step(state)
    for number in (1, 2):
        state.epoch = number
        state.save(tmp_path, best=False)
    with pytest.raises(InputError, match="same --optimizer"):
        make("sgd").resume_newest([tmp_path / name for name in NAMES[:2]], CPU)
    assert (tmp_path / NAMES[0]).exists()


def test_another_number_of_processes_takes_over_the_sums() -> None:
    def progress(loss: float) -> Progress:
        return Progress(
            Sums(loss, 1, 2, 3, replaced=["a"]), Sums(loss), 0.5, {"batches": loss}, [torch.get_rng_state()]
        )

    position = Position(12, 0.5, [progress(1.0), progress(2.0)])
    assert position.own(Runtime(CPU.device, rank=1, world_size=2)).sums.loss == 2.0
    alone = position.own(CPU)
    assert (alone.sums, alone.point, alone.random) == (Sums(3.0, 2, 4, 6, replaced=["a", "a"]), Sums(1.0), [])
    assert position.own(Runtime(CPU.device, rank=2, world_size=3)) == Progress()


def test_a_step_that_fp16_skipped_does_not_spoil_the_checkpoint() -> None:
    """Its gradient overflowed, so the norm in the position is infinite."""
    own = Progress(Sums(1.0, 1, 2, 3), Sums(), float("inf"), {}, [torch.get_rng_state()])
    stored = asdict(Position(3, 0.5, [own]))
    assert Position.of(stored).processes[0].gradient_norm == float("inf")
    stored["processes"][0]["gradient_norm"] = "inf"
    with pytest.raises(ValueError, match="gradient_norm"):
        Position.of(stored)
