"""Plots as PNG files: the learning rate over the epochs of a training, and classes over the time of a long video."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from common.console import printable
from common.files import writing
from common.progress import clock
from drawing.clips import INK, QUIET, SMALL, rendered, shorten, style

POINTS = 1000  # of the curve of the learning rate, at least
MOST_CLASSES = 10  # rows of a timeline
WIDTH, ROW = 11.0, 0.42  # of its picture and of a class, in inches
NAME_LETTERS = 44  # per line of a class name
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds between two


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


def draw_timeline(
    path: Path, times: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], title: str
) -> None:
    """Draw one row per class, as dark as the class is likely; a dot marks the most likely class of a window.

    Shows the classes that are most likely in some window, at most `MOST_CLASSES`, in the order in which they come.

    Args:
        path: a PNG file.
        times: (W, 2) starts and ends of W windows, in seconds.
        probabilities: (W, K).
        class_names: K names.
        title: heading of the picture.

    Raises:
        InputError: the file cannot be written.
    """
    best = probabilities.argmax(1)
    classes, first, counts = np.unique(best, return_index=True, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    shown = classes[most][np.argsort(first[most])]
    figure = Figure((WIDTH, 1.3 + ROW * len(shown)), layout="constrained")
    axes = figure.subplots()
    centres = times.mean(1)
    edges = np.concatenate([times[:1, 0], (centres[1:] + centres[:-1]) / 2, times[-1:, 1]])
    image = axes.pcolormesh(
        edges, np.arange(len(shown) + 1) - 0.5, 100 * probabilities[:, shown].T, cmap="Blues", vmin=0, vmax=100
    )
    bar = figure.colorbar(image, pad=0.01)
    bar.set_label("probability in %", color=QUIET, size=SMALL)
    bar.ax.tick_params(labelsize=SMALL, labelcolor=QUIET)
    windows, rows = np.nonzero(best[:, None] == shown)
    axes.scatter(centres[windows], rows, s=9, color="#f59e0b", linewidths=0, zorder=3)
    names = [shorten(" ".join(printable(class_names[label]).split()), NAME_LETTERS, 3) for label in shown]
    fonts = style("".join(names), "normal")
    axes.set_yticks(range(len(shown)), names, color=INK, size=SMALL, **fonts)
    axes.invert_yaxis()
    tick = next((tick for tick in TICKS if times.max() <= 12 * tick), times.max() / 12)
    axes.xaxis.set_major_locator(MultipleLocator(tick))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds).removesuffix(".0")))
    axes.tick_params(length=0, labelsize=SMALL)
    axes.set_xlabel("time; a dot marks the most likely class of a window", color=QUIET, size=SMALL)
    more = f" ({len(shown)} of {len(classes)} likely classes)" if len(classes) > len(shown) else ""
    title = shorten(" ".join(printable(title).split()), 90, 2) + more
    axes.set_title(title, loc="left", color=INK, size=SMALL + 1, **style(title))
    with writing(path) as temporary:
        rendered(figure).save(temporary, "PNG")
