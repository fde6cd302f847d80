"""Accuracies in percent, of tensors in training and of NumPy arrays for merged scores.

scikit-learn's `top_k_accuracy_score` is not used: among equal scores it prefers the last class, and it sorts all.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:  # tables of results do not need torch
    from torch import Tensor

NORMAL_QUANTILE = 1.959963984540054  # for 95 % intervals
FIGURES = {
    "top1": "top-1", "top5": "top-5", "mean_class": "mean class accuracy", "map": "mAP", "hit1": "hit at 1"
}  # fmt: skip
MOST_PAIRS = 30  # confused pairs of classes that a picture or a page shows


def probabilities(logits: "Tensor", *, multi_label: bool) -> "Tensor":
    """Logits (..., K) -> float64: softmax, or sigmoids if videos have several labels."""
    return logits.double().sigmoid() if multi_label else logits.double().softmax(-1)


def topk_hits(logits: "Tensor", labels: "Tensor", ks: Sequence[int]) -> "list[Tensor]":
    """For each k, whether the label is among the k best of K classes: logits (N, K), labels (N,) -> (N,) each.

    With several labels, (N, K) with 1 (in mixed clips at least 0.5) for each, one of them is enough.
    """
    best = logits.topk(min(max(ks), logits.shape[1]), dim=1).indices  # (N, k)
    hits = best == labels[:, None] if labels.ndim == 1 else labels.gather(1, best) >= 0.5
    return [hits[:, :k].any(1) for k in ks]


def topk_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of M videos whose label is among the k best of K classes, in percent; (M, K) and (M,)."""
    own = np.take_along_axis(scores, labels[:, None], 1)  # (M, 1)
    classes = np.arange(scores.shape[1])
    better = (scores > own) | ((scores == own) & (classes < labels[:, None]))  # among equal scores the first class
    return 100.0 * float((better.sum(1) < k).mean())


def mean_recall(confusion: np.ndarray) -> float:
    """Mean class accuracy from a confusion matrix (K, K), row = label, over the classes that have videos."""
    videos = confusion.sum(1)
    return 100.0 * float((confusion.diagonal()[videos > 0] / videos[videos > 0]).mean())


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics in percent by name, from scores (M, K) and labels (M,) or multi-hot (M, K); empty without labels.

    With several labels the mAP is over the classes with a positive, and a hit is a best class that is a label.
    """
    if labels.ndim == 2 and labels.any():
        hits = np.take_along_axis(labels, scores.argmax(1)[:, None], 1)
        return {"map": float(np.nanmean(average_precisions(scores, labels))), "hit1": 100.0 * float(hits.mean())}
    if labels.ndim == 2 or (labels < 0).any():
        return {}
    return {
        "top1": topk_accuracy(scores, labels, 1),
        "top5": topk_accuracy(scores, labels, 5),
        "mean_class": mean_recall(confusion_matrix(scores, labels)),
    }


def average_precisions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average precision of each class in percent, NaN without a positive: scores, labels (M, K) -> (K,)."""
    from sklearn.metrics import average_precision_score  # a second

    return np.array(
        [
            100.0 * average_precision_score(positive, score) if positive.any() else np.nan
            for positive, score in zip(labels.T, scores.T, strict=True)
        ]
    )


def intervals(accuracies: Mapping[str, float], labels: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 % intervals of `accuracies`, in percent; none for the mAP."""
    return {
        name: mean_class_interval(percent, labels) if name == "mean_class" else accuracy_interval(percent, len(labels))
        for name, percent in accuracies.items()
        if name != "map"
    }


def accuracy_interval(percent: float, videos: int) -> tuple[float, float]:
    """95 % interval of an accuracy over M videos, in percent (Wilson, 1927)."""
    return _wilson_interval(round(percent * videos / 100) / videos, videos)


def mean_class_interval(percent: float, labels: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean class accuracy, in percent; labels (M,).

    The variance of a mean over K classes with n_k videos each is p (1 - p) / n with n = K^2 / sum(1 / n_k), if all
    classes have the accuracy p, and usually less if they differ. This is Wilson's interval for n videos. Unlike a
    bootstrap it has a width where every class has one video, or is all right or all wrong.
    """
    videos = np.unique(labels, return_counts=True)[1]  # n_k
    return _wilson_interval(percent / 100, len(videos) ** 2 / float((1 / videos).sum()))


def _wilson_interval(share: float, videos: float) -> tuple[float, float]:
    z2 = NORMAL_QUANTILE**2
    centre = (2 * videos * share + z2) / (2 * (videos + z2))
    half = NORMAL_QUANTILE / (2 * (videos + z2)) * (4 * videos * share * (1 - share) + z2) ** 0.5
    return 100 * (centre - half) if share > 0 else 0.0, 100 * (centre + half) if share < 1 else 100.0


def spread_text(values: Sequence[float], digits: int = 1) -> str:
    """Mean and sample standard deviation; of one value the mean alone, without values "-"."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, K) counts: row = label, column = best class."""
    num_class = scores.shape[1]
    cells = labels * num_class + scores.argmax(1)  # row by row
    return np.bincount(cells, minlength=num_class**2).reshape(num_class, num_class)


def confused_pairs(matrix: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (label, predicted class) that differ and occur in a (K, K) confusion matrix, the most frequent first.

    Of equally frequent ones, the larger share of the label's videos comes first.
    """
    wrong = matrix - np.diag(matrix.diagonal())
    labels, predicted = np.nonzero(wrong)
    order = np.lexsort((matrix.sum(1)[labels], -wrong[labels, predicted]))
    return list(zip(labels[order].tolist(), predicted[order].tolist(), strict=True))


class ClassRow(NamedTuple):
    """One class in per_class.csv."""

    label: int
    name: str
    videos: int
    correct: int
    accuracy: float | None  # top-1 in percent; None without videos
    confused_with: str | None  # most frequent wrong class, if any
    confused_count: int


def per_class(matrix: np.ndarray, class_names: Sequence[str]) -> list[ClassRow]:
    """The rows of per_class.csv from a (K, K) confusion matrix."""
    wrong = matrix - np.diag(matrix.diagonal())
    rows = []
    for label, name in enumerate(class_names):
        videos, correct = int(matrix[label].sum()), int(matrix[label, label])
        worst = int(wrong[label].argmax())
        count = int(wrong[label, worst])
        accuracy = 100.0 * correct / videos if videos else None
        rows.append(ClassRow(label, name, videos, correct, accuracy, class_names[worst] if count else None, count))
    return rows
