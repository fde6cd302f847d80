"""Line charts: the coordinates that template.html.j2 draws as SVG."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

LEFT, RIGHT, TOP, BOTTOM = 50, 350, 14, 206  # the plot in a picture of 380 x 250 pixels, the width of a phone
APART = 15  # pixels between the keys at the ends of two lines, at least


class Line(NamedTuple):
    """One line of a chart."""

    model: int  # its number: the colour, and the key at the end
    name: str
    points: Sequence[tuple[float, float]]
    areas: Sequence[float] = ()  # of the points, relative to the usual one
    is_dashed: bool = False


def line_chart(
    title: str, x_label: str, y_label: str, lines: Sequence[Line], *, is_square: bool = False
) -> dict[str, Any]:
    """A chart; `is_square`: both axes are percentages from 0 to 100, with the line of equal values.

    Returns:
        Its texts, and in pixels the ticks, the points of the lines, and the keys at their ends.
    """
    points = [(0.0, 0.0), (100.0, 100.0)] if is_square else [point for line in lines for point in line.points]
    xs, ys = np.array(points).T
    x_ticks = MaxNLocator(6, integer=True, min_n_ticks=1).tick_values(xs.min(), xs.max())
    x_ticks = x_ticks[(x_ticks >= xs.min()) & (x_ticks <= xs.max())]
    y_ticks = MaxNLocator(5).tick_values(ys.min(), ys.max())

    def x_of(x: float) -> float:
        return round(float(np.interp(x, [xs.min(), xs.max() + (xs.min() == xs.max())], [LEFT, RIGHT])), 1)

    def y_of(y: float) -> float:
        return round(float(np.interp(y, y_ticks[[0, -1]], [BOTTOM, TOP])), 1)

    marks = [
        [
            (x_of(x), y_of(y), round(3 * area**0.5, 1), f"{line.name}: {y:.4g} at {x:.4g}")
            for (x, y), area in zip(line.points, line.areas or [1] * len(line.points), strict=True)
        ]
        for line in lines
    ]
    return {
        "title": title, "x_label": x_label, "y_label": y_label, "is_square": is_square,
        "x_ticks": [(x_of(tick), f"{tick:g}") for tick in x_ticks],
        "y_ticks": [(y_of(tick), f"{tick:g}") for tick in y_ticks],
        "lines": list(zip(lines, marks, _spread([own[-1][1] for own in marks]), strict=True)),
    }  # fmt: skip


def _spread(heights: Sequence[float]) -> list[float]:
    """The heights of keys, moved down until none covers another."""
    placed = list(heights)
    order = np.argsort(heights)
    for above, below in zip(order, order[1:], strict=False):
        placed[below] = max(placed[below], placed[above] + APART)
    return placed
