"""The user's own data, in class folders or in a CSV file with one line `path,label` per clip -> clips."""

import csv
import io
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from common.errors import InputError, counted, few, quoted, refuse
from datasets.class_names import loose, read_class_names
from datasets.lists import NO_LABEL, VIDEO_SUFFIXES, bare_path, read_text
from datasets.preparing.annotations.base import Annotations, Clip, csv_rows, parse_each, remark_on, repetition
from datasets.preparing.find_media import KINDS, clip_name, is_dir, list_path, scan_folder
from datasets.reading.readers import ARCHIVE_SUFFIX

VAL_FOLDERS = ("val", "validation", "test")
HEADER = ({"path", "file", "filename", "video", "clip"}, {"label", "class", "category", "action"})  # known names
ClipPaths = dict[str, list[str]]  # id of a clip -> its paths below the root, as in lists
Row = tuple[str, str, str]  # of a CSV file: file and line, path as in lists, label


def read_class_folders(root: Path) -> tuple[Annotations, ClipPaths]:
    """Clips in `<root>/<class>/<video, frame folder or archive>`, as one list "all"; classes sorted by name.

    Frames and videos of one name are one clip, frames first. A clip's name is its path, as in lists. A class without
    clips is refused.
    """
    class_names = _folders(root)
    if not class_names:
        raise InputError(f"{root} has no folders; put the clips of each class into {root}/<class>/")
    if {"train"} <= {name.casefold() for name in class_names} <= {"train", *VAL_FOLDERS}:
        raise InputError(
            f"{root} has the folders {', '.join(class_names)}, which look like a split: add --split folders"
        )
    return _read_lists(root, class_names, {"all": "."})


def read_split_folders(root: Path) -> tuple[Annotations, ClipPaths]:
    """Clips in `<root>/train/<class>/...` and `<root>/val/<class>/...` (or validation/, test/), as two lists.

    With both val/ (or validation/) and test/ there are three lists. A class that is not in train/ is refused.
    """
    folders = _folders(root)
    by_name = {name.casefold(): name for name in folders}
    train, val = by_name.get("train"), next((by_name[name] for name in VAL_FOLDERS if name in by_name), None)
    if train is None or val is None:
        raise InputError(f"--split folders: {root} must have the folders train and val; it has {', '.join(folders)}")
    lists = {"train": train, "val": val, "test": by_name.get("test", val)}
    if lists["test"] == val:
        del lists["test"]
    class_names = _folders(root / train)
    for other in lists.values():
        for name in [name for name in _folders(root / other) if name not in class_names]:
            similar = [known for known in class_names if loose(known) == loose(name)]
            hint = f"; {train} has {quoted(similar[0])}: rename one" if similar else ""
            raise InputError(f"{root / train} has no folder of the class {quoted(name)}, but {other} has one{hint}")
    annotations, located = _read_lists(root, class_names, lists)
    unused = [name for name in folders if name not in lists.values()]
    annotations.remarks.extend(remark_on(unused, "folder", f"beside {' and '.join(lists.values())} not read"))
    return annotations, located


def _folders(root: Path) -> list[str]:
    return [entry.name for entry in scan_folder(root) if is_dir(entry)]


def _read_lists(root: Path, class_names: Sequence[str], folders: Mapping[str, str]) -> tuple[Annotations, ClipPaths]:
    """Clips of the class folders; `folders`: list -> its folder below the root."""
    lists: dict[str, list[Clip]] = {key: [] for key in folders}
    located: ClipPaths = {}
    ignored, faults = [], []
    for key, folder in folders.items():
        ignored += [posixpath.normpath(f"{folder}/{e.name}") for e in scan_folder(root / folder) if not is_dir(e)]
        for class_name in _folders(root / folder):
            home = posixpath.normpath(f"{folder}/{class_name}")
            groups, others = _read_class(root, home)
            ignored += others
            if not groups:
                there = f" (there is {few([path.rpartition('/')[2] for path in others])})" if others else ""
                faults.append(f"{root / home} has no video and no frame folder{there}; remove it, or put clips into it")
            for paths in groups:
                clip = Clip(paths[0], class_names.index(class_name), str(root / paths[0]))
                lists[key].append(clip)
                located[clip.id] = paths
    refuse(faults, "more empty class")
    remarks = remark_on(ignored, "file", "ignored, not a video or archive in a class folder")
    return Annotations(tuple(class_names), lists, remarks=remarks), located


def _read_class(root: Path, home: str) -> tuple[list[list[str]], list[str]]:
    """Paths of each clip in a class folder, frames first, and the other files."""
    entries = scan_folder(root / home)
    paths: dict[str, list[str]] = defaultdict(list)
    for kind in KINDS:
        for entry in entries:
            name, path = clip_name(entry, kind), list_path(f"{home}/{entry.name}", kind)
            if name is not None and path not in paths[name]:  # a folder and an archive have one path
                paths[name].append(path)
    ignored = [f"{home}/{entry.name}" for entry in entries if all(clip_name(entry, kind) is None for kind in KINDS)]
    return sorted(paths.values()), ignored


def read_clip_table(table: Path, root: Path, class_file: Path | None) -> tuple[Annotations, ClipPaths]:
    """Clips of a CSV file, as one list "all", and their paths, without missing clips.

    Each line is `path,label`; a header is optional. Paths, relative to `root`, name video files, frame folders or
    archives. Labels are class names, or numbers from 0, which need a `class_file` with the names in label order.
    Without it, class names are sorted.
    """
    rows = parse_each(_cells(table), partial(_parse_row, root, {}))
    if not rows:
        raise InputError(f"{table} has no clips; its lines are `path,label`")
    located = {path: [path] for _, path, _ in rows if _is_there(root / path)}
    origin, path, _ = rows[0]
    if located and path not in located and origin.endswith(":1"):
        raise InputError(f"{origin}: there is no {root / path}; correct the path, or write path,label as the header")
    labels = [label for _, _, label in rows]
    if all(re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", label) for label in labels):
        class_names = _require_labels(rows, table, class_file)
        clips = [Clip(path, int(label), origin) for origin, path, label in rows]
        return Annotations(class_names, {"all": clips}, f"as in {class_file}"), located
    label_of = {name: label for label, name in enumerate(sorted(set(labels)))}
    annotations = Annotations(
        tuple(label_of), {"all": [Clip(path, label_of[name], origin) for origin, path, name in rows]}
    )
    return annotations.in_order(class_file) if class_file else annotations, located


def _cells(table: Path) -> Iterator[tuple[str, list[str]]]:
    """(file:line, stripped cells) of each row that is not empty, without the header."""
    reader = csv.reader(io.StringIO(read_text(table, "the table"), newline=""), skipinitialspace=True, strict=True)
    for origin, row in csv_rows(reader, table, "write a CSV file with lines `path,label`"):
        cells = [cell.strip() for cell in row]
        is_header = len(cells) == 2 and all(map(set.__contains__, HEADER, map(str.casefold, cells)))
        if any(cells) and not (is_header and reader.line_num == 1):
            yield origin, cells


def _parse_row(root: Path, first: dict[str, Clip], origin: str, cells: Sequence[str]) -> Row:
    """A row, noted in `first` (clip -> its first row); a clip that is already there raises a `ValueError`."""
    row = _parse_cells(root, origin, cells)
    clip = Clip(row[1], NO_LABEL, origin)
    other = first.setdefault(bare_path(clip.name), clip)
    if other is not clip:
        raise ValueError(repetition(clip, other))
    return row


def _parse_cells(root: Path, origin: str, cells: Sequence[str]) -> Row:
    if len(cells) != 2 or not all(cells):
        raise ValueError(f"{quoted(','.join(cells))} is not `path,label`; quote a path that contains a comma")
    given, label = cells
    path = os.path.relpath(given, root.absolute()) if os.path.isabs(given) else posixpath.normpath(given)
    if path in (".", "..") or path.startswith("../"):
        raise ValueError(f"{quoted(given)} is not in {root}; give the folder of all clips with --root_path")
    if os.path.isfile(root / path) and not path.lower().endswith((*VIDEO_SUFFIXES, ARCHIVE_SUFFIX)):
        raise ValueError(f"{quoted(given)} is not a video or an archive by its name (.mp4, .avi, .zip, ...)")
    return origin, list_path(path, "frames"), label


def _is_there(path: Path) -> bool:
    """Whether a file, folder, archive or broken link exists."""
    return os.path.lexists(path) or os.path.lexists(f"{path}{ARCHIVE_SUFFIX}")


def _require_labels(rows: Sequence[Row], table: Path, class_file: Path | None) -> tuple[str, ...]:
    """The class names for labels that are numbers, if each number is the label of a class."""
    if class_file is None:
        raise InputError(f"{table}: the labels are numbers; give the class names in label order with --classes FILE")
    class_names = read_class_names(class_file)
    allowed = {str(label) for label in range(len(class_names))}
    classes = f"0 ... {len(class_names) - 1}, the labels of the {counted(len(class_names), 'class')} in {class_file}"
    refuse([f"{origin}: label {label} is not one of {classes}" for origin, _, label in rows if label not in allowed])
    return class_names
