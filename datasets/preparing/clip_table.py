"""The user's own data in a CSV file with one line `path,label` per clip -> clips."""

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
from datasets.preparing.annotations.base import Annotations, Clip, csv_rows, parse_each
from datasets.preparing.class_folders import ClipPaths
from datasets.preparing.find_media import list_path
from datasets.reading.readers import ARCHIVE_SUFFIX

Row = tuple[str, str, str]  # file and line, path as in lists, label
HEADER = ({"path", "file", "filename", "video", "clip"}, {"label", "class", "category", "action"})  # known names


def read_clip_table(table: Path, root: Path, class_file: Path | None) -> tuple[Annotations, ClipPaths]:
    """Clips of a CSV file, as one list "all", and their paths, without missing clips.

    Args:
        table: lines `path,label`, optionally after a header. A path names a video file, a frame folder or an archive.
            Labels are class names, or numbers from 0.
        root: folder that the paths are relative to.
        class_file: class names in label order, required for numbers. Without it, class names are sorted.
    """
    first: dict[str, tuple[str, str]] = {}

    def parse(origin: str, cells: Sequence[str]) -> Row:
        path, label = _parse_cells(cells, root)
        other_origin, other = first.setdefault(bare_path(path), (origin, path))
        if other_origin != origin:
            raise ValueError(f"{quoted(path)} is the clip {quoted(other)} of {other_origin}; keep one of them")
        return origin, path, label

    rows = parse_each(_cells(table), parse)
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


def _parse_cells(cells: Sequence[str], root: Path) -> tuple[str, str]:
    """The path, as in lists, and the label. Raises `ValueError` with the fault of a bad line."""
    if len(cells) != 2 or not all(cells):
        raise ValueError(f"{quoted(','.join(cells))} is not `path,label`; quote a path that contains a comma")
    given, label = cells
    path = os.path.relpath(given, root.absolute()) if os.path.isabs(given) else posixpath.normpath(given)
    if path in (".", "..") or path.startswith("../"):
        raise ValueError(f"{quoted(given)} is not in {root}; give the folder of all clips with --root_path")
    if os.path.isfile(root / path) and not path.lower().endswith((*VIDEO_SUFFIXES, ARCHIVE_SUFFIX)):
        raise ValueError(f"{quoted(given)} is not a video or an archive by its name (.mp4, .avi, .zip, ...)")
    return list_path(path, "frames"), label


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
