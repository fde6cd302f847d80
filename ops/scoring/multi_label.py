"""Several labels per video: probabilities, metrics and tables.

Labels are multi-hot (M, K), with 1 for each label of a video. A class is predicted where its probability, the sigmoid
of its score, is above 0.5.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ops.scoring.predictions import likeliest, write_rows

if TYPE_CHECKING:  # tables of results do not need torch
    from torch import Tensor

THRESHOLD = 0.5  # above which a class is predicted


def probabilities(logits: "Tensor", *, multi_label: bool) -> "Tensor":
    """Logits (..., K) -> float64: softmax, or sigmoids if videos have several labels."""
    return logits.double().sigmoid() if multi_label else logits.double().softmax(-1)


def multi_hot(labels: Sequence[list[int]], num_class: int) -> np.ndarray:
    """(M, K) bool from the labels of M videos; raises a `ValueError` for a label outside 0 ... K-1."""
    result = np.zeros((len(labels), num_class), bool)
    for row, own in zip(result, labels, strict=True):
        if own and not 0 <= min(own) <= max(own) < num_class:
            raise ValueError(f"its labels are {own}, outside 0 ... {num_class - 1}")
        row[own] = True
    return result


def average_precisions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average precision of each class in percent, NaN without a positive: scores, labels (M, K) -> (K,)."""
    from sklearn.metrics import average_precision_score  # a second

    return np.array(
        [
            100.0 * average_precision_score(positive, score) if positive.any() else np.nan
            for positive, score in zip(labels.T, scores.T, strict=True)
        ]
    )


def figures(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """mAP over classes with a positive, and hit at 1 (best class is a label), in percent: scores, labels (M, K).

    Empty for a list without labels.
    """
    if not labels.any():
        return {}
    hits = np.take_along_axis(labels, scores.argmax(1)[:, None], 1)
    return {"map": float(np.nanmean(average_precisions(scores, labels))), "hit1": 100.0 * float(hits.mean())}


def write_class_table(path: Path, scores: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Write the number of videos and the average precision in percent (empty without a video) of each class."""
    rows: list[list[object]] = [["label", "name", "videos", "average_precision"]]
    precisions = average_precisions(scores, labels)
    for label, (name, positive, precision) in enumerate(zip(class_names, labels.T, precisions, strict=True)):
        rows.append([label, name, positive.sum(), "" if np.isnan(precision) else precision])
    write_rows(path, rows)


def write_predictions(
    path: Path, probabilities: np.ndarray, labels: np.ndarray, videos: Sequence[str], class_names: Sequence[str]
) -> None:
    """Write, for each video, its predicted classes, its labels and its best class, with their probabilities.

    The column `is_label` is empty for a list without labels.
    """
    rows = [["video", "label", "class", "probability", "predicted", "is_label"]]
    known = labels.any()
    for video, shares, own in zip(videos, probabilities, labels, strict=True):
        predicted = shares > THRESHOLD
        shown = np.flatnonzero(predicted | own | (shares == shares.max()))
        for label in shown[likeliest(shares[shown], len(shown))]:
            facts = [predicted[label], own[label] if known else ""]
            rows.append([video, label, class_names[label], f"{shares[label]:.6f}", *facts])
    write_rows(path, rows)
