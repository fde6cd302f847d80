"""Class weights from counts, and the weighted loss, against their equations."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ops.choices import BETA
from ops.training.class_weights import class_weights, weighted_cross_entropy

LABELS = [0] * 600 + [1] * 30 + [3] * 2  # no clip of class 2
COUNTS = np.array([600, 30, 2])
UNSCALED = {
    "inverse": 1 / COUNTS,
    "sqrt": COUNTS**-0.5,
    "effective": (1 - BETA) / (1 - BETA ** COUNTS.astype(float)),
}


@pytest.mark.parametrize("kind", UNSCALED)
def test_weights(kind: str) -> None:
    weights = class_weights(kind, LABELS, 5).numpy()
    present = weights[[0, 1, 3]]
    assert present / present[0] == pytest.approx(UNSCALED[kind] / UNSCALED[kind][0], rel=1e-5)
    assert weights[LABELS].mean() == pytest.approx(1, rel=1e-5)
    assert weights[[2, 4]].tolist() == [0, 0]
    assert class_weights(kind, [0, 1, 2] * 4, 3).tolist() == pytest.approx([1, 1, 1], rel=1e-6)


def test_flips_move_half_of_the_clips_to_the_mirrored_class() -> None:
    """Seven clips of class 0 and three of its mirror class 1 are five and five; a listed class needs no mirror."""
    weights = class_weights("inverse", [0] * 7 + [1] * 3 + [2] * 5, 3, mirrored=(1, 0, 2))
    assert weights.tolist() == pytest.approx([1, 1, 1], rel=1e-6)
    assert class_weights("inverse", [0, 0], 2, mirrored=(1, 0)).tolist() == pytest.approx([1, 1], rel=1e-6)


WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 4.0])
LOSS = partial(weighted_cross_entropy, weights=WEIGHTS)
LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABEL = torch.tensor([0, 3, 1, 2, 0, 1])


def test_each_clip_counts_with_the_weight_of_its_class() -> None:
    each = F.cross_entropy(LOGITS, LABEL, reduction="none")
    assert LOSS(LOGITS, LABEL).item() == pytest.approx((WEIGHTS[LABEL] * each).mean().item(), rel=1e-6)
    halves = (LOSS(LOGITS[:3], LABEL[:3]) + LOSS(LOGITS[3:], LABEL[3:])) / 2
    assert halves.item() == pytest.approx(LOSS(LOGITS, LABEL).item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_and_their_targets_have_the_same_loss(smoothing: float) -> None:
    target = F.one_hot(LABEL, 4).float()
    by_hand = -(WEIGHTS * ((1 - smoothing) * target + smoothing / 4) * LOGITS.log_softmax(1)).sum(1).mean()
    for given in (LABEL, target):
        assert LOSS(LOGITS, given, label_smoothing=smoothing).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_mixed_clip_counts_with_the_weights_of_both_its_classes() -> None:
    target = 0.7 * F.one_hot(LABEL, 4) + 0.3 * F.one_hot(LABEL.roll(1), 4)
    parts = 0.7 * LOSS(LOGITS, LABEL) + 0.3 * LOSS(LOGITS, LABEL.roll(1))
    assert LOSS(LOGITS, target).item() == pytest.approx(parts.item(), rel=1e-5)
    assert LOSS(LOGITS.bfloat16(), target).item() == pytest.approx(parts.item(), rel=0.02)
