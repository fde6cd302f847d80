"""What a parser of annotations is given and gives: the official files, and class names with the clips of each list."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import InputError, counted, few, quoted, refuse
from datasets.class_names import difference, in_order_of, read_class_names
from datasets.lists import read_text

MOST_FOLDERS = 20  # a folder with more folders than this holds videos or frames, which are not searched


class Clip(NamedTuple):
    """A clip as annotated.

    Attributes:
        name: of its frame folder, and of its video file without the ending.
        label: class, from 0.
        place: file and line where it stands.
        folder: name of the folder that it lies in, as far as the data set has one: its class, its session.
        aliases: other names that its file may have, each of this clip alone.
    """

    name: str
    label: int
    place: str
    folder: str = ""
    aliases: tuple[str, ...] = ()

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
        class_order: whose order of the classes this is, and whose it is not.
        remarks: what a user should know of the choices that were made.
    """

    class_names: tuple[str, ...]
    lists: dict[str, list[Clip]]
    class_order: str = "sorted by name"
    remarks: list[str] = field(default_factory=list)

    def in_order(self, class_file: Path) -> "Annotations":
        """The same with the classes numbered as in a file, which may spell them otherwise.

        Raises:
            InputError: these are not the same classes.
        """
        given = read_class_names(class_file)
        class_names = in_order_of(given, self.class_names)
        if class_names is None:
            raise InputError(
                f"--classes {class_file} has {counted(len(given), 'name')}, the annotations have "
                f"{len(self.class_names)} ({difference(given, self.class_names)}); they must be the same names"
            )
        new_label = {name: label for label, name in enumerate(class_names)}
        lists = {
            key: [clip._replace(label=new_label[self.class_names[clip.label]]) for clip in clips]
            for key, clips in self.lists.items()
        }
        return replace(self, class_names=class_names, lists=lists, class_order=f"as in {class_file}")


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


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, line) of each line that is not blank, stripped, tabs as blanks; a place is "file:line"."""
    for number, line in enumerate(
        read_text(path, "the file").split("\n"), start=1
    ):  # `splitlines` would split at odd characters
        if line.strip():
            yield f"{path}:{number}", line.strip().replace("\t", " ")


def read_json(path: Path, kind: type) -> Any:
    """The content of a JSON file that holds a list or an object (`kind`: list, dict).

    Raises:
        InputError: it is no JSON, or of the other kind.
    """
    text = read_text(path, "the file")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
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
    refuse(faults, "more bad entry")
    return ((f"{path}: entry {number}", entry) for number, entry in enumerate(entries, start=1))


def require_classes(class_names: Sequence[str], number: int, source: Path, data_set: str) -> tuple[str, ...]:
    """The class names, if they are as many as the data set has and all differ.

    Raises:
        InputError: they are not.
    """
    twice = [name for name, count in Counter(class_names).items() if count > 1]
    if twice:
        raise InputError(f"{source} has the class {quoted(twice[0])} more than once; take the official file")
    if len(class_names) != number:
        raise InputError(
            f"{source} has {counted(len(class_names), 'class')}, {data_set} has {number}; "
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
                faults.append(f"{clip.place}: {quoted(clip.name)} is at {other.place} already; keep one of them")
        refuse(faults)
