"""Scores of five videos with several labels each, and their mAP by hand."""

import numpy as np

from ops.scoring.pickles import multi_hot

LABELS = [[0, 2], [1], [0, 1], [2], [0]]
HOT = multi_hot(LABELS, 4)
SCORES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def precision_by_hand(scores: np.ndarray, positive: np.ndarray) -> float:
    """Mean over the positives of the share of positives at or above their rank."""
    ranked = positive[np.argsort(-scores)]
    return float(np.mean([ranked[: rank + 1].mean() for rank in np.flatnonzero(ranked)]))


def map_by_hand(scores: np.ndarray, hot: np.ndarray) -> float:
    return 100 * float(np.mean([precision_by_hand(scores[:, k], hot[:, k]) for k in range(4) if hot[:, k].any()]))
