"""Accuracies computed by hand."""

import numpy as np
import pytest
import torch
from multi_label_scores import HOT, map_by_hand, precision_by_hand
from multi_label_scores import SCORES as SEVERAL
from PIL import Image

from ops.scoring.metrics import (
    accuracies,
    accuracy_interval,
    average_precisions,
    confusion_matrix,
    intervals,
    mean_class_interval,
    mean_recall,
    per_class,
    topk_accuracy,
    topk_hits,
)
from ops.scoring.plots import plot_confusion

SCORES = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
LABELS = np.array([0, 2, 1, 2])


def test_topk() -> None:
    assert topk_accuracy(SCORES, LABELS, 1) == 50.0
    assert topk_accuracy(SCORES, LABELS, 2) == 100.0
    assert topk_accuracy(SCORES, LABELS, 5) == 100.0  # more than there are classes
    hits = topk_hits(torch.tensor(SCORES), torch.tensor(LABELS), (1, 2, 5))
    assert [int(own.sum()) for own in hits] == [2, 4, 4]


def test_mean_class_accuracy_weights_classes_equally() -> None:
    assert mean_recall(confusion_matrix(SCORES, LABELS)) == pytest.approx(100 * (1 + 0 + 0.5) / 3)
    assert mean_recall(confusion_matrix(SCORES[:1], LABELS[:1])) == 100.0  # classes without videos do not count


def test_intervals() -> None:
    p, n, z = 0.2, 50, 1.959964
    centre, half = (p + z**2 / (2 * n)), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    wilson = [100 * (centre + side * half) / (1 + z**2 / n) for side in (-1, 1)]
    assert accuracy_interval(100 * p, n) == pytest.approx(wilson)
    assert accuracy_interval(100.0, 4)[1] == 100.0
    assert accuracy_interval(0.0, 4)[0] == 0.0


def test_mean_class_interval() -> None:
    """The same as for top-1 if all classes have the same size; wider if they do not."""
    assert mean_class_interval(80.0, np.repeat(range(3), 200)) == pytest.approx(accuracy_interval(80.0, 600))
    low, high = mean_class_interval(80.0, np.array([0] * 599 + [1]))
    assert low < 40
    assert high > 95


@pytest.mark.parametrize(
    ("percent", "labels"), [(25.0, range(4)), (100.0, range(4)), (0.0, [0, 1]), (50.0, [0, 0, 1, 1])]
)
def test_the_mean_class_interval_is_never_a_point(percent: float, labels) -> None:
    low, high = mean_class_interval(percent, np.array(labels))
    assert low <= percent <= high
    assert high - low > 40


def test_the_mean_class_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    shares, videos = np.linspace(0.3, 1, 8), np.array([5, 10, 20, 20, 30, 30, 50, 50])
    labels = np.repeat(range(8), videos)
    held = 0
    for _ in range(500):
        low, high = mean_class_interval(100 * (rng.binomial(videos, shares) / videos).mean(), labels)
        held += low <= 100 * shares.mean() <= high
    assert held / 500 > 0.94


def test_confusion_matrix_and_table() -> None:
    matrix = confusion_matrix(SCORES, LABELS)
    assert matrix.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    rows = per_class(matrix, ["a", "b", "c"])
    assert (rows[2].videos, rows[2].correct, rows[2].accuracy) == (2, 1, 50.0)
    assert (rows[2].confused_with, rows[2].confused_count) == ("b", 1)
    assert rows[0].confused_with is None
    assert per_class(confusion_matrix(SCORES[:1], LABELS[:1]), "abc")[1].accuracy is None


def test_the_first_of_equal_scores_wins() -> None:
    scores = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.2, 0.4, 0.4]])
    assert topk_accuracy(scores, np.array([0, 1, 2]), 1) == pytest.approx(100 / 3)
    assert topk_accuracy(scores, np.array([0, 1, 2]), 2) == 100.0


@pytest.mark.parametrize("num_class", [2, 12, 60])
def test_confusion_plots_grow_with_the_classes(tmp_path, num_class: int) -> None:
    path = tmp_path / "plot.png"
    plot_confusion(np.eye(num_class, dtype=int), [f"class number {i}" for i in range(num_class)], path, "title")
    width, height = Image.open(path).size
    assert 8 * num_class < min(width, height) < 1000 + 20 * num_class


@pytest.mark.parametrize("confused", [0, 1, 500])
def test_many_classes_are_drawn_as_confused_pairs(tmp_path, confused: int) -> None:
    """The picture stays small for any number of classes."""
    matrix = np.eye(1000, dtype=int)
    matrix[:confused, 0] += 1
    plot_confusion(matrix, [f"class number {i}" for i in range(1000)], tmp_path / "plot.png", "title")
    assert max(Image.open(tmp_path / "plot.png").size) < 2000


@pytest.mark.parametrize("num_class", [5, 201])
def test_class_names_are_drawn_as_they_are(tmp_path, num_class: int, caplog) -> None:
    """Neither as formulas nor on several lines."""
    names = ["$x_{1$", "\\frac^", "$", "two\nlines\x1b[0m\ud800", "long " * 100, *map(str, range(5, num_class))]
    matrix = np.ones((num_class, num_class), int)
    matrix[:5] = 9
    plot_confusion(matrix, names, tmp_path / "plot.png", "100 $")
    assert max(Image.open(tmp_path / "plot.png").size) < 5000
    assert caplog.text == ""
    plot_confusion(matrix, ["\u4e2d\u6587", *names[1:]], tmp_path / "plot.png", "title")
    assert len(caplog.records) == 1


def test_the_map_is_the_mean_over_classes_with_a_positive() -> None:
    found = average_precisions(SEVERAL, HOT)
    assert found[:3] == pytest.approx([100 * precision_by_hand(SEVERAL[:, k], HOT[:, k]) for k in range(3)])
    assert np.isnan(found[3])
    figures = accuracies(SEVERAL, HOT)
    assert figures["map"] == pytest.approx(map_by_hand(SEVERAL, HOT))
    assert figures["hit1"] == 20 * sum(HOT[video, SEVERAL[video].argmax()] for video in range(5))
    assert intervals(figures, HOT).keys() == {"hit1"}
    assert accuracies(SEVERAL, np.zeros_like(HOT)) == {}
