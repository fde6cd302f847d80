"""Confusion matrices as pictures; no screen is needed."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from common.console import printable
from common.errors import short
from ops.scoring.metrics import MOST_PAIRS, confused_pairs

LARGEST_WITH_NUMBERS = 30  # classes; in larger matrices the cells are too small for numbers
LARGEST_MATRIX = 200  # classes; above, only the most confused pairs are drawn


@rc_context({"text.usetex": False, "text.parse_math": False})  # a $ in a class name is a $
def plot_confusion(matrix: np.ndarray, class_names: Sequence[str], path: Path, title: str) -> None:
    """Draw a confusion matrix in percent of each class or, for many classes, the most confused pairs.

    `matrix` (K, K) has counts: row = label, column = predicted class. `path` is a PNG file.
    """
    names = [short(" ".join(printable(name).split()), 60) for name in class_names]
    draw = _draw_matrix if len(names) <= LARGEST_MATRIX else _draw_pairs
    figure = draw(matrix, names, title)
    with warnings.catch_warnings(record=True) as caught:  # one for each character that the font lacks
        figure.savefig(path, dpi=110, bbox_inches="tight")
    if caught:
        logging.warning("%s: %s (%d such warnings)", path.name, caught[0].message, len(caught))


def _draw_matrix(matrix: np.ndarray, names: Sequence[str], title: str) -> Figure:
    percent = 100.0 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    is_small = len(names) <= LARGEST_WITH_NUMBERS
    font = 9 if is_small else 6
    side = max(4.0, (0.45 if is_small else 0.15) * len(names)) + 0.0085 * font * max(map(len, names))  # inches
    figure = Figure(figsize=(side + 1.2, side + 0.8), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, label="% of the class", shrink=0.6)
    axes.set_title(title, fontsize=11 if is_small else 20)
    axes.set(xlabel="predicted class", ylabel="label")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(len(names)), names, fontsize=font)
        axis.set_ticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.tick_params("x", rotation=90)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color="#e4e4e4", linewidth=0.4)
    for row, column in np.argwhere(matrix) if is_small else []:
        colour = "white" if percent[row, column] > 55 else "black"
        axes.text(column, row, f"{percent[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def _draw_pairs(matrix: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Bars for the pairs (label, predicted class) with the most videos, the larger share of the class first."""
    found = confused_pairs(matrix)
    worst = found[:MOST_PAIRS]
    counts = [int(matrix[pair]) for pair in worst]
    shares = [100 * count / matrix[label].sum() for count, (label, _) in zip(counts, worst, strict=True)]
    pairs = [f"{names[label]} \N{RIGHTWARDS ARROW} {names[predicted]}" for label, predicted in worst]
    width = 6 + 0.065 * max(map(len, pairs), default=0)  # inches, for the longest pair
    figure = Figure(figsize=(width, 1.5 + 0.24 * len(pairs)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(pairs)), counts)
    axes.bar_label(bars, [f"{share:.0f} %" for share in shares], fontsize=8, padding=3)
    axes.set_yticks(range(len(pairs)), pairs, fontsize=8)
    axes.margins(x=0.1, y=0.02)
    axes.invert_yaxis()
    axes.locator_params("x", integer=True)
    axes.set_xlabel("videos (and share of the class)")
    shown = f"{len(found)} pairs of {len(names)} classes are confused; the {len(pairs)} most frequent"
    axes.set_title(f"{title}\n{shown}, label \N{RIGHTWARDS ARROW} predicted", fontsize=11)
    return figure
