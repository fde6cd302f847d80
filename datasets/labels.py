"""Labels of mirrored clips, from class names."""

import re
from collections.abc import Sequence

_OPPOSITE = {"left": "right", "right": "left"}
_CLOCKWISE = re.compile(r"\b(anti-?|counter-?)?clockwise\b", re.IGNORECASE)
_LEFT_RIGHT = re.compile(r"\b(left|right)\b", re.IGNORECASE)


def mirrored_labels(class_names: Sequence[str]) -> tuple[int, ...]:
    """For every class the label of its clips after a horizontal flip.

    The words left and right, and clockwise and counterclockwise, are swapped in a name. Where the result is the name
    of another class, the two are a pair; all other classes keep their label. By name, because the same classes are
    numbered in several ways: the official code's numbers are right for one order of Something-Something only.

    Args:
        class_names: K names in label order.

    Returns:
        K labels.
    """
    labels = {name.casefold(): label for label, name in enumerate(class_names)}
    mirrored = []
    for label, name in enumerate(class_names):
        candidates = (swapped.casefold() for swapped in _swapped(name))
        mirrored.append(next((labels[c] for c in candidates if c in labels), label))
    return tuple(mirrored)


def _swapped(name: str) -> list[str]:
    """The name with its directions swapped, in the spellings of counterclockwise; none if it has no direction."""
    sideways = _LEFT_RIGHT.sub(lambda m: _OPPOSITE[m[0].lower()], name)
    if not _CLOCKWISE.search(sideways):
        return [] if sideways == name else [sideways]
    spellings = ("counterclockwise", "counter-clockwise", "anticlockwise", "anti-clockwise")
    return [_CLOCKWISE.sub(lambda m, s=s: "clockwise" if m[1] else s, sideways) for s in spellings]  # type: ignore[misc]
