"""Score pickles: one file per view, one record per video, `[scores (1, K), label, video id]`.

If videos may have several labels, `label` is a list of them.

The code of TDN and H2CN reads the first two fields. We add the third, to merge files by video, and a digest
after the pickle's end, which other software ignores: it reveals flipped bits in scores.
"""

import hashlib
import logging
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError, counted, quoted, short
from common.files import writing
from ops.scoring.array_pickles import Array, load_arrays

_CURE = "score it again with --overwrite"
_DIGEST = b"\0sha-256\0"  # and 32 bytes, at the end of a file; video ids contain no \0


@dataclass(frozen=True)
class Scores:
    """One view of the videos of a list."""

    path: Path
    logits: np.ndarray  # (M, K) float32
    labels: np.ndarray  # (M,) int64, all -1 for a list without labels; or multi-hot (M, K) bool
    video_ids: tuple[str, ...] | None  # M ids; None: a file of the official code, which has none

    @property
    def has_labels(self) -> bool:
        """False for a list without labels."""
        return bool(self.labels.any() if self.multi_label else (self.labels >= 0).any())

    @property
    def multi_label(self) -> bool:
        """Whether videos may have several labels."""
        return self.labels.ndim == 2


def pickle_path(output_dir: Path, clip: int, crop: int) -> Path:
    """File of one view."""
    return output_dir / f"{clip}_crop{crop}.pkl"


def write_scores(path: Path, logits: np.ndarray, labels: Sequence[int | list[int]], video_ids: Sequence[str]) -> None:
    """Write the file of one view, whole or not at all: logits (M, K) float32, M labels and M ids.

    If videos may have several labels, each label is a list, which is empty without labels.
    """
    records = [
        [np.asarray(row, np.float32)[None], label if isinstance(label, list) else int(label), str(video_id)]
        for row, label, video_id in zip(logits, labels, video_ids, strict=True)
    ]
    content = pickle.dumps(records, protocol=4)
    with writing(path) as temporary:
        temporary.write_bytes(content + _DIGEST + hashlib.sha256(content).digest())


def read_scores(path: Path) -> Scores:
    """Read the file of one view.

    Raises:
        InputError: the file is missing or damaged, has scores that are not finite, or contains other objects.
    """
    try:
        content = path.read_bytes()
        pickled, mark, digest = content.rpartition(_DIGEST)
        if mark and hashlib.sha256(pickled).digest() != digest:
            raise ValueError("its content does not match its digest")
        records = load_arrays(pickled if mark else content)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(
            f"{path} {error}; it was not read, since anything but arrays, numbers and text could run code"
        ) from error
    except Exception as error:  # a damaged pickle can raise almost anything
        fault = short(error) or "it is incomplete"
        raise InputError(f"{path} is damaged or not a score pickle: {fault}; {_CURE}") from error
    if not isinstance(records, list) or not records:
        raise InputError(f"{path} is not a score pickle: it does not contain a list of records; {_CURE}")
    try:
        rows = [record[0].value.reshape(-1) for record in records]
        if sum(row.nbytes for row in rows) > len(content):
            raise ValueError("several records share an array")
        with np.errstate(over="ignore"):  # _check reports infinite scores
            logits = np.stack(rows, dtype=np.float32, casting="same_kind")
        labels = _labels([record[1] for record in records], logits.shape[1])
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


def _labels(values: list[Any], num_class: int) -> np.ndarray:
    """As in `Scores`."""
    if not isinstance(values[0], list):
        return np.array([_label(value) for value in values], np.int64)
    if not all(isinstance(own, list) and all(type(label) is int for label in own) for own in values):
        raise TypeError("its labels are not a list of whole numbers")
    return multi_hot(values, num_class)


def multi_hot(labels: Sequence[list[int]], num_class: int) -> np.ndarray:
    """(M, K) bool from the labels of M videos; raises a `ValueError` for a label outside 0 ... K-1."""
    result = np.zeros((len(labels), num_class), bool)
    for row, own in zip(result, labels, strict=True):
        if own and not 0 <= min(own) <= max(own) < num_class:
            raise ValueError(f"its labels are {own}, outside 0 ... {num_class - 1}")
        row[own] = True
    return result


def _label(value: Any) -> int:
    """A whole number, or an array of one."""
    value = value.value.item() if isinstance(value, Array) else value
    if int(value) != value:
        raise ValueError(f"its label is {value}")
    return int(value)


def _check(path: Path, logits: np.ndarray, labels: np.ndarray, ids: list[str]) -> None:
    num_class = logits.shape[1]
    if num_class == 0:
        raise InputError(f"{path} has no scores: its arrays are empty; {_CURE}")
    for i in np.flatnonzero(~np.isfinite(logits).all(1))[:1]:
        raise InputError(f"{path}: record {i} has scores that are not finite; {_CURE}")
    outside = (labels < 0) | (labels >= num_class) if labels.ndim == 1 and (labels != -1).any() else []
    for i in np.flatnonzero(outside)[:1]:
        raise InputError(f"{path}: record {i} has label {labels[i]}, outside 0 ... {num_class - 1}; {_CURE}")
    if ids and len(ids) != len(labels):
        raise InputError(
            f"{path}: {len(ids)} of {counted(len(labels), 'record')} have a video id; all or none must have one"
        )
    twice, times = Counter(ids).most_common(1)[0] if ids else ("", 1)
    if times > 1:
        raise InputError(f"{path}: video {short(quoted(twice))} is listed {times} times; {_CURE}")
