"""`InputError`, for anything the user can fix, and the pieces that its messages are made of."""

import shlex
from collections.abc import Mapping, Sequence
from types import GenericAlias
from typing import Any

SHOWN = 5  # faults of one kind listed in a message


class InputError(ValueError):
    """Bad input. The message states the value, its place, the allowed values, and the remedy."""


def refuse(faults: Sequence[str], what: str = "more bad line", cure: str = "") -> None:
    """Raise an `InputError` that lists the first faults and counts the rest as `what`; without faults do nothing."""
    if faults:
        more = f"\nand {counted(len(faults) - SHOWN, what)}{cure}" if len(faults) > SHOWN else ""
        raise InputError("\n".join(faults[:SHOWN]) + more)


def unforeseen(name: object, error: Exception) -> InputError:
    """Turn an unexpected exception from one of many files into an `InputError`, so that work on the rest continues."""
    kind = type(error).__name__
    return InputError(f"{name} cannot be read ({kind}: {error}); remove it from the list, and report this")


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 clip", "2,000 clips", "3 classes", "4 entries"."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}es" if noun.endswith("ss") else f"{noun}s"
    return f"{number:,} {noun}"


def quoted(name: str) -> str:
    """A name in quotes with control characters escaped but, unlike in `repr`, single backslashes."""
    return repr(name).replace("\\\\", "\\")


def few(names: Sequence[str], number: int = 3) -> str:
    """The first names, followed by dots if there are more."""
    return ", ".join(names[:number]) + (", ..." if len(names) > number else "")


def short(value: object, length: int = 80) -> str:
    """The text of a value from a file, cut to this many characters: a damaged file may hold megabytes."""
    text = str(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def reason(error: Exception) -> str:
    """The text of an exception; for an `OSError` without the path, whose backslashes it doubles."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def command(*words: object) -> str:
    """A command to paste into a shell, with blanks and quotes in its words escaped."""
    return shlex.join(map(str, words))


def wrong_fields(stored: object, kinds: Mapping[str, Any]) -> list[str]:
    """Names of the fields that are missing or of the wrong type in the content of a file, such as JSON.

    `kinds` maps names to types. Numbers must be finite, True is not a number, and `list[str]` is checked per item.
    """
    if not isinstance(stored, Mapping):
        return list(kinds)
    return [name for name, kind in kinds.items() if not _is_a(stored.get(name), kind)]


def _is_a(value: object, kind: Any) -> bool:
    if kind in (int, float):
        number = int if kind is int else (int, float)
        return isinstance(value, number) and not isinstance(value, bool) and abs(value) < 2**63
    if isinstance(kind, GenericAlias):
        return isinstance(value, list) and all(_is_a(item, kind.__args__[0]) for item in value)
    return isinstance(value, kind)
