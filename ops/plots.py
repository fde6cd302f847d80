"""Pictures of results, drawn without a screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

LARGEST_WITH_NUMBERS = 30  # classes; beyond that the cells are too small to write in


def plot_confusion(matrix: np.ndarray, class_names: Sequence[str], path: Path, title: str) -> None:
    """Draw a confusion matrix as a PNG, each row in percent of its class.

    Args:
        matrix: (K, K) counts, row = label, column = predicted class.
        class_names: K names.
        path: of the PNG.
        title: above it.
    """
    num_class = len(class_names)
    percent = 100.0 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    cell = 0.45 if num_class <= LARGEST_WITH_NUMBERS else 0.15  # inches
    side = max(4.0, cell * num_class)
    font = 9 if num_class <= LARGEST_WITH_NUMBERS else 6
    margin = 0.0085 * font * min(60, max(map(len, class_names)))  # inches for the longest name
    figure = Figure(figsize=(side + margin + 1.2, side + margin + 0.8), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    names = [name if len(name) <= 60 else f"{name[:57]}..." for name in class_names]
    axes.set_xticks(range(num_class), names, rotation=90, fontsize=font)
    axes.set_yticks(range(num_class), names, fontsize=font)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    axes.set_title(title, fontsize=11 if num_class <= LARGEST_WITH_NUMBERS else 20)
    axes.set_xticks(np.arange(num_class + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(num_class + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#e4e4e4", linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    if num_class <= LARGEST_WITH_NUMBERS:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            value = percent[row, column]
            colour = "white" if value > 55 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label="% of the class", shrink=0.6)
    figure.savefig(path, dpi=110, bbox_inches="tight")


Points = Mapping[float, Sequence[float]]  # place on the x axis -> measurements there


def plot_spread(
    panels: Mapping[str, Mapping[str, Points]], path: Path, *, title: str, x: str, y: str, chance: float
) -> None:
    """Draw repeated measurements as a PNG: their mean as a line, each of them as a dot.

    Args:
        panels: title -> name of a line -> its points. The x axis is logarithmic, base 2.
        path: of the PNG.
        title: above all.
        x: what the x axis is, with its unit.
        y: what the y axis is, with its unit.
        chance: y of a dotted line.
    """
    figure = Figure(figsize=(6.2 * len(panels), 4.8), layout="constrained")
    styles: dict[str, tuple[str, str]] = {}  # a line that stands in several panels looks the same in all
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (heading, lines) in zip(row, panels.items(), strict=True):
        axes.axhline(chance, color="grey", linestyle=":", linewidth=1)
        for number, (name, points) in enumerate(lines.items()):
            colour, marker = styles.setdefault(name, (f"C{len(styles)}", "os^Dv<>P"[len(styles) % 8]))
            aside = 1 + 0.02 * (number - (len(lines) - 1) / 2)  # so that dots of several lines lie beside one another
            means = [float(np.mean(values)) for values in points.values()]
            axes.plot([place * aside for place in points], means, color=colour, marker=marker, label=name)
            for place, values in points.items():
                axes.plot([place * aside] * len(values), values, ".", color=colour, alpha=0.5, markersize=5)
        places = sorted({place for points in lines.values() for place in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.set_xlabel(x)
        axes.set_title(heading, fontsize=11)
        axes.grid(color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(fontsize=9, framealpha=0.9)
    row[0].set_ylabel(y)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
