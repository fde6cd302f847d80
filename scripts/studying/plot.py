"""A figure of means and single runs against a setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

Points = Mapping[float, Sequence[float]]  # x -> measurements


def plot_spread(
    panels: Mapping[str, Mapping[str, Points]], path: Path, *, title: str, x: str, y: str, chance: float
) -> None:
    """Plot repeated measurements as a PNG, their means as lines and each of them as a dot.

    Args:
        panels: title -> name of a line -> its points. The x axis is logarithmic (base 2).
        path: of the PNG.
        title: of the figure.
        x: label of the x axis, with unit.
        y: label of the y axis, with unit.
        chance: y of a dotted line.
    """
    figure = Figure(figsize=(6.2 * len(panels), 4.8), layout="constrained")
    styles: dict[str, tuple[str, str]] = {}  # a line looks the same in all panels
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (heading, lines) in zip(row, panels.items(), strict=True):
        axes.axhline(chance, color="grey", linestyle=":", linewidth=1)
        for number, (name, points) in enumerate(lines.items()):
            colour, marker = styles.setdefault(name, (f"C{len(styles)}", "os^Dv<>P"[len(styles) % 8]))
            aside = 1 + 0.02 * (number - (len(lines) - 1) / 2)  # keeps the dots of different lines apart
            means = [float(np.mean(values)) for values in points.values()]
            axes.plot([setting * aside for setting in points], means, color=colour, marker=marker, label=name)
            for setting, values in points.items():
                axes.plot([setting * aside] * len(values), values, ".", color=colour, alpha=0.5, markersize=5)
        settings = sorted({setting for points in lines.values() for setting in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(settings, [f"{setting:g}" for setting in settings])
        axes.set_xlabel(x)
        axes.set_title(heading, fontsize=11)
        axes.grid(color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(fontsize=9, framealpha=0.9)
    row[0].set_ylabel(y)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
