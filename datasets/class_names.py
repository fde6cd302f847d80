"""Class names: files that hold them, and spellings of the same name."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError, counted, few, quoted
from datasets.lists import read_text
from datasets.other_lists import JSON

_GAP = r"(?P<gap>[\s.,:;)_-]+)"
_INDEX_FORMS = [re.compile(rf"(?P<index>\d+){_GAP}(?P<name>.+)"), re.compile(rf"(?P<name>.+?){_GAP}(?P<index>\d+)")]
_TABLE_GAPS = "\t,;"


def read_class_names(path: Path) -> tuple[str, ...]:
    """Class names in label order, from one name per line or a table (`name<TAB>label`, `label,name`).

    An empty or repeated name raises an `InputError`.
    """
    text = read_text(path, "the class names").rstrip()
    if re.match(JSON, text):
        raise InputError(f"{path} is JSON; the class names must be text with one name per line, in label order")
    names = [line.strip() for line in text.splitlines()]
    table = indexed(names, _TABLE_GAPS) or indexed(names[1:], _TABLE_GAPS)  # the first line may be a header
    if table:
        names = [name.strip('"') for _, name in sorted(table)]
    first_line: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise InputError(f"{path}:{number}: the class name is empty; write one name per line")
        if name in first_line:
            raise InputError(f"{path}:{number}: {quoted(name)} is in line {first_line[name]} already; rename one")
        first_line[name] = number
    return tuple(names)


def indexed(names: Sequence[str], gaps: str = "") -> list[tuple[int, str]] | None:
    """(index, name) of names that all begin or all end with an index, "1 walk", "02_run", "jump<TAB>3"; else None.

    The indices must be 0 ... K-1 or 1 ... K in any order, and the names without them must differ, so that the 2 of
    "turn left 2" stays if it distinguishes classes. `gaps`: characters of which one must separate index and name;
    empty: any.
    """
    for form in _INDEX_FORMS:
        matches = [
            match for match in map(form.fullmatch, names) if match and (not gaps or set(gaps) & set(match["gap"]))
        ]
        pairs = [(int(match["index"]), match["name"].strip()) for match in matches]
        start = min(pairs, default=(0,))[0]
        are_all = {index for index, _ in pairs} == set(range(start, start + len(names))) and start in (0, 1)
        if names and are_all and len({name for _, name in pairs}) == len(names):
            return pairs
    return None


def without_index(names: Sequence[str]) -> list[str]:
    """The names without their indices, if they are indexed."""
    return [name for _, name in indexed(names) or enumerate(names)]


def loose(name: str) -> str:
    """A name without the blanks, underscores, quotes, brackets and case that differ between copies of a data set."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())


def in_order_of(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...] | None:
    """The known names in the order of `names`, spelled differently or with an index; None if they are not the same."""
    pairs = indexed(names)
    for variant in [names, [name for _, name in sorted(pairs)]] if pairs else [names]:
        for key in (str, loose):
            by_key = {key(name): name for name in known}
            found = [by_key.get(key(name)) for name in variant]
            if len(by_key) == len(known) == len(found) and set(found) == set(known):
                return tuple(name for name in found if name is not None)
    return None


def difference(names: Sequence[str], known: Sequence[str]) -> str:
    """Names that only the file or only the annotations have, for a message."""
    ours = {loose(name): name for name in without_index(names)}
    theirs = {loose(name): name for name in known}
    only = {
        "the file": [name for key, name in ours.items() if key not in theirs],
        "the annotations": [name for key, name in theirs.items() if key not in ours],
    }
    return "; ".join(f"only in {where}: {few(there)}" for where, there in only.items() if there)


def class_names_beside(
    path: Path,  # of the file to read
    prepared: Path,  # classes.txt of the data set's folder, which may not exist
    num_class: int | None,  # K, if known
    *,
    own_lists: bool,  # the lists are not the prepared ones, so their labels may follow another order
    name: str,  # of the data set
) -> tuple[str, ...]:
    """Names in label order, refused if their number or order is wrong; in the spelling of the prepared ones."""
    names = read_class_names(path)
    if not names or (num_class is not None and len(names) != num_class):
        raise InputError(f"{path} has {counted(len(names), 'class name')}; {name} has {num_class or '1 or more'}")
    if not prepared.is_file() or prepared.samefile(path):
        return names
    known = read_class_names(prepared)
    same = in_order_of(names, known)
    if same and same != known and not own_lists:
        raise InputError(
            f"--classes {path} has the classes of {prepared} in another order, but the labels of the lists follow "
            f"{prepared}; prepare the data set again with --classes, or leave it out here"
        )
    return same or names
