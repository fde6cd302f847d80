"""Score pickles: one file a view, one record a video, `[scores (1, K), label, video id]`.

The first two fields are what the readers of TDN and H2CN index; the third is ours, so that files can be merged by
video. Pickles can run code when they are read: these are read by an unpickler that admits NumPy arrays and plain
values, and nothing else.
"""

import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from errors import InputError
from whole_files import replacing


@dataclass(frozen=True)
class Scores:
    """One view of a list of videos.

    Attributes:
        path: the file.
        logits: (M, K) float32, raw.
        labels: (M,) int64.
        video_ids: M ids; None: a file of the official code, which has none.
    """

    path: Path
    logits: np.ndarray
    labels: np.ndarray
    video_ids: tuple[str, ...] | None


def pickle_path(output_dir: Path, clip: int, crop: int) -> Path:
    """File of one view."""
    return output_dir / f"{clip}_crop{crop}.pkl"


def write_scores(path: Path, logits: np.ndarray, labels: Sequence[int], video_ids: Sequence[str]) -> None:
    """Write one view, to a temporary file that is then renamed.

    Args:
        path: as `pickle_path` gives it.
        logits: (M, K) float32.
        labels: M labels.
        video_ids: M ids.

    Raises:
        InputError: the file cannot be written.
    """
    records = [
        [np.asarray(row, np.float32)[None], int(label), str(video_id)]
        for row, label, video_id in zip(logits, labels, video_ids, strict=True)
    ]
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            pickle.dump(records, file, protocol=4)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; free some space or choose another --output_dir"
        ) from error


# What NumPy's own pickles of arrays and numbers name, in its versions 1 and 2.
_NUMPY_NAMES = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


class _ArrayUnpickler(pickle.Unpickler):
    """Admits NumPy arrays and plain values."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMPY_NAMES:
            raise InputError(f"holds {module}.{name}")
        return super().find_class(module, name)


def read_scores(path: Path) -> Scores:
    """Read one view.

    Raises:
        InputError: no such file, a damaged one, one that holds other objects, or scores that make no sense.
    """
    try:
        with path.open("rb") as file:
            records = _load(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(
            f"{path} {error}; score pickles hold arrays and plain values only, and anything else could run code: "
            "it was not read"
        ) from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InputError(
            f"{path} is no score pickle, or is damaged: {error}; make it again with --overwrite"
        ) from error
    try:
        logits = np.stack([np.asarray(record[0], np.float32).reshape(-1) for record in records])
        labels = np.array([int(np.asarray(record[1]).item()) for record in records], np.int64)
        ids = [str(record[2]) for record in records if len(record) > 2]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{path}: a record is not `[scores (1, K), label, video id]` ({error})") from error
    _check(path, logits, labels, ids)
    if not ids:
        logging.warning("%s has no video ids: merged by position", path)
    return Scores(path, logits, labels, tuple(ids) or None)


def _load(file: BinaryIO) -> list:
    records = _ArrayUnpickler(file).load()
    if not isinstance(records, list) or not records:
        raise ValueError("it holds no list of records")
    return records


def _check(path: Path, logits: np.ndarray, labels: np.ndarray, ids: list[str]) -> None:
    if not np.isfinite(logits).all():
        raise InputError(f"{path}: record {int(np.argmin(np.isfinite(logits).all(1)))} has scores that are not finite")
    num_class = logits.shape[1]
    outside = np.flatnonzero((labels < 0) | (labels >= num_class))
    if outside.size:
        raise InputError(f"{path}: record {outside[0]} has label {labels[outside[0]]}, outside 0 ... {num_class - 1}")
    if ids and len(ids) != len(labels):
        raise InputError(f"{path}: {len(ids)} of {len(labels)} records have a video id; all or none must")
    if len(set(ids)) != len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise InputError(f"{path}: video {twice!r} stands in it twice; make it again with --overwrite")
