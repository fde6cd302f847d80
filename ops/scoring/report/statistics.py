"""Statistics of the report: bootstrap intervals, paired comparisons, calibration, and an order of similar classes.

SciPy is imported where it is used: its statistics take a second.
"""

from typing import NamedTuple

import numpy as np

DRAWS = 5_000
BINS = 15


class Estimate(NamedTuple):
    """An accuracy or a difference of two, in percent, with its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap(right: np.ndarray, wrong: np.ndarray, videos: np.ndarray, seed: int = 0) -> Estimate:
    """The mean over classes of (right - wrong) / videos, with its percentile interval (Efron and Tibshirani, 1993).

    For an accuracy, `right` are the hits of a model and `wrong` is 0; for the difference of two models, these are the
    videos that only the first or only the second recognises. One class of all videos gives the plain accuracy, and K
    classes the mean class accuracy: each class is a stratum that is resampled on its own, since a list fixes its size.

    The counts of videos drawn with replacement are multinomial, so counts are drawn, not videos. Of the n videos of a
    class n - 1 are drawn, which makes the variance unbiased (McCarthy and Snowden, 1985): n draws give intervals that
    are too narrow where classes have few videos. A class of one video adds no variance.

    Args:
        right, wrong, videos: (K,) counts; classes without videos are left out.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    present = videos > 0
    right, wrong, videos = right[present], wrong[present], videos[present]
    total = np.zeros(DRAWS)
    for plus, minus, count in zip(right, wrong, videos, strict=True):
        drawn = max(count - 1, 1)
        more = rng.binomial(drawn, plus / count, DRAWS)
        less = rng.binomial(drawn - more, minus / max(count - plus, 1))
        total += (more - less) / drawn
    low, high = np.percentile(100 * total / len(videos), [2.5, 97.5])
    return Estimate(100 * float(((right - wrong) / videos).mean()), float(low), float(high))


class Pair(NamedTuple):
    """The difference of two models on the same videos: first minus second."""

    only_first: int  # videos that only the first recognises
    only_second: int
    p_value: float
    top1: Estimate
    mean_class: Estimate


def compare(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Pair:
    """Compare two models by the videos that they recognise: (M,) Booleans each, and (M,) labels.

    The p-value is that of McNemar's exact test: were both equally good, a video that only one of them recognises would
    be the first's with probability 1/2.
    """
    from scipy.stats import binomtest

    only_first, only_second = first & ~second, second & ~first
    counts = int(only_first.sum()), int(only_second.sum())
    p_value = binomtest(counts[0], sum(counts)).pvalue if sum(counts) else 1.0
    videos = np.bincount(labels)
    right, wrong = (np.bincount(labels[only], minlength=len(videos)) for only in (only_first, only_second))
    top1 = bootstrap(*(count.sum(keepdims=True) for count in (right, wrong, videos)))
    return Pair(*counts, float(p_value), top1, bootstrap(right, wrong, videos))


class Bin(NamedTuple):
    """Videos of similar confidence."""

    videos: int
    confidence: float  # mean, in percent
    accuracy: float  # in percent


def calibration(confidence: np.ndarray, correct: np.ndarray) -> tuple[float, list[Bin]]:
    """Expected calibration error in percent (Guo et al., 2017), and the bins that have videos.

    ECE = sum over BINS equally wide bins of (videos in the bin / M) * |accuracy - mean confidence|. The confidence (M,)
    is the probability of the best class, 0 to 1; `correct` (M,).
    """
    number = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for i in np.unique(number):
        own = number == i
        bins.append(Bin(int(own.sum()), 100 * float(confidence[own].mean()), 100 * float(correct[own].mean())))
    return sum(row.videos * abs(row.accuracy - row.confidence) for row in bins) / len(confidence), bins


def similar_order(matrix: np.ndarray) -> list[int]:
    """The K classes with confused ones side by side, from a (K, K) confusion matrix.

    Average-linkage clustering by the share of videos that two classes exchange.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) == 1:
        return [0]
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    distance = 2 - (share + share.T)
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance), "average", optimal_ordering=True)).tolist()
