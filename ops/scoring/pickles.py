"""Score pickles: one file a view, one record a video, `[scores (1, K), label, video id]`.

The first two fields are what the readers of TDN and H2CN index; the third is ours, so that files can be merged by
video.
"""

import logging
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError, counted, quoted, short
from common.files import replacing
from ops.scoring.array_pickles import Array, load_arrays


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


def read_scores(path: Path) -> Scores:
    """Read one view.

    Raises:
        InputError: the file is missing, damaged, holds other objects, or holds scores that make no sense.
    """
    try:
        content = path.read_bytes()
        records = load_arrays(content)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(
            f"{path} {error}; score pickles hold arrays and plain values only, and anything else could run code: "
            "it was not read"
        ) from error
    except Exception as error:  # a damaged pickle raises nearly anything
        fault = short(error) or "it is cut off"
        raise InputError(f"{path} is not a score pickle, or is damaged: {fault}; {_CURE}") from error
    if not isinstance(records, list) or not records:
        raise InputError(f"{path} is not a score pickle: it holds no list of records; {_CURE}")
    try:
        rows = [record[0].value.reshape(-1) for record in records]
        if sum(row.nbytes for row in rows) > len(content):
            raise ValueError("several records share an array")
        with np.errstate(over="ignore"):  # infinite scores are named below
            logits = np.stack(rows, dtype=np.float32, casting="same_kind")
        labels = np.array([_label(record[1]) for record in records], np.int64)
        ids = [record[2] for record in records if len(record) > 2]
        if not all(isinstance(video_id, str) for video_id in ids):
            raise TypeError("a video id is not text")
    except (ArithmeticError, AttributeError, TypeError, ValueError, LookupError) as error:
        raise InputError(
            f"{path}: a record is not `[scores (1, K), label, video id]` ({short(error)}); {_CURE}"
        ) from error
    _check(path, logits, labels, ids)
    if not ids:
        logging.warning("%s has no video ids: merged by position", path)
    return Scores(path, logits, labels, tuple(ids) or None)


_CURE = "make it again with --overwrite"


def _label(value: Any) -> int:
    """A whole number, which may be in an array of one."""
    value = value.value.item() if isinstance(value, Array) else value
    if int(value) != value:
        raise ValueError(f"its label is {value}")
    return int(value)


def _check(path: Path, logits: np.ndarray, labels: np.ndarray, ids: list[str]) -> None:
    if not np.isfinite(logits).all():
        raise InputError(f"{path}: record {int(np.argmin(np.isfinite(logits).all(1)))} has scores that are not finite")
    num_class = logits.shape[1]
    if num_class == 0:
        raise InputError(f"{path} has no scores: its arrays are empty; {_CURE}")
    outside = np.flatnonzero((labels < 0) | (labels >= num_class))
    if outside.size:
        raise InputError(f"{path}: record {outside[0]} has label {labels[outside[0]]}, outside 0 ... {num_class - 1}")
    if ids and len(ids) != len(labels):
        raise InputError(
            f"{path}: video ids in {len(ids)} of {counted(len(labels), 'record')}; all or none must have one"
        )
    if len(set(ids)) != len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise InputError(f"{path}: video {short(quoted(twice))} is listed twice; {_CURE}")
