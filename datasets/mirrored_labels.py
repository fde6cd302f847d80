"""Labels of mirrored clips, from class names."""

import re
import unicodedata
from collections.abc import Sequence

from datasets.class_names import without_index

_OPPOSITE = {"left": "right", "clockwise": "counterclockwise"}
_OPPOSITE |= {other: one for one, other in _OPPOSITE.items()}
# A word ends where no letter follows. \b would take digits for letters: "turn left2".
_START, _END = r"(?<![^\W\d])", r"(?![^\W\d])"
_SIDE = rf"(?:left|right)(?=(?:wards?|hand(?:ed)?|foot(?:ed)?|arm|leg|side|most|to(?:left|right))?{_END})"
_TURN = rf"(?:counter)?clockwise{_END}"
# Words may be joined: "swipeleft". "upright" and "leftover" are harmless unless "upleft" and "rightover" are classes.
_DIRECTION = re.compile(rf"{_START}(?:left|right)|{_SIDE}|{_TURN}")
_WORD = re.compile(rf"{_START}{_SIDE}|{_TURN}")
_BOTH = re.compile(rf"{_START}(left|right) ?(and|or|&|/|\+|,) ?(left|right){_END}")
_SHORT = {"cw": "clockwise", "ccw": "counterclockwise", "acw": "counterclockwise"}
_SHORT_TURN = re.compile(rf"{_START}({'|'.join(_SHORT)}){_END}")
_COUNTERCLOCKWISE = re.compile(rf"(?:anti|counter)[ -]*(?=clockwise{_END})")
_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def mirrored_labels(class_names: Sequence[str]) -> tuple[int, ...]:
    """The label of each class's clips after a horizontal flip.

    The words left and right, and clockwise and counterclockwise, are swapped in each name. If the result is the name of
    another class, the two are a pair; all other classes keep their label. Names are used because the same classes are
    numbered in several ways: the official code's numbers fit only one order of Something-Something.

    Args:
        class_names: K names in label order; swipe_left, swipeLeft and "Swipe left" are the same, and an index
            ("1 turn_left", "2 turn_right") is ignored.
    """
    names = _plain_names(class_names)
    labels = {name: label for label, name in enumerate(names)}
    return tuple(
        label if (swapped := _swapped(name)) == name else labels.get(swapped, label) for label, name in enumerate(names)
    )


def names_without_mirror(class_names: Sequence[str]) -> list[str]:
    """Names with one direction (not "left and right") whose clips keep their label: no class has the mirrored name."""
    rows = enumerate(zip(class_names, _plain_names(class_names), mirrored_labels(class_names), strict=True))
    return [
        class_name
        for label, (class_name, name, mirrored) in rows
        if mirrored == label and _WORD.search(_BOTH.sub("", name))
    ]


def _plain_names(class_names: Sequence[str]) -> list[str]:
    return [_plain(name) for name in without_index(class_names)]


def _plain(name: str) -> str:
    """A name in lower case, with single blanks between words, and "counterclockwise" in one word."""
    words = _CAMEL_CASE.sub(" ", unicodedata.normalize("NFKC", name)).replace("_", " ").casefold().split()
    in_full = _SHORT_TURN.sub(lambda match: _SHORT[match[0]], " ".join(words))
    return _COUNTERCLOCKWISE.sub("counter", in_full)


def _swapped(name: str) -> str:
    return _DIRECTION.sub(lambda match: _OPPOSITE[match[0]], name)
