"""Accuracies. Tensors in training, NumPy arrays for merged scores; percent everywhere."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor


def topk_correct(logits: Tensor, labels: Tensor, ks: Sequence[int]) -> list[int]:
    """How many of N samples have their label among the k best of K classes, for each k (at most K).

    Args:
        logits: (N, K).
        labels: (N,).
        ks: numbers of best classes.
    """
    num_class = logits.shape[1]
    best = logits.topk(min(max(ks), num_class), dim=1).indices  # (N, k)
    hits = best == labels[:, None]
    return [int(hits[:, : min(k, num_class)].sum()) for k in ks]


def topk_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of the M videos whose label is among the k best, in percent.

    Args:
        scores: (M, K), larger is better.
        labels: (M,).
        k: number of best classes, at most K are taken.
    """
    own = np.take_along_axis(scores, labels[:, None], 1)  # (M, 1)
    classes = np.arange(scores.shape[1])
    better = (scores > own) | ((scores == own) & (classes < labels[:, None]))  # of equal scores the first class leads
    return 100.0 * float((better.sum(1) < k).mean())


def mean_class_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the classes' top-1 accuracies, over the classes that occur, in percent."""
    correct = scores.argmax(1) == labels
    return 100.0 * float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))


def accuracy_interval(percent: float, videos: int) -> tuple[float, float]:
    """95 % interval of an accuracy over M videos, in percent (Wilson, 1927)."""
    from scipy.stats import binomtest  # here: it takes a second, and training does not need it

    interval = binomtest(round(percent * videos / 100), videos).proportion_ci(0.95, "wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def mean_class_interval(scores: np.ndarray, labels: np.ndarray, draws: int = 10_000) -> tuple[float, float]:
    """95 % bootstrap interval of `mean_class_accuracy`: the videos of each class are drawn again."""
    correct = scores.argmax(1) == labels
    videos = np.array([(labels == label).sum() for label in np.unique(labels)])
    right = np.array([correct[labels == label].sum() for label in np.unique(labels)])
    rng = np.random.default_rng(0)
    # To draw n of n answers with replacement is to draw the number of right ones from a binomial distribution.
    means = [(rng.binomial(videos, right / videos) / videos).mean() for _ in range(draws)]
    low, high = np.percentile(means, (2.5, 97.5))
    return 100 * float(low), 100 * float(high)


def spread_text(values: Sequence[float], digits: int = 1) -> str:
    """Mean and sample standard deviation; "-" without values, the mean alone of one."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, K) counts: row = label, column = best class."""
    from sklearn.metrics import confusion_matrix  # here: it takes a second, and training does not need it

    return confusion_matrix(labels, scores.argmax(1), labels=np.arange(scores.shape[1]))


@dataclass(frozen=True)
class ClassRow:
    """One class in the table of results.

    Attributes:
        label: from 0.
        name: of the class.
        videos: with this label.
        correct: of them.
        accuracy: top-1 in percent; None without videos.
        confused_with: the class that its videos are taken for most often, if any is.
        confused_count: how often.
    """

    label: int
    name: str
    videos: int
    correct: int
    accuracy: float | None
    confused_with: str | None
    confused_count: int


def per_class(matrix: np.ndarray, class_names: Sequence[str]) -> list[ClassRow]:
    """The table of classes from a (K, K) confusion matrix."""
    rows = []
    for label, name in enumerate(class_names):
        videos, correct = int(matrix[label].sum()), int(matrix[label, label])
        others = matrix[label].copy()
        others[label] = 0
        worst = int(others.argmax())
        count = int(others[worst])
        accuracy = 100.0 * correct / videos if videos else None
        rows.append(ClassRow(label, name, videos, correct, accuracy, class_names[worst] if count else None, count))
    return rows
