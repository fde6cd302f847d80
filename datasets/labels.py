"""Labels of mirrored clips, from class names."""

import re
from collections.abc import Sequence

_OPPOSITE = {"left": "right", "clockwise": "counterclockwise"}
_OPPOSITE |= {other: one for one, other in _OPPOSITE.items()}
# The end of a word is where no letter is. Not \b, for which digits are letters, too: "turn left2".
_DIRECTION = re.compile(rf"(?<![^\W\d])({'|'.join(_OPPOSITE)})(?![^\W\d])")
_COUNTERCLOCKWISE = re.compile(r"(?<![^\W\d])(anti|counter)[ -]*(?=clockwise(?![^\W\d]))")
_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def mirrored_labels(class_names: Sequence[str]) -> tuple[int, ...]:
    """For every class the label of its clips after a horizontal flip.

    The words left and right, and clockwise and counterclockwise, are swapped in a name. Where the result is the name
    of another class, the two are a pair; all other classes keep their label. By name, because the same classes are
    numbered in several ways: the official code's numbers are right for one order of Something-Something only.

    Args:
        class_names: K names in label order; swipe_left, swipeLeft and "Swipe left" are the same.

    Returns:
        K labels.
    """
    plain_names = [_plain(name) for name in class_names]
    labels = {name: label for label, name in enumerate(plain_names)}
    swapped_names = (_DIRECTION.sub(lambda match: _OPPOSITE[match[0]], name) for name in plain_names)
    return tuple(
        label if swapped == name else labels.get(swapped, label)
        for label, (name, swapped) in enumerate(zip(plain_names, swapped_names, strict=True))
    )


def _plain(name: str) -> str:
    """One spelling of a name: small letters, words divided by one blank, "counterclockwise" in one word."""
    words = _CAMEL_CASE.sub(" ", name).replace("_", " ").casefold().split()
    return _COUNTERCLOCKWISE.sub("counter", " ".join(words))
