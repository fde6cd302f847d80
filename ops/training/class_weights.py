"""Weights of the classes in the training loss, from the number of their clips."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ops.choices import BETA


def class_weights(kind: str, labels: np.ndarray, num_class: int) -> Tensor:
    """Weights (K,) of the classes, with a mean of 1 over the labels; n is the number of labels of a class.

    `kind` is one of `CLASS_WEIGHTS` except "none": inverse, 1 / n; sqrt, 1 / sqrt(n); effective, (1 - beta) /
    (1 - beta^n), between no weights (n far above 1 / (1 - beta), 1000 here) and inverse (far below). A class without
    clips has weight 0.
    """
    counts = torch.as_tensor(labels).bincount(minlength=num_class).double()
    weights = {"inverse": 1 / counts, "sqrt": counts.rsqrt(), "effective": (1 - BETA) / (1 - BETA**counts)}[kind]
    weights[counts == 0] = 0.0
    return (weights * len(labels) / (weights * counts).sum()).float()


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Cross-entropy with a weight per class, averaged over the number of clips in a batch.

    For labels (not for targets of mixed clips), PyTorch divides by the sum of the weights. Then accumulated batches, or
    the batches of several processes, would not give the step of one large batch.
    """

    weights: Tensor  # (K,)

    def __call__(self, logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Logits (N, K), labels (N,) or targets (N, K) -> scalar."""
        weights = self.weights.to(logits.device)
        summed = F.cross_entropy(logits.float(), target, weights, reduction="sum", label_smoothing=label_smoothing)
        return summed / len(logits)
