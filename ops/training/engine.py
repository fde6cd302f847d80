"""One epoch of training and one pass of evaluation. Nothing here sees options: settings are arguments.

A batch is any object with `clip` (N, T, L, H, W, 3) uint8, `label` (N,) or multi-hot (N, K), `index` (N,) positions in
the list, `video_ids`, `replaced` (names of unreadable frames) and `seconds` (spent reading it).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError, counted
from common.progress import track
from ops.freezing import train_mode
from ops.mixing.methods import Loss
from ops.mixing.mixer import Mixer
from ops.network import not_finite
from ops.optimiser import make_step, require_finite, set_learning_rate
from ops.runtime import Runtime, unwrap
from ops.scoring.metrics import average_precisions, topk_hits
from ops.training.progress import MultiLabelSums, Progress, Sums
from ops.training.step_clock import StepClock


@dataclass(frozen=True)
class TrainSettings:
    """Settings of training steps and of evaluations."""

    loss: Loss = F.cross_entropy  # of validation, and of training unless `train_loss` is given
    train_loss: Loss | None = None  # of training, also of mixed clips; None: `loss`
    label_smoothing: float = 0.0  # share of the target spread over all classes, in training; an argument of the loss
    amp: str = "off"  # "off", "bf16" or "fp16"
    accumulate: int = 1  # batches per step of the optimiser
    clip_gradient: float | None = None  # largest L2 norm of all gradients together; None: no limit
    print_freq: int = 20  # batches between progress lines, and between the points of curves within an epoch
    seed: int = 0  # with the epoch it seeds dropout
    multi_label: bool = False  # whether videos have several labels, as (N, K) multi-hot

    @property
    def training_loss(self) -> Loss:
        """The loss that training minimises."""
        loss = self.train_loss or self.loss
        return partial(loss, label_smoothing=self.label_smoothing) if self.label_smoothing else loss


def train_one_epoch(
    model: nn.Module,
    loader: Any,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    runtime: Runtime,
    settings: TrainSettings,
    *,
    epoch: int,
    lr_at: Callable[[float], float],
    mixer: Mixer | None = None,
    batches_done: int = 0,
    progress: Progress | None = None,
    log_step: Callable[[float, dict[str, float]], None] | None = None,
    after_step: Callable[[int, int, Callable[[], Sums]], None] | None = None,
) -> Sums:
    """Train for one epoch, counted from 0, and return the sums over this process's share of the videos.

    `model` is as `Runtime.wrap` gave it, `scaler` enabled for fp16 only; `lr_at` gives the learning rate at an epoch
    with its fraction. To continue an interrupted epoch, give the number of `batches_done`, their `progress`, and a
    `loader` of the rest. `log_step` is called every `print_freq` batches and after the last one, with the epoch and its
    fraction and the figures of `Progress.next_point`; `after_step`, such as `Saver`, after each step of the optimiser
    with the batches done, those of the epoch, and the sums so far.

    A loss or gradient that is not finite raises an `InputError`. No step is made from it.
    """
    progress = progress or Progress()
    if settings.multi_label:
        progress.sums = MultiLabelSums(**vars(progress.sums))
    sums, clock, num_batches = progress.sums, StepClock(runtime.device), batches_done + len(loader)
    train_mode(unwrap(model))
    if mixer is not None:
        mixer.examples = []
    torch.manual_seed(settings.seed * 100_003 + epoch * 101 + runtime.rank)  # for dropout
    runtime.set_random_state(progress.random)  # a resumed epoch continues its own
    batches = track(loader, num_batches, f"epoch {epoch + 1} train", settings.print_freq, sums.describe, batches_done)
    for number, batch in enumerate(batches, start=batches_done):
        if number == batches_done:
            clock.first_batch(batch.seconds)
        else:
            clock.lap("waiting")
        lr = lr_at(epoch + number / num_batches)
        set_learning_rate(optimiser, lr)
        step_start = number - (number - batches_done) % settings.accumulate  # a run resumes at the start of a step
        step_batches = min(settings.accumulate, num_batches - step_start)  # the last step may have fewer
        ends_step = number + 1 == step_start + step_batches
        where = (
            f"epoch {epoch + 1}, batch {number + 1} of {num_batches}, learning rate {lr:g}, videos {batch.video_ids}"
        )
        clip, target = _to_device(batch, runtime.device)
        if mixer is not None:
            clip, target, mixing_loss = mixer.mix(unwrap(model), clip, target, epoch, number, settings.training_loss)
            if mixing_loss is not None:
                # The selector's own loss (SV-Mix), whose graph has none of the network's parameters. Its backward pass
                # comes first, to free that graph. Its gradients are averaged over the processes in every batch, since
                # the last batch of a step may not be mixed.
                require_finite(mixing_loss, "loss of the mixing", where)
                scaler.scale(mixing_loss * (1 / step_batches)).backward()
            clock.lap("mixing")
        flags = {"normalised": True} if clip.is_floating_point() else {}  # mixed clips are normalised already
        with runtime.sharing_gradients(model, ends_step):
            with runtime.autocast(settings.amp):
                logits = model(clip, **flags)
                loss = settings.training_loss(logits, target)
            require_finite(loss, "loss", where)
            sums.add(logits.detach(), target, loss.item())
            sums.replaced += batch.replaced
            sums.seconds.decoding += batch.seconds
            clock.lap("forward")
            scaler.scale(loss / step_batches).backward()
            clock.lap("backward")
        if ends_step:
            progress.gradient_norm = make_step(model.parameters(), optimiser, scaler, settings.clip_gradient, where)
            if mixer is not None:
                mixer.method.step(unwrap(model), scaler, lr, where)
            scaler.update()
        clock.lap("optimiser")
        if log_step is not None and ((number + 1) % settings.print_freq == 0 or number + 1 == num_batches):
            figures = progress.next_point(sums.seconds.total + clock.elapsed, lr, runtime)
            log_step(epoch + (number + 1) / num_batches, figures)
        if after_step is not None and ends_step:
            after_step(number + 1, num_batches, lambda: replace(sums, seconds=sums.seconds + clock.read()))
    sums.seconds += clock.read()
    return sums


def _to_device(batch: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """The clips (N, T, L, 3, H, W), still uint8, and the labels (N,) or (N, K)."""
    return batch.clip.to(device, non_blocking=True).movedim(-1, -3), batch.label.to(device, non_blocking=True)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    loader: Any,
    runtime: Runtime,
    settings: TrainSettings,
    *,
    title: str,
    before_batch: Callable[[], None] | None = None,
) -> Sums:
    """Loss and accuracy (or mAP) over the list, each video counted once, with any number of processes.

    `model` is as `Runtime.wrap` gave it; `loader` has this process's share of the list; `before_batch` may
    raise, to stop the evaluation.
    A score that is not finite raises an `InputError`: the accuracy is undefined.
    """
    model.eval()
    runtime.share_buffers(model)
    own = MultiLabelSums() if settings.multi_label else Sums()
    num_class = 0  # K
    results: list[Tensor] = []  # `_results` of each batch
    scores: list[tuple[Tensor, Tensor]] = []  # of each batch, for the mAP alone: gigabytes for a million videos
    for batch in track(loader, len(loader), title, settings.print_freq, own.describe):
        if before_batch is not None:
            before_batch()
        clip, label = _to_device(batch, runtime.device)
        with runtime.autocast(settings.amp):
            # Not through DistributedDataParallel, whose passes wait for one another: shares differ in length.
            logits = unwrap(model)(clip) if runtime.world_size > 1 else model(clip)
        logits, label = logits.float().cpu(), label.cpu()
        num_class = logits.shape[1]
        results.append(_results(batch.index, logits, label, settings.loss))
        if settings.multi_label:
            scores.append((logits, label.bool()))
        _add(own, results[-1])
        own.replaced += batch.replaced
    rows = torch.cat(_of_all(runtime, results))
    order = np.unique(rows[:, 0].numpy(), return_index=True)[1]  # that of the list, which the shares divide
    rows = rows[order]
    *_, cells, finite = rows.T
    _require_finite_scores(finite, unwrap(model), title)
    total = type(own)(replaced=_of_all(runtime, own.replaced))
    _add(total, rows)
    if isinstance(total, MultiLabelSums):
        logits, label = (torch.cat(parts)[order] for parts in zip(*_of_all(runtime, scores), strict=True))
        total.precisions = average_precisions(logits.numpy(), label.numpy())
    else:
        num_class = runtime.highest(num_class)  # 0 in a process without videos
        total.confusion = cells.long().bincount(minlength=num_class**2).view(num_class, -1).numpy()
    return total


def _of_all(runtime: Runtime, own: list[Any]) -> list[Any]:
    """The lists of all processes as one."""
    return [item for part in runtime.gather(own) for item in part]


def _results(index: Tensor, logits: Tensor, label: Tensor, loss: Loss) -> Tensor:
    """(N, 6) float64: index, loss, top-1 hit, top-5 hit, cell of the confusion matrix, whether scores are finite.

    Videos with several labels have no cell.
    """
    losses = torch.stack([loss(*video) for video in zip(logits.split(1), label.split(1), strict=True)])
    cells = label * logits.shape[1] + logits.argmax(1) if label.ndim == 1 else torch.zeros_like(index)
    columns = [index, losses, *topk_hits(logits, label, (1, 5)), cells, logits.isfinite().all(1)]
    return torch.stack([column.double() for column in columns], 1)


def _add(sums: Sums, results: Tensor) -> None:
    """Add the videos of `_results` (M, 6) to the sums."""
    _, losses, top1, top5, *_ = results.T
    sums.loss += losses.sum().item()
    sums.top1 += int(top1.sum())
    sums.top5 += int(top5.sum())
    sums.videos += len(results)


def _require_finite_scores(finite: Tensor, model: nn.Module, title: str) -> None:
    """Refuse scores of `model` that are not finite; `finite` (M,) says which are."""
    bad = int((finite == 0).sum())
    if bad:
        name = not_finite(model.state_dict())
        cause = f"the network's {name} has non-finite values" if name else "--amp fp16 may be too narrow"
        raise InputError(
            f"{title}: the scores of {bad} of {counted(len(finite), 'video')} are not finite: {cause}. "
            "There is no accuracy; continue from an earlier checkpoint with a lower --lr, a --warmup, or --amp off"
        )
