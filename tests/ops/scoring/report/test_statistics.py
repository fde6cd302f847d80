"""Intervals, comparisons and calibration against SciPy, resampled videos, and numbers computed by hand."""

import numpy as np
import pytest
from scipy import stats

from ops.scoring.report import statistics
from ops.scoring.report.statistics import BINS, bootstrap, calibration, compare, similar_order

NONE = np.array([0])


def test_the_interval_of_an_accuracy_is_that_of_scipys_bootstrap() -> None:
    hits = np.arange(200) < 164
    ours = bootstrap(np.array([164]), NONE, np.array([200]))
    theirs = stats.bootstrap(
        (hits,), np.mean, n_resamples=5000, method="percentile", random_state=0
    ).confidence_interval
    assert ours.value == pytest.approx(82)
    assert ours[1:] == pytest.approx(100 * np.array(theirs), abs=0.51)  # a video is 0.5 %
    assert bootstrap(np.array([164]), NONE, np.array([200])) == ours


@pytest.mark.parametrize("is_difference", [False, True])
def test_classes_are_resampled_one_by_one(is_difference: bool) -> None:
    """The same as drawing the videos themselves, n - 1 of n in each class."""
    rng = np.random.default_rng(1)
    labels = np.repeat(range(3), [8, 20, 5])
    first, second = rng.random((2, 33)) < [[0.8], [0.5]]
    values = first * 1.0 - second * is_difference
    counts = [np.bincount(labels, weights).astype(int) for weights in (first & ~second, second & ~first)]
    counts = counts if is_difference else [np.bincount(labels, first).astype(int), np.zeros(3, int)]
    ours = bootstrap(*counts, np.bincount(labels))
    draws = [rng.choice(values[labels == k], (20000, n - 1)).mean(1) for k, n in enumerate([8, 20, 5])]
    assert ours.value == pytest.approx(100 * np.mean([values[labels == k].mean() for k in range(3)]))
    assert ours[1:] == pytest.approx(100 * np.percentile(np.mean(draws, 0), [2.5, 97.5]), abs=1.5)


def test_intervals_cover_the_truth(monkeypatch) -> None:
    monkeypatch.setattr(statistics, "DRAWS", 1000)
    rng = np.random.default_rng(0)
    shares, videos = np.linspace(0.3, 0.9, 8), np.array([5, 10, 20, 20, 30, 30, 50, 50])
    covered = np.zeros(2)
    for seed in range(200):
        hits = rng.binomial(videos, shares)
        own = bootstrap(hits, 0 * hits, videos, seed)
        covered[0] += own.low <= 100 * shares.mean() <= own.high
        own = bootstrap(rng.binomial(100, [0.8]), NONE, np.array([100]), seed)
        covered[1] += own.low <= 80 <= own.high
    assert (np.abs(covered / 200 - 0.95) < 0.035).all()


def test_classes_without_videos_or_with_one() -> None:
    assert bootstrap(np.array([1, 0, 0]), np.zeros(3, int), np.array([1, 0, 1])) == (50, 50, 50)


def test_mcnemar_by_hand() -> None:
    """9 videos for one model, 1 for the other: 2 * (1 + 10) / 2^10."""
    first = np.array([True] * 9 + [False] + [True] * 10)
    second = np.array([False] * 9 + [True] + [True] * 10)
    labels = np.array([0] * 12 + [2] * 8)
    pair = compare(first, second, labels)
    assert (pair.only_first, pair.only_second) == (9, 1)
    assert pair.p_value == pytest.approx(22 / 1024)
    assert pair.top1.value == pytest.approx(100 * 8 / 20)
    assert pair.mean_class.value == pytest.approx(100 * (8 / 12 + 0) / 2)
    assert pair.top1.low > 0
    assert compare(second, first, labels).mean_class.value == pytest.approx(-pair.mean_class.value)


def test_equal_models() -> None:
    hits = np.array([True, False, True])
    pair = compare(hits, hits, np.array([0, 1, 1]))
    assert pair == (0, 0, 1.0, (0, 0, 0), (0, 0, 0))


def test_calibration_by_hand() -> None:
    confidence = np.array([0.5, 0.52, 0.53, 0.97, 1.0, 0.05, 1 / BINS])
    correct = np.array([True, False, False, True, True, False, False])
    ece, bins = calibration(confidence, correct)
    assert [row.videos for row in bins] == [2, 3, 2]  # a bin includes its upper end
    assert bins[1].accuracy == pytest.approx(100 / 3)
    gaps = [0.05 + 1 / BINS, abs(1 - (0.5 + 0.52 + 0.53)), abs(2 - 1.97)]
    assert ece == pytest.approx(100 * sum(gaps) / 7)


def test_a_calibrated_model_has_no_error() -> None:
    confidence = np.full(1000, 0.8)
    assert calibration(confidence, np.arange(1000) < 800)[0] == pytest.approx(0)


def test_confused_classes_are_neighbours() -> None:
    matrix = 20 * np.eye(6, dtype=int)
    for a, b in ((0, 3), (1, 5), (2, 4)):
        matrix[a, b] = 9
    place = np.argsort(similar_order(matrix))
    assert [abs(place[a] - place[b]) for a, b in ((0, 3), (1, 5), (2, 4))] == [1, 1, 1]


@pytest.mark.parametrize("num_class", [1, 2])
def test_few_classes_and_classes_without_videos(num_class: int) -> None:
    assert sorted(similar_order(np.zeros((num_class, num_class), int))) == list(range(num_class))
