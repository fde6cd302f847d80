"""What a parser of annotations is given and gives: the official files, and class names with the clips of each list."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from errors import InputError, few, refuse

MOST_FOLDERS = 20  # a folder with more folders than this holds videos or frames, which are not searched


class Clip(NamedTuple):
    """A clip as annotated.

    Attributes:
        name: of its frame folder, and of its video file without the ending.
        label: class, from 0.
        place: file and line where it stands.
        folder: name of the folder that it lies in, as far as the data set has one: its class, its session.
    """

    name: str
    label: int
    place: str
    folder: str = ""

    @property
    def id(self) -> str:
        """What tells it from all others: its name, and its folder, where the data set has folders."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


@dataclass(frozen=True)
class Annotations:
    """What the official files of a data set say.

    Attributes:
        class_names: K names in label order.
        lists: name of the list, such as "train" or "val_split1" -> its clips.
        remarks: what a user should know of the choices that were made.
    """

    class_names: tuple[str, ...]
    lists: dict[str, list[Clip]]
    remarks: list[str] = field(default_factory=list)

    def in_order(self, class_names: Sequence[str]) -> "Annotations":
        """The same with the classes numbered as in `class_names`.

        Raises:
            InputError: these are not the same classes.
        """
        others = sorted(set(class_names) ^ set(self.class_names))
        if others or len(class_names) != len(self.class_names):
            example = f"; {others[0]!r} is in one of them only" if others else ""
            raise InputError(
                f"--classes has {len(class_names)} names, the annotations have {len(self.class_names)}{example}; "
                "it must hold the same names in another order"
            )
        new_label = {name: label for label, name in enumerate(class_names)}
        lists = {
            key: [clip._replace(label=new_label[self.class_names[clip.label]]) for clip in clips]
            for key, clips in self.lists.items()
        }
        return replace(self, class_names=tuple(class_names), lists=lists)


class AnnotationFiles:
    """The files among which a parser looks for those that it knows by name."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Files, or folders that hold them (or hold a folder that does).

        Raises:
            InputError: a path is not there or cannot be read.
        """
        self.paths = list(paths)
        try:
            self.files = list(dict.fromkeys(file for path in paths for file in _files_of(path)))
        except OSError as error:
            raise InputError(
                f"--annotations: cannot read {error.filename}: {error.strerror}; "
                "give the official annotation files, or the folder where they lie"
            ) from error

    def find_all(self, pattern: str) -> list[Path]:
        """Files whose whole name matches the regular expression."""
        return [file for file in self.files if re.fullmatch(pattern, file.name)]

    def find(self, pattern: str, official_name: str) -> Path:
        """The one file whose whole name matches.

        Raises:
            InputError: there is none, or there are several.
        """
        found = self.find_all(pattern)
        if len(found) == 1:
            return found[0]
        where = ", ".join(map(str, self.paths))
        if found:
            raise InputError(
                f"--annotations {where}: {', '.join(map(str, found))} could all be {official_name}; "
                "give the right files one by one"
            )
        there = sorted({file.name for file in self.files if file.suffix in {".csv", ".json", ".txt"}})
        shown = few(there, 8) or "no .csv, .json or .txt file"
        raise InputError(f"--annotations {where}: there is no {official_name}; there is {shown}")


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        with path.open():  # an error that says why
            return [path]
    entries = sorted(path.iterdir())
    folders = [entry for entry in entries if entry.is_dir()]
    below = [file for folder in folders for file in sorted(folder.iterdir())] if len(folders) <= MOST_FOLDERS else []
    return [file for file in entries + below if file.is_file()]


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        InputError: it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}; take the official file as it was downloaded") from error


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, line) of each line that is not blank, stripped; a place is "file:line"."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):  # `splitlines` would split at odd characters
        if line.strip():
            yield f"{path}:{number}", line.strip()


def read_json(path: Path, kind: type) -> Any:
    """The content of a JSON file that holds a list or an object (`kind`: list, dict).

    Raises:
        InputError: it is no JSON, or of the other kind.
    """
    text = read_text(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}; is it a whole file?") from error
    if not isinstance(content, kind):
        raise InputError(f"{path} holds a {type(content).__name__}, not a {kind.__name__}; is it the right file?")
    return content


def json_entries(path: Path, keys: Sequence[str]) -> Iterator[tuple[str, dict]]:
    """(place, entry) of a JSON list of objects that have `keys`.

    Raises:
        InputError: entries that are no objects or lack a key.
    """
    entries, faults = read_json(path, list), []
    for number, entry in enumerate(entries, start=1):
        missing = [key for key in keys if key not in entry] if isinstance(entry, dict) else keys
        if missing:
            faults.append(f"{path}: entry {number} has no {', '.join(missing)}; is it the right file?")
    refuse(faults, "bad entries")
    return ((f"{path}: entry {number}", entry) for number, entry in enumerate(entries, start=1))


def require_classes(class_names: Sequence[str], number: int, source: Path, data_set: str) -> tuple[str, ...]:
    """The class names, if they are as many as the data set has and all differ.

    Raises:
        InputError: they are not.
    """
    twice = [name for name, count in Counter(class_names).items() if count > 1]
    if twice:
        raise InputError(f"{source} has the class {twice[0]!r} more than once; take the official file")
    if len(class_names) != number:
        raise InputError(
            f"{source} has {len(class_names)} classes, {data_set} has {number}; "
            "is it the whole official file, of this data set and this version?"
        )
    return tuple(class_names)


def require_distinct(lists: dict[str, list[Clip]], identity: Callable[[Clip], str] = attrgetter("id")) -> None:
    """Check that no clip stands in a list twice, or in the train and the val list of a split.

    Args:
        lists: of clips.
        identity: two clips with equal values are the same.

    Raises:
        InputError: one does.
    """
    for train in [key for key in lists if key.startswith("train")]:
        first: dict[str, Clip] = {}
        faults = []
        for clip in lists[train] + lists.get(train.replace("train", "val"), []):
            other = first.setdefault(identity(clip), clip)
            if other is not clip:
                faults.append(f"{clip.place}: {clip.name!r} stands at {other.place} too; keep one of them")
        refuse(faults)
