"""The learning rate as a pure function of the epoch."""

import math
from collections.abc import Sequence

from common.errors import InputError

LR_TYPES = ("step", "cos")
LR_STEPS = [30.0, 45.0, 55.0]  # of the published recipe


def scaled_rate(lr: float, published_for: int | None, clips: int, min_lr: float) -> float:
    """Scale `lr`, chosen for steps of `published_for` clips, linearly to steps of `clips` clips.

    The rule is from arXiv 1706.02677, section 2.1; None: the rate stays. Below `min_lr`: `InputError`.
    """
    rate = lr if published_for is None else lr * clips / published_for
    if rate < min_lr:
        raise InputError(f"--min_lr {min_lr:g} is above the base learning rate, {rate:g}; lower it")
    return rate


def learning_rate(
    epoch: float,
    *,
    lr: float,
    lr_type: str,
    lr_steps: Sequence[float],
    epochs: int,
    warmup: float = 0.0,
    warmup_start: float = 0.1,
    min_lr: float = 0.0,
) -> float:
    """Learning rate at a point in the training.

    Args:
        epoch: epochs completed, with the fraction of the current one, from 0.
        lr: base rate.
        lr_type: "step": times 0.1 at each of `lr_steps`; "cos": half a cosine from `lr` after the warm-up
            to `min_lr` at `epochs`.
        lr_steps: epochs at which "step" falls.
        epochs: length of the training.
        warmup: epochs of a linear rise to `lr`.
        warmup_start: share of `lr` from which it starts.
        min_lr: lowest rate after the warm-up.
    """
    if epoch < warmup:
        return lr * (warmup_start + (1 - warmup_start) * epoch / warmup)
    if lr_type == "step":
        return max(lr * 0.1 ** sum(epoch >= step for step in lr_steps), min_lr)
    progress = (epoch - warmup) / (epochs - warmup) if epochs > warmup else 1.0
    return min_lr + (lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))
