"""The scores of an unfinished test run: a file that grows with each batch, so that a killed run can go on behind it."""

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from errors import InputError


class ScoredBatch(NamedTuple):
    """Scores of N videos.

    Attributes:
        logits: (C, V, N, K) float32, of C clips and V crops.
        labels: (N,).
        video_ids: (N,) paths of the list.
    """

    logits: np.ndarray
    labels: np.ndarray
    video_ids: np.ndarray


class ScoreJournal:
    """The batches of a run in list order, those of an earlier try included.

    Attributes:
        batches: all that are scored.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], *, anew: bool) -> None:
        """Find what an earlier try has left.

        Args:
            folder: for score pickles.
            key: all that the scores and the batches depend on; another key is another journal.
            anew: forget the earlier try.
        """
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f".unfinished_{name}"
        self.batches: list[ScoredBatch] = []
        if anew:
            self.remove()
        if self.path.exists():
            with self.path.open("r+b") as file:
                whole = 0
                while (batch := _read(file)) is not None:
                    self.batches.append(batch)
                    whole = file.tell()
                file.truncate(whole)  # a batch that a kill cut off

    @property
    def videos(self) -> int:
        """Videos that are scored: the first ones of the list."""
        return sum(len(batch.labels) for batch in self.batches)

    def add(self, logits: np.ndarray, labels: Sequence[int], video_ids: Sequence[str]) -> None:
        """Keep a batch.

        Raises:
            InputError: it cannot be written; what was written before stays valid.
        """
        batch = ScoredBatch(logits, np.array(labels), np.array(video_ids))
        record = io.BytesIO()
        for array in batch:
            np.save(record, array, allow_pickle=False)
        try:
            with self.path.open("ab") as file:
                file.write(record.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(
                f"cannot write to {self.path}: {error.strerror}; free some space, then the same command goes on "
                f"behind video {self.videos}"
            ) from error
        self.batches.append(batch)

    def scores(self) -> ScoredBatch:
        """All batches as one."""
        logits, labels, video_ids = zip(*self.batches, strict=True)
        return ScoredBatch(np.concatenate(logits, 2), np.concatenate(labels), np.concatenate(video_ids))

    def remove(self) -> None:
        """The run is finished: its pickles are written."""
        self.path.unlink(missing_ok=True)


def _read(file: IO[bytes]) -> ScoredBatch | None:
    """The next batch; None if there is no whole one."""
    try:
        return ScoredBatch(*(np.load(file, allow_pickle=False) for _ in ScoredBatch._fields))
    except (EOFError, ValueError, OSError):
        return None
