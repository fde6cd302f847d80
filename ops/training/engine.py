"""One epoch of training and one pass of evaluation. No options here: each function is given what it uses.

A batch is any object with `clip` (N, T, L, H, W, 3) uint8, `label` (N,), `index` (N,) place in the list,
`video_ids`, `replaced` (names of frames that could not be read) and `seconds` (that its reading took).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError, counted
from common.progress import track
from ops.mixing.mixer import Mixer
from ops.network import VideoNet, not_finite
from ops.optimiser import make_step, require_finite, set_learning_rate, train_mode
from ops.runtime import Runtime, unwrap
from ops.scoring.metrics import topk_correct
from ops.training.step_clock import Seconds, StepClock


@dataclass(frozen=True)
class TrainSettings:
    """How a step is made.

    Attributes:
        amp: "off", "bf16" or "fp16".
        accumulate: batches that are summed up to one step of the optimiser.
        clip_gradient: largest L2 norm of all gradients together; None: no limit.
        label_smoothing: share of the target that is spread over all classes.
        partial_bn: keep the statistics of all the ResNet's BatchNorms but the first.
        print_freq: steps between two progress lines.
        seed: of the dropout, with the epoch.
    """

    amp: str = "off"
    accumulate: int = 1
    clip_gradient: float | None = None
    label_smoothing: float = 0.0
    partial_bn: bool = False
    print_freq: int = 20
    seed: int = 0


@dataclass
class Sums:
    """Sums over videos; divided once, at the end."""

    loss: float = 0.0
    top1: int = 0
    top5: int = 0
    videos: int = 0
    seconds: Seconds = field(default_factory=Seconds)
    replaced: list[str] = field(default_factory=list)

    def add(self, logits: Tensor, label: Tensor, loss: float) -> None:
        """Logits (N, K), labels (N,), the mean loss of the N videos."""
        top1, top5 = topk_correct(logits, label, (1, 5))
        self.loss += loss * len(label)
        self.top1 += top1
        self.top5 += top5
        self.videos += len(label)

    def averages(self) -> dict[str, float]:
        """Mean loss; accuracies in percent."""
        videos = max(self.videos, 1)
        return {
            "loss": self.loss / videos,
            "top1": 100 * self.top1 / videos,
            "top5": 100 * self.top5 / videos,
        }

    def describe(self) -> str:
        return "loss {loss:.3f}  top-1 {top1:.1f} %  top-5 {top5:.1f} %".format(**self.averages())


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
) -> Sums:
    """Train for one epoch.

    Of mixed clips, those count as right whose class of the larger share is named.

    Args:
        model: as `Runtime.wrap` gave it.
        loader: batches, see the head of this file; its sampler knows the epoch.
        optimiser: with groups of `parameter_groups`.
        scaler: enabled for fp16 only.
        runtime: the devices.
        settings: how a step is made.
        epoch: from 0.
        lr_at: learning rate as a function of the epoch with its fraction.
        mixer: mixes clips and labels of each batch; None: they stay as they are.

    Returns:
        Sums over this process's share of the videos.

    Raises:
        InputError: the loss or its gradient is not finite. No step is made from it.
    """
    sums, clock = Sums(), StepClock(runtime.device)
    steps = len(loader)
    train_mode(unwrap(model), partial_bn=settings.partial_bn)
    if mixer is not None:
        mixer.start_epoch()
    # Dropout depends on (seed, epoch) alone, so that a resumed run needs no stored random state.
    torch.manual_seed(settings.seed * 100_003 + epoch * 101 + runtime.rank)
    progress = f"epoch {epoch + 1} train"
    for step, batch in enumerate(track(loader, steps, progress, settings.print_freq, sums.describe)):
        clock.lap("waiting") if step else clock.first_batch(batch.seconds)
        lr = lr_at(epoch + step / steps)
        set_learning_rate(optimiser, lr)
        group_start = step - step % settings.accumulate
        group = min(settings.accumulate, steps - group_start)  # the last group may be smaller
        where = f"epoch {epoch + 1}, step {step + 1} of {steps}, learning rate {lr:g}, videos {batch.video_ids}"
        clip, label = _to_device(batch, runtime.device)
        target = label
        if mixer is not None:
            clip, target = _mix(mixer, unwrap(model), clip, label, scaler, where, share=1 / group, moment=(epoch, step))
            label = target.argmax(1)  # the class of the larger share
            clock.lap("mixing")
        with runtime.autocast(settings.amp):
            logits = model(clip)
            loss = F.cross_entropy(logits, target, label_smoothing=settings.label_smoothing)
        require_finite(loss, "loss", where)
        sums.add(logits.detach(), label, loss.item())
        sums.replaced += batch.replaced
        sums.seconds.decoding += batch.seconds
        clock.lap("forward")
        scaler.scale(loss / group).backward()
        clock.lap("backward")
        if step + 1 == group_start + group:
            make_step(model.parameters(), optimiser, scaler, settings.clip_gradient, where)
            if mixer is not None:
                mixer.method.step(unwrap(model), scaler, lr, where)
            scaler.update()
        clock.lap("optimiser")
    sums.seconds += clock.read()
    return sums


def _to_device(batch: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """The clips (N, T, L, 3, H, W), still uint8, and the labels (N,)."""
    return batch.clip.to(device, non_blocking=True).movedim(-1, -3), batch.label.to(device, non_blocking=True)


def _mix(
    mixer: Mixer,
    model: VideoNet,
    clip: Tensor,
    label: Tensor,
    scaler: torch.amp.GradScaler,
    where: str,
    *,
    share: float,
    moment: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Mixed clips and their targets (N, K).

    What the mixing learns itself gets its gradient here: no parameter of the network is in its loss, so that its graph
    is gone before the network's is made.
    """
    clip, target, own_loss = mixer.mix(model, clip, label, *moment)
    if own_loss is not None:
        require_finite(own_loss, "loss of the mixing", where)
        scaler.scale(own_loss * share).backward()
    return clip, target


@torch.inference_mode()
def evaluate(model: nn.Module, loader: Any, runtime: Runtime, *, amp: str, title: str, print_freq: int) -> Sums:
    """Loss and accuracy over every video of the list exactly once, whatever the number of processes.

    Args:
        model: as `Runtime.wrap` gave it; set to evaluation.
        loader: batches; each process has its share of the list.
        runtime: the devices.
        amp: "off", "bf16" or "fp16".
        title: of the progress line.
        print_freq: batches between two progress lines.

    Raises:
        InputError: a score is not finite; such an accuracy means nothing.
    """
    model.eval()
    runtime.share_buffers(model)
    own, results = Sums(), {}
    for batch in track(loader, len(loader), title, print_freq, own.describe):
        clip, label = _to_device(batch, runtime.device)
        with runtime.autocast(amp):
            logits = unwrap(model)(clip) if runtime.world_size > 1 else model(clip)
        logits = logits.float()
        own.add(logits, label, F.cross_entropy(logits, label).item())
        own.replaced += batch.replaced
        for row, index in enumerate(batch.index.tolist()):
            results[index] = (logits[row].cpu(), label[row].cpu())
    merged = {index: result for part in runtime.gather(results) for index, result in part.items()}
    total = Sums(replaced=[name for names in runtime.gather(own.replaced) for name in names])
    logits, label = (torch.stack(column) for column in zip(*merged.values(), strict=True))
    _require_finite_scores(logits, unwrap(model), title)
    total.add(logits, label, F.cross_entropy(logits, label).item())
    return total


def _require_finite_scores(logits: Tensor, model: nn.Module, title: str) -> None:
    """Logits (M, K) of `model`."""
    bad = int((~logits.isfinite().all(1)).sum())
    if bad:
        name = not_finite(model.state_dict())
        cause = f"{name} of the network has values that are not finite" if name else "--amp fp16 may be too narrow"
        raise InputError(
            f"{title}: the scores of {bad} of {counted(len(logits), 'video')} are not finite: {cause}. "
            "There is no accuracy; continue from an earlier checkpoint with a lower --lr, a --warmup, or --amp off"
        )


def over_processes(own: Sums, runtime: Runtime) -> Sums:
    """The sums of all processes together."""
    total = Sums()
    for part in runtime.gather(own):
        for name in vars(total):
            setattr(total, name, getattr(total, name) + getattr(part, name))
    return total
