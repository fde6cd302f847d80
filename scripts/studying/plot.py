"""A figure of means and single runs against a setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

Points = Mapping[float, Sequence[float]]  # x -> measurements


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
