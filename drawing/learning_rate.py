"""A plot of the learning rate over the epochs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from common.files import writing
from drawing.clips import INK, QUIET, SMALL, rendered

POINTS = 1000  # of the curve, at least


def draw_learning_rate(path: Path, lr_at: Callable[[float], float], epochs: int) -> None:
    """Plot `lr_at`, the learning rate as a function of the (fractional) epoch.

    Raises:
        InputError: the file cannot be written.
    """
    figure = Figure((7.0, 3.2), layout="constrained")
    axes = figure.subplots()
    at = np.linspace(0, epochs, epochs * -(-POINTS // epochs) + 1)
    axes.plot(at, [lr_at(epoch) for epoch in at], color=INK, linewidth=1.5)
    axes.set_xlim(0, epochs)
    axes.set_ylim(0)
    axes.set_xlabel("epoch", color=QUIET, size=SMALL)
    axes.set_title("learning rate", loc="left", color=INK, size=SMALL + 1, weight="bold")
    axes.tick_params(labelsize=SMALL, labelcolor=QUIET, length=0)
    axes.grid(axis="y", color="#e5e7eb")
    axes.spines[["top", "right"]].set_visible(False)
    with writing(path) as temporary:
        rendered(figure).save(temporary, "PNG")
