"""Motions of the built-in data set: functions of time that put cards on a frame.

The classes come in pairs. The second of a pair is the first played backwards, and nothing else: all random numbers
(start, size, curvature, jitter) are drawn in the same way for both, so their frames without order reveal nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True)
class Card:
    """One thing on a frame."""

    look: int | None  # index of its look (colour and digit) among the clip's; None: the plain cover
    x: float  # centre, share of the frame's width
    y: float  # centre, share of the frame's height
    size: float  # height, share of the frame's height
    angle: float = 0.0  # counterclockwise, in degrees
    length: float = 1.0  # width of the unturned card, in its heights


Motion = Callable[[float], list[Card]]  # time 0 ... 1 -> cards, the last one on top


def across(rng: Rng) -> Motion:
    """One card from left to right, on a slightly bent path."""
    x0, x1 = rng.uniform(0.18, 0.32), rng.uniform(0.68, 0.82)
    y, bend, size = rng.uniform(0.4, 0.6), rng.uniform(-0.08, 0.08), rng.uniform(0.28, 0.42)
    angle = rng.uniform(-15, 15)
    return lambda p: [Card(0, x0 + (x1 - x0) * p, y + bend * np.sin(np.pi * p), size, angle)]


def upwards(rng: Rng) -> Motion:
    """One card from the bottom to the top, on a slightly bent path."""
    y0, y1 = rng.uniform(0.7, 0.8), rng.uniform(0.2, 0.3)
    x, bend, size = rng.uniform(0.38, 0.62), rng.uniform(-0.08, 0.08), rng.uniform(0.28, 0.42)
    angle = rng.uniform(-15, 15)
    return lambda p: [Card(0, x + bend * np.sin(np.pi * p), y0 + (y1 - y0) * p, size, angle)]


def closer(rng: Rng) -> Motion:
    """One card that grows."""
    x, y = rng.uniform(0.42, 0.58), rng.uniform(0.42, 0.58)
    small, large = rng.uniform(0.16, 0.24), rng.uniform(0.55, 0.75)
    angle = rng.uniform(-15, 15)
    return lambda p: [Card(0, x, y, small * (large / small) ** p, angle)]


def clockwise(rng: Rng) -> Motion:
    """One long card that turns by a quarter to a half of a full turn."""
    x, y, size = rng.uniform(0.42, 0.58), rng.uniform(0.42, 0.58), rng.uniform(0.28, 0.36)
    turn, middle, length = rng.uniform(110, 170), rng.uniform(-180, 180), rng.uniform(2.1, 2.5)
    return lambda p: [Card(0, x, y, size, middle + turn * (0.5 - p), length)]


def apart(rng: Rng) -> Motion:
    """Two cards from the middle to the sides."""
    x, y, size = rng.uniform(0.46, 0.54), rng.uniform(0.4, 0.6), rng.uniform(0.26, 0.36)
    near, far, tilt = rng.uniform(0.1, 0.13), rng.uniform(0.28, 0.34), rng.uniform(-0.12, 0.12)

    def motion(p: float) -> list[Card]:
        distance = near + (far - near) * p
        slope = tilt * distance / far
        return [Card(0, x - distance, y - slope, size), Card(1, x + distance, y + slope, size)]

    return motion


def covering(rng: Rng) -> Motion:
    """A plain card slides over a thing, from a random side."""
    x, y, size = rng.uniform(0.42, 0.58), rng.uniform(0.42, 0.58), rng.uniform(0.3, 0.4)
    dx, dy = ((-1, 0), (1, 0), (0, -1), (0, 1))[rng.integers(4)]
    way, angle = rng.uniform(0.4, 0.48), rng.uniform(-15, 15)

    def motion(p: float) -> list[Card]:
        rest = way * (1 - p)
        return [Card(0, x, y, size, angle), Card(None, x + dx * rest * 0.75, y + dy * rest, 1.3 * size, angle)]

    return motion


# A motion, its name, and its name played backwards.
PAIRS: tuple[tuple[Callable[[Rng], Motion], str, str], ...] = (
    (across, "Moving something from left to right", "Moving something from right to left"),
    (upwards, "Moving something up", "Moving something down"),
    (closer, "Moving something closer to the camera", "Moving something away from the camera"),
    (clockwise, "Turning something clockwise", "Turning something counterclockwise"),
    (apart, "Moving two things away from each other", "Moving two things closer to each other"),
    (covering, "Covering something with a card", "Uncovering something by removing a card"),
)
CLASS_NAMES = tuple(name for _, forwards, backwards in PAIRS for name in (forwards, backwards))


def sample_motion(label: int, rng: Rng) -> Motion:
    """A random motion of a class (label from 0, the order of `CLASS_NAMES`)."""
    motion = PAIRS[label // 2][0](rng)
    return motion if label % 2 == 0 else lambda p: motion(1 - p)
