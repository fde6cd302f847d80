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
    videos: Sequence[int] = ()  # per point; the more, the larger is its dot
    is_dashed: bool = False

    def radii(self) -> list[float]:
        """Radius of each dot in pixels."""
        return [round(1.5 + 6 * (n / sum(self.videos)) ** 0.5, 1) for n in self.videos] or [3] * len(self.points)


def line_chart(
    title: str, x_label: str, y_label: str, lines: Sequence[Line], *, is_square: bool = False
) -> dict[str, Any]:
    """A chart; `is_square`: both axes are percentages from 0 to 100, with the line of equal values.

    Returns:
        Its texts, and in pixels the ticks, the dots of the lines, and the keys at their ends.
    """
    points = [(0.0, 0.0), (100.0, 100.0)] if is_square else [point for line in lines for point in line.points]
    (left, low), (right, high) = np.min(points, 0), np.max(points, 0)
    x_ticks = MaxNLocator(6, integer=True, min_n_ticks=1).tick_values(left, right)
    y_ticks = np.asarray(MaxNLocator(5).tick_values(low, high))

    def x_of(x: float) -> float:
        return round(float(np.interp(x, [left, right + (left == right)], [LEFT, RIGHT])), 1)

    def y_of(y: float) -> float:
        return round(float(np.interp(y, y_ticks[[0, -1]], [BOTTOM, TOP])), 1)

    dots = [
        [(x_of(x), y_of(y), radius) for (x, y), radius in zip(line.points, line.radii(), strict=True)] for line in lines
    ]
    return {
        "title": title, "x_label": x_label, "y_label": y_label, "is_square": is_square,
        "x_ticks": [(x_of(tick), f"{tick:g}") for tick in x_ticks if left <= tick <= right],
        "y_ticks": [(y_of(tick), f"{tick:g}") for tick in y_ticks],
        "lines": list(zip(lines, dots, _spread([own[-1][1] for own in dots]), strict=True)),
    }  # fmt: skip


def _spread(heights: Sequence[float]) -> list[float]:
    """The heights of keys, moved down until none covers another."""
    placed = list(heights)
    order = np.argsort(heights)
    for above, below in zip(order, order[1:], strict=False):
        placed[below] = max(placed[below], placed[above] + APART)
    return placed
