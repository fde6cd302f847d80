"""Weights of the classes in the training loss, from the number of their clips."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ops.choices import BETA


def class_weights(kind: str, labels: np.ndarray, num_class: int, mirrored: Sequence[int] | None = None) -> Tensor:
    """Weights (K,) with a mean of 1 over the clips, of which there are n for a class.

    `kind` is one of `CLASS_WEIGHTS` except "none": inverse, 1 / n; sqrt, 1 / sqrt(n); effective, (1 - beta) /
    (1 - beta^n), between no weights (n far above 1 / (1 - beta), 1000 here) and inverse (far below). A class without
    clips has weight 0.

    `mirrored`: the label of each class's clips after a flip, which half of the clips get; None: no flips.
    """
    counts = torch.as_tensor(labels).bincount(minlength=num_class).double()
    if mirrored is not None:
        counts = (counts + torch.zeros_like(counts).index_add(0, torch.tensor(mirrored), counts)) / 2
    weights = {"inverse": 1 / counts, "sqrt": counts.rsqrt(), "effective": (1 - BETA) / (1 - BETA**counts)}[kind]
    weights[counts == 0] = 0.0
    return (weights * len(labels) / (weights * counts).sum()).float()


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Logits (N, K), labels (N,) or targets (N, K), weights (K,), all on one device -> the mean over the clips.

    For labels (not for targets of mixed clips), PyTorch divides by the sum of the weights. Then accumulated batches, or
    the batches of several processes, would not give the step of one large batch.
    """
    summed = F.cross_entropy(logits.float(), target, weights, reduction="sum", label_smoothing=label_smoothing)
    return summed / len(logits)
