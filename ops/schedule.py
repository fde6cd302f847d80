"""The learning rate as a pure function of the epoch."""

import math
from collections.abc import Sequence

LR_TYPES = ("step", "cos")
LR_STEPS = [30.0, 45.0, 55.0]  # of the published recipe
WARMUP_START = 0.1  # share of the learning rate at the start of a warm-up


def learning_rate(
    epoch: float, *, lr: float, lr_type: str, lr_steps: Sequence[float], epochs: int, warmup: float = 0.0
) -> float:
    """Learning rate at a moment of the training.

    Args:
        epoch: epochs completed, with the fraction of the current one, from 0.
        lr: base rate.
        lr_type: "step": times 0.1 at each of `lr_steps`; "cos": half a cosine from `lr` after the warm-up
            to 0 at `epochs`.
        lr_steps: epochs at which "step" falls.
        epochs: length of the training.
        warmup: epochs of a linear rise from a tenth of `lr` to `lr`.
    """
    if epoch < warmup:
        return lr * (WARMUP_START + (1 - WARMUP_START) * epoch / warmup)
    if lr_type == "step":
        return lr * 0.1 ** sum(epoch >= step for step in lr_steps)
    progress = (epoch - warmup) / (epochs - warmup) if epochs > warmup else 1.0
    return lr * 0.5 * (1 + math.cos(math.pi * progress))
