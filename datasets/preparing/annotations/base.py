"""Shared by all parsers: clips and classes as annotated, the official files, and helpers to read them."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from common.errors import InputError, counted, few, quoted, refuse
from datasets.class_names import difference, in_order_of, read_class_names
from datasets.lists import NO_LABEL, read_text

MOST_FOLDERS = 20  # a folder with more subfolders holds videos or frames, so they are not searched
Entry = TypeVar("Entry")
Parsed = TypeVar("Parsed")


class Clip(NamedTuple):
    """An annotated clip."""

    name: str  # of its frame folder, or of its video file without the suffix
    label: int  # class, from 0, or NO_LABEL
    origin: str  # file and line of the annotation
    folder: str = ""  # folder of its class or session, if the data set has such folders
    aliases: tuple[str, ...] = ()  # other names that its file may have and no other clip's file has

    @property
    def id(self) -> str:
        """Unique name: the folder, if there is one, and the name."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


@dataclass(frozen=True)
class Annotations:
    """The classes and clips of a data set."""

    class_names: tuple[str, ...]  # K, in label order
    lists: dict[str, list[Clip]]  # "train", "val_split1", ... -> clips
    class_order: str = "sorted by name"  # for the report: which order this is, and who uses another
    remarks: list[str] = field(default_factory=list)  # for the report

    def in_order(self, class_file: Path) -> "Annotations":
        """The same annotations with classes numbered as in a file, which may only spell them differently."""
        given = read_class_names(class_file)
        class_names = in_order_of(given, self.class_names)
        if class_names is None:
            raise InputError(
                f"--classes {class_file} has {counted(len(given), 'name')}, the annotations have "
                f"{len(self.class_names)} ({difference(given, self.class_names)}); they must be the same names"
            )
        new_labels = {label: class_names.index(name) for label, name in enumerate(self.class_names)}
        lists = {
            key: [c._replace(label=new_labels.get(c.label, NO_LABEL)) for c in clips]
            for key, clips in self.lists.items()
        }
        return replace(self, class_names=class_names, lists=lists, class_order=f"as in {class_file}")


@dataclass(frozen=True)
class Published:
    """The published size of a list."""

    clips: int
    note: str = ""  # doubts about the number, or its origin
    found: bool = False  # counts the videos of a well-known copy, which has fewer than the annotations name

    def compared(self, clips: int, what: str) -> list[str]:
        """A line if the list has another number of clips; `what` is counted: "annotated" or "listed"."""
        note = f" ({self.note})" if self.note else ""
        return [] if clips == self.clips else [f"{counted(clips, 'clip')} {what}; {self.clips:,} published{note}"]


class AnnotationFiles:
    """The given files, among which a parser finds official ones by name."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """`paths`: files, or folders that contain them directly or one level deeper."""
        self.paths = list(paths)
        try:
            self.files = list(dict.fromkeys(file for path in paths for file in _files_of(path)))
        except OSError as error:
            fix = "give the official annotation files or their folder"
            raise InputError(f"--annotations: cannot read {error.filename}: {error.strerror}; {fix}") from error

    def find_all(self, pattern: str) -> list[Path]:
        """Files whose whole name matches the regular expression."""
        return [file for file in self.files if re.fullmatch(pattern, file.name)]

    def find(self, official_name: str, pattern: str | None = None) -> Path:
        """The one file of this name, or whose whole name matches the regular expression; else an `InputError`."""
        found = self.find_all(pattern or re.escape(official_name))
        if len(found) == 1:
            return found[0]
        where = ", ".join(map(str, self.paths))
        if found:
            files = ", ".join(map(str, found))
            raise InputError(f"--annotations {where}: {files} could all be {official_name}; name the right files")
        names = sorted({file.name for file in self.files if file.suffix in {".csv", ".json", ".txt"}})
        there = few(names, 8) or "no .csv, .json or .txt file"
        raise InputError(f"--annotations {where}: there is no {official_name}; there is {there}")

    def parse_lines(self, official_name: str, parse: Callable[[str, str], Parsed]) -> list[Parsed]:
        """`parse(origin, line)` of the lines of the one file of this name; raises like `find` and `parse_each`."""
        return parse_each(numbered_lines(self.find(official_name)), parse)

    def parse_json(self, parse: Callable[[str, Any], Parsed], *names: str) -> list[Parsed]:
        """As `parse_lines`, of the entries of a JSON list; `names`: as for `find`."""
        path = self.find(*names)
        entries = enumerate(read_json(path, list), start=1)
        return parse_each(((f"{path}: entry {number}", entry) for number, entry in entries), parse)


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        with path.open():  # raises an error that says why
            return [path]
    entries = sorted(path.iterdir())
    folders = [entry for entry in entries if entry.is_dir()]
    below = [file for folder in folders for file in sorted(folder.iterdir())] if len(folders) <= MOST_FOLDERS else []
    return [file for file in entries + below if file.is_file()]


@dataclass(frozen=True)
class Official:
    """A data set with official annotation files."""

    parse: Callable[[AnnotationFiles], Annotations]  # raises InputError if a file is missing or wrong
    files: str  # their names, for the help text
    media: str  # names of the videos or frames, for the help text
    published: Mapping[str, Published]  # name of a list -> its size
    fold_case: bool = False  # ignore case in the names of videos


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """("file:line", text) of each line that is not blank, stripped, with tabs replaced by blanks."""
    lines = read_text(path, "the file").split("\n")  # `splitlines` also splits at rare characters inside names
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip().replace("\t", " ")


def csv_rows(reader: Any, path: Path, fix: str = "use the official file") -> Iterator[tuple[str, Any]]:
    """("file:line", row) of each row of a `csv.reader` or `csv.DictReader`; `fix`: advice if the file is not CSV."""
    try:
        for row in reader:
            yield f"{path}:{reader.line_num}", row
    except csv.Error as error:  # an unclosed quote
        raise InputError(f"{path}:{reader.line_num}: {error}; {fix}") from error


def read_json(path: Path, kind: type) -> Any:
    """The content of a JSON file with a list or an object (`kind`: list, dict); else an `InputError`."""
    text = read_text(path, "the file")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}; is the file complete?") from error
    if not isinstance(content, kind):
        raise InputError(f"{path} contains a {type(content).__name__}, not a {kind.__name__}; is it the right file?")
    return content


def value_of(entry: Any, key: str) -> Any:
    """`entry[key]`, or a `ValueError` if the entry is not an object with this key."""
    if not isinstance(entry, dict) or key not in entry:
        raise ValueError(f"it has no {key}; is it the right file?")
    return entry[key]


def parse_each(entries: Iterable[tuple[str, Entry]], parse: Callable[[str, Entry], Parsed]) -> list[Parsed]:
    """`parse(origin, entry)` of all entries; its `ValueError`s, without the origin, become one `InputError`."""
    parsed, faults = [], []
    for origin, entry in entries:
        try:
            parsed.append(parse(origin, entry))
        except ValueError as error:
            faults.append(f"{origin}: {error}")
    refuse(faults, "more bad entry")
    return parsed


def require_classes(class_names: Sequence[str], number: int, source: Path, data_set: str) -> tuple[str, ...]:
    """The class names, if they differ and their number is right; else an `InputError`."""
    twice = [name for name, count in Counter(class_names).items() if count > 1]
    if twice:
        raise InputError(f"{source} has the class {quoted(twice[0])} more than once; use the official file")
    if len(class_names) != number:
        raise InputError(
            f"{source} has {counted(len(class_names), 'class')}, {data_set} has {number}; "
            "is it the complete official file of this data set and version?"
        )
    return tuple(class_names)


def remark_on(names: Sequence[str], noun: str, text: str, shown: int = 3) -> list[str]:
    """A line that counts and shows names, such as "2 folders not read: a, b"; none without names."""
    return [f"{counted(len(names), noun)} {text}: {few(names, shown)}"] if names else []


def require_distinct(lists: dict[str, list[Clip]], identity: Callable[[Clip], str] = attrgetter("id")) -> None:
    """Refuse two clips of equal `identity` in a list, or in two lists of a split, such as train_split1, val_split1."""
    for split in dict.fromkeys(key.partition("_")[2] for key in lists):
        first: dict[str, Clip] = {}
        faults = []
        for clip in chain(*(clips for key, clips in lists.items() if key.partition("_")[2] == split)):
            other = first.setdefault(identity(clip), clip)
            if other is not clip:
                faults.append(f"{clip.origin}: {repetition(clip, other)}")
        refuse(faults)


def repetition(clip: Clip, first: Clip) -> str:
    """The fault of a clip that is annotated a second time."""
    there = first.origin if first.name == clip.name else f"{first.origin} as {quoted(first.name)}"
    return f"{quoted(clip.name)} is already at {there}; keep one of them"
