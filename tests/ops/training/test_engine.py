"""A step, an epoch and an evaluation, on a network small enough to check by hand."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_net import TinyNet, random_clips
from torch import nn

from common.errors import InputError
from ops.mixing.mixer import Mixer, mix_method
from ops.mixing.svmix import SvMixSettings
from ops.optimiser import make_optimiser, parameter_groups
from ops.runtime import Runtime
from ops.training.class_weights import weighted_cross_entropy
from ops.training.engine import TrainSettings, evaluate, train_one_epoch
from ops.training.progress import Sums, over_processes

CPU = Runtime(torch.device("cpu"))
NO_SCALER = torch.amp.GradScaler("cpu", enabled=False)


class Linear(nn.Module):
    """Scores from the mean colour of a clip."""

    frozen: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(3, 4)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return self.fc(clip.float().mean((1, 2, 4, 5)) / 255)


def batches(size: int, videos: int = 8) -> list[SimpleNamespace]:
    torch.manual_seed(1)
    clips = torch.randint(0, 256, (videos, 2, 1, 4, 4, 3), dtype=torch.uint8)
    labels = torch.arange(videos) % 4
    return [
        SimpleNamespace(
            clip=clips[i : i + size], label=labels[i : i + size], index=torch.arange(videos)[i : i + size],
            video_ids=[f"v{k}" for k in range(i, min(i + size, videos))], replaced=[f"frame {i}"], seconds=0.25,
        )
        for i in range(0, videos, size)
    ]  # fmt: skip


def train(size: int, *, lr: float = 0.5, videos: int = 8, log_step=None, **settings) -> tuple[Linear, Sums]:
    model = Linear()
    groups = [{"params": list(model.parameters()), "lr_mult": 1.0, "lr": lr}]
    optimiser = torch.optim.SGD(groups, lr=lr)
    options = {"epoch": 0, "lr_at": lambda _epoch: lr, "log_step": log_step}
    sums = train_one_epoch(
        model, batches(size, videos), optimiser, NO_SCALER, CPU, TrainSettings(**settings), **options
    )
    return model, sums


@pytest.mark.parametrize("videos", [8, 6])
def test_accumulated_batches_make_the_step_of_one_large_batch(videos: int) -> None:
    """With 6 videos the last step has one batch instead of two, and averages over that."""
    small, _ = train(2, videos=videos, accumulate=2)
    large, _ = train(4, videos=videos)
    assert torch.allclose(small.fc.weight, large.fc.weight, atol=1e-7)


def test_the_gradient_is_clipped() -> None:
    start = Linear().fc
    moved = [train(8, lr=1.0, clip_gradient=limit)[0].fc for limit in (1e-3, 1e9)]
    norms = [((m.weight - start.weight).square().sum() + (m.bias - start.bias).square().sum()).sqrt() for m in moved]
    assert norms[0].item() == pytest.approx(1e-3, rel=1e-3)
    assert norms[1].item() > 1e-2


@pytest.mark.parametrize(("accumulate", "norms"), [(1, [True] * 3), (4, [False, True, True])])
def test_points_are_logged_every_few_steps_and_after_the_last_one(accumulate: int, norms: list[bool]) -> None:
    """Of 8 batches, after 3, 6 and 8; with its gradient's norm once there is one, before clipping."""
    points = []

    def log_step(epoch: float, figures: dict[str, float]) -> None:
        points.append((epoch, figures["step/lr"], figures.get("step/gradient_norm", 0.0) > 1e-3))

    train(1, lr=0.5, print_freq=3, clip_gradient=1e-9, accumulate=accumulate, log_step=log_step)
    assert points == [(3 / 8, 0.5, norms[0]), (6 / 8, 0.5, norms[1]), (1.0, 0.5, norms[2])]


def test_label_smoothing_changes_the_loss() -> None:
    assert train(8)[1].loss != train(8, label_smoothing=0.5)[1].loss


def mean_square(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A custom loss, for labels (N,) and for targets (N, K) of mixed clips."""
    target = F.one_hot(target, logits.shape[1]) if target.ndim == 1 else target
    return (logits - target).square().mean()


def test_another_loss_trains_and_validates() -> None:
    [batch] = batches(8)
    expected = Linear()
    loss = mean_square(expected(batch.clip.movedim(-1, -3)), batch.label)
    loss.backward()
    model, sums = train(8, loss=mean_square)
    assert torch.allclose(model.fc.weight, expected.fc.weight - 0.5 * expected.fc.weight.grad, atol=1e-7)
    assert sums.averages()["loss"] == pytest.approx(loss.item(), rel=1e-6)
    val = evaluate(Linear(), batches(3), CPU, TrainSettings(loss=mean_square), title="val")
    assert val.averages()["loss"] == pytest.approx(loss.item(), rel=1e-6)


def test_a_loss_of_training_alone_does_not_validate() -> None:
    weighted = partial(weighted_cross_entropy, weights=torch.tensor([9.0, 1.0, 1.0, 1.0]))
    assert train(8, train_loss=weighted)[1].loss != train(8)[1].loss
    once, twice = (train(size, train_loss=weighted, accumulate=8 // size)[0].fc.weight for size in (8, 4))
    assert torch.allclose(once, twice, atol=1e-6)
    settings = TrainSettings(train_loss=weighted, label_smoothing=0.1)
    logits, label = torch.randn(3, 4), torch.tensor([0, 1, 0])
    assert settings.training_loss(logits, label) == weighted(logits, label, label_smoothing=0.1)
    assert settings.loss(logits, label) == F.cross_entropy(logits, label)


@pytest.mark.parametrize("mix", ["mixup", "svmix"])
def test_another_loss_gets_the_targets_of_mixed_clips(mix: str) -> None:
    """Once for the network's batch; in SV-Mix also for the selector's, before it."""
    torch.manual_seed(0)
    model, targets = TinyNet(), []

    def loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        targets.append(target)
        return mean_square(logits, target)

    mixer = Mixer(mix_method(mix, model, 16, CPU, SvMixSettings()))
    batch = SimpleNamespace(
        clip=random_clips().movedim(-3, -1),
        label=torch.tensor([0, 1, 2, 1]),
        video_ids=list("abcd"),
        replaced=[],
        seconds=0.0,
    )
    optimiser, scaler = make_optimiser("sgd", parameter_groups(model, 0.1, 0.0), 0.1, 0.9), NO_SCALER
    settings = TrainSettings(loss=loss)
    train_one_epoch(model, [batch], optimiser, scaler, CPU, settings, epoch=0, lr_at=lambda _: 0.1, mixer=mixer)
    assert len(targets) == (2 if mix == "svmix" else 1)
    assert all(torch.allclose(target.sum(1), torch.ones(4)) and target.shape == (4, 3) for target in targets)


def test_without_mixing_svmix_leaves_its_selector_and_its_teacher_follows() -> None:
    torch.manual_seed(0)
    model = TinyNet()
    method = mix_method("svmix", model, 16, CPU, SvMixSettings(teacher_decay=0.5))
    mixer = Mixer(method, epochs=1)
    batch = SimpleNamespace(
        clip=random_clips().movedim(-3, -1), label=torch.tensor([0, 1, 2, 1]), video_ids=list("abcd"), replaced=[],
        seconds=0.0,
    )  # fmt: skip
    optimiser = make_optimiser("sgd", parameter_groups(model, 0.1, 0.0), 0.1, 0.9)
    selectors, teachers = [], []
    for epoch in (0, 1):
        train_one_epoch(
            model, [batch], optimiser, NO_SCALER, CPU, TrainSettings(), epoch=epoch, lr_at=lambda _: 0.1, mixer=mixer
        )
        selectors.append(method.selector.query.weight.detach().clone())
        teachers.append(method.teacher.fc.weight.detach().clone())
        assert bool(method.figures()) == (epoch == 0)
    assert torch.equal(*selectors)
    assert not torch.equal(*teachers)


def test_sums_are_divided_once() -> None:
    """Batches of 5 and 3: the mean is over the 8 videos, not over the two batches."""
    model = Linear()
    uneven = evaluate(model, batches(5), CPU, TrainSettings(), title="val").averages()
    whole = evaluate(model, batches(8), CPU, TrainSettings(), title="val").averages()
    assert uneven == pytest.approx(whole, rel=1e-6)
    assert whole["top5"] == 100.0  # 4 classes


def test_an_evaluation_counts_confusions() -> None:
    [batch] = batches(8)
    model = Linear()
    best = model(batch.clip.movedim(-1, -3)).argmax(1)
    expected = np.zeros((4, 4), int)
    for label, predicted in zip(batch.label, best, strict=True):
        expected[label, predicted] += 1
    found = evaluate(model, batches(3), CPU, TrainSettings(), title="val").confusion
    assert np.array_equal(found, expected)


def test_an_evaluation_has_the_mean_of_the_accuracies_of_its_classes() -> None:
    """Classes without videos do not count; training has no such figure."""
    matrix = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [0, 2, 2, 0], [0, 0, 0, 1]])
    sums = Sums(videos=9, top1=6, confusion=matrix)
    assert sums.averages()["mean_class"] == pytest.approx(100 * (3 / 4 + 2 / 4 + 1) / 3)
    val = evaluate(Linear(), batches(3), CPU, TrainSettings(), title="val").averages()
    assert val["mean_class"] == pytest.approx(val["top1"])  # two videos of every class
    assert "mean_class" not in train(4)[1].averages()


def test_replaced_frames_are_collected() -> None:
    assert train(4)[1].replaced == ["frame 0", "frame 4"]
    assert evaluate(Linear(), batches(4), CPU, TrainSettings(), title="val").replaced == ["frame 0", "frame 4"]


def test_validation_is_exact_for_any_number_of_processes() -> None:
    """Three processes, one of them without videos, give exactly the numbers of one."""

    class Shares(Runtime):
        def gather(self, value):
            return [value[1::2], [], value[::2]]

    whole, shared = (
        evaluate(Linear(), batches(1), runtime, TrainSettings(), title="val") for runtime in (CPU, Shares(CPU.device))
    )
    assert (shared.averages(), shared.videos) == (whole.averages(), 8)


def test_an_evaluation_keeps_a_few_numbers_per_video() -> None:
    """Not its logits, and yet the loss is that of all logits at once."""
    model, sent = Linear(), []

    class Watched(Runtime):
        def gather(self, value):
            sent.append(value)
            return [value]

    val = evaluate(model, batches(3, 500), Watched(CPU.device), TrainSettings(), title="val")
    [batch] = batches(500, 500)
    with torch.inference_mode():
        logits = model(batch.clip.movedim(-1, -3))
        mean = torch.nn.functional.cross_entropy(logits, batch.label).item()
    assert val.averages()["loss"] == pytest.approx(mean, rel=1e-6)
    assert val.top1 == int((logits.argmax(1) == batch.label).sum())
    assert sum(rows.nbytes for lists in sent for rows in lists if isinstance(rows, torch.Tensor)) == 500 * 48


def test_a_video_that_two_processes_scored_counts_once() -> None:
    class Twice(Runtime):
        def gather(self, value):
            return [value, value]

    assert evaluate(Linear(), batches(8), Twice(CPU.device), TrainSettings(), title="val").videos == 8
    assert over_processes(Sums(loss=2.0, videos=3, replaced=["a"]), Twice(CPU.device)) == Sums(
        loss=4.0, videos=6, replaced=["a", "a"]
    )


def test_the_parts_of_a_step_are_timed() -> None:
    """All of the time except the loop's own; decoding is what the batches report."""
    seconds = train(4)[1].seconds
    assert seconds.decoding == 0.5
    parts = [seconds.waiting, seconds.forward, seconds.backward, seconds.optimiser]
    assert min(parts) > 0
    assert sum(parts) <= seconds.total


@pytest.mark.parametrize(("damage", "words"), [(True, "network's fc.bias"), (False, "--amp fp16")])
def test_non_finite_scores_have_no_accuracy(damage: bool, words: str) -> None:
    model = Linear()
    if damage:
        model.fc.bias.data[1] = float("inf")
    else:
        model.register_forward_hook(lambda _module, _clip, logits: logits * float("nan"))
    with pytest.raises(InputError, match=rf"the title: .* 8 of 8 videos.*{words}"):
        evaluate(model, batches(3), CPU, TrainSettings(), title="the title")
