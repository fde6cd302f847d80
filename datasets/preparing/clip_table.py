"""Anybody's own data, listed in a CSV file with one line `path,label` per clip."""

import csv
import io
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.errors import InputError, counted, quoted, refuse
from datasets.class_names import read_class_names
from datasets.lists import VIDEO_SUFFIXES, bare_path, read_text
from datasets.preparing.annotations.files import Annotations, Clip
from datasets.preparing.class_folders import Places
from datasets.preparing.find_media import list_path
from datasets.reading.readers import ARCHIVE_SUFFIX

HEADER = ({"path", "file", "filename", "video", "clip"}, {"label", "class", "category", "action"})  # known names


def read_clip_table(table: Path, root: Path, class_file: Path | None) -> tuple[Annotations, Places]:
    """Clips of a CSV file, as one list "all".

    Args:
        table: lines `path,label`; the first may be a header. A path is that of a video file, a frame folder or an
            archive. Labels are class names, or numbers from 0.
        root: folder that the paths are relative to.
        class_file: class names in label order, which numbers need. Without it, class names are sorted.

    Returns:
        The clips, named by their paths as lists write them, and where they are; those that are not there are left out.

    Raises:
        InputError: bad lines, or other classes than in the file.
    """
    rows, faults = [], []
    first: dict[str, tuple[str, str]] = {}
    for place, cells in _numbered_rows(table):
        try:
            path, label = _parsed(cells, root)
        except ValueError as error:
            faults.append(f"{place}: {error}")
            continue
        other_place, other = first.setdefault(bare_path(path), (place, path))
        if other_place != place:
            faults.append(f"{place}: {quoted(path)} is the clip {quoted(other)} of {other_place}; keep one of them")
        rows.append((place, path, label))
    refuse(faults)
    if not rows:
        raise InputError(f"{table} has no clips; its lines are `path,label`")
    located = {path: [path] for _, path, _ in rows if _is_there(root / path)}
    place, path, _ = rows[0]
    if located and path not in located and place.endswith(":1"):
        raise InputError(f"{place}: there is no {root / path}; correct the path, or write the header as path,label")
    labels = [label for _, _, label in rows]
    if all(re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", label) for label in labels):
        class_names = _require_labels(rows, table, class_file)
        clips = [Clip(path, int(label), place) for place, path, label in rows]
        return Annotations(class_names, {"all": clips}, f"as in {class_file}"), located
    label_of = {name: label for label, name in enumerate(sorted(set(labels)))}
    annotations = Annotations(
        tuple(label_of), {"all": [Clip(path, label_of[name], place) for place, path, name in rows]}
    )
    return annotations.in_order(class_file) if class_file else annotations, located


def _numbered_rows(table: Path) -> Iterator[tuple[str, list[str]]]:
    """(file:line, stripped cells) of each row that is not empty, without the header."""
    reader = csv.reader(io.StringIO(read_text(table, "the table"), newline=""), skipinitialspace=True, strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            is_header = len(cells) == 2 and all(map(set.__contains__, HEADER, map(str.casefold, cells)))
            if any(cells) and not (is_header and reader.line_num == 1):
                yield f"{table}:{reader.line_num}", cells
    except csv.Error as error:
        raise InputError(f"{table}:{reader.line_num}: {error}; write a CSV file with lines `path,label`") from error


def _parsed(cells: Sequence[str], root: Path) -> tuple[str, str]:
    """The path as lists write it, and the label.

    Raises:
        ValueError: the line is bad; the message says how, but not where.
    """
    if len(cells) != 2 or not all(cells):
        raise ValueError(
            f"{quoted(','.join(cells))} is not `path,label`; write these two, one with a comma in it in quotes"
        )
    given, label = cells
    path = os.path.relpath(given, root.absolute()) if os.path.isabs(given) else posixpath.normpath(given)
    if path in (".", "..") or path.startswith("../"):
        raise ValueError(f"{quoted(given)} is not in {root}; give a folder that holds all clips with --root_path")
    if os.path.isfile(root / path) and not path.lower().endswith((*VIDEO_SUFFIXES, ARCHIVE_SUFFIX)):
        raise ValueError(f"{quoted(given)} is neither a video nor an archive by its name (.mp4, .avi, .zip, ...)")
    return list_path(path, "frames"), label


def _is_there(path: Path) -> bool:
    """Whether there is a file, folder, archive or broken link."""
    return os.path.lexists(path) or os.path.lexists(f"{path}{ARCHIVE_SUFFIX}")


def _require_labels(rows: Sequence[tuple[str, str, str]], table: Path, class_file: Path | None) -> tuple[str, ...]:
    """The class names of labels that are numbers.

    Raises:
        InputError: there are none, or a number is not the label of a class.
    """
    if class_file is None:
        raise InputError(f"{table}: the labels are numbers; give the class names in label order with --classes FILE")
    class_names = read_class_names(class_file)
    allowed = {str(label) for label in range(len(class_names))}
    refuse(
        [
            f"{place}: label {label} is not one of 0 ... {len(class_names) - 1}, the labels of the "
            f"{counted(len(class_names), 'class')} in {class_file}"
            for place, _, label in rows
            if label not in allowed
        ]
    )
    return class_names
