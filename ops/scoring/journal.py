"""Unfinished scores: a file to which each scored batch is added, so that an interrupted test can resume.

The first line is JSON: everything that the scores depend on. Each batch follows as float32 and a checksum, at the
offset that its number gives. A killed process therefore leaves at most one incomplete batch, which the checksum
rejects, and two processes that score the same videos write the same bytes.
"""

import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError, counted, wrong_fields
from ops.scoring.protocol import UNFINISHED

CHECKSUM = 4  # bytes


def journal_path(folder: Path, clips: Sequence[int]) -> Path:
    """File for these (sorted) clips; other machines may score other clips into the same folder."""
    runs = [[clip for _, clip in run] for _, run in groupby(enumerate(clips), lambda pair: pair[1] - pair[0])]
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return folder / f"clips_{','.join(names)}{UNFINISHED}"


class ScoreJournal:
    """Scores of one pass over the videos, kept until their pickles are written.

    A context manager that deletes the file at the end. After an error the file stays, and a message says how to resume.
    """

    clips: list[int]  # C clips to score
    batches: list[np.ndarray]  # (C, V, N, K) float32 each, from the first video on; the last batch may be smaller

    def __init__(self, path: Path, depends_on: Mapping[str, Any], clips: list[int], *, overwrite: bool) -> None:
        """Take over the batches of an interrupted test, if they depend on the same values.

        Args:
            path: from `journal_path`.
            depends_on: plain values, among them `test_crops` V, `batch_size` N and `num_class` K.
            clips: clips to score. If the interrupted test scored more, all of its clips are continued.
            overwrite: start at the first video instead.
        """
        self.path = path
        self.clips, self.batches = clips, []
        self._header = json.dumps({**depends_on, "clips": clips}).encode() + b"\n"
        self._again = "the same command without --overwrite" if overwrite else "the same command"
        content = b""
        with suppress(OSError):
            content = b"" if overwrite else path.read_bytes()
        header = content[: content.find(b"\n") + 1]
        stored = _parse(header)
        other = [name for name, value in depends_on.items() if stored.get(name) != value]
        if not set(clips) <= set(stored.get("clips", [])):
            other.append("clips")
        if not other:
            self._resume(content, header, stored["clips"], depends_on)
        elif stored and clips:
            logging.info("%s comes from a test with other %s: starting at the first video", path, ", ".join(other))

    def _resume(self, content: bytes, header: bytes, clips: list[int], depends_on: Mapping[str, Any]) -> None:
        """Take the batches up to the first incomplete or damaged one, and with them the header and its clips."""
        shape = (len(clips), depends_on["test_crops"], -1, depends_on["num_class"])
        size = 4 * len(clips) * depends_on["test_crops"] * depends_on["batch_size"] * depends_on["num_class"] + CHECKSUM
        for start in range(len(header), len(content) - CHECKSUM, size):
            record = memoryview(content)[start : start + size]
            scores = record[:-CHECKSUM]
            if record[-CHECKSUM:] != _checksum(header, scores):
                return
            self.batches.append(np.frombuffer(scores, np.float32).reshape(shape))
            self.clips, self._header = clips, header  # the checksum covers the header

    @property
    def videos(self) -> int:
        """Number of videos scored so far."""
        return sum(batch.shape[2] for batch in self.batches)

    def append(self, batch: np.ndarray) -> None:
        """Store the scores of the next batch, (C, V, N, K) float32.

        Raises:
            InputError: the file cannot be written; the batches before this one stay in it.
        """
        scores = batch.tobytes()
        record = scores + _checksum(self._header, scores)
        offset = len(self._header) + sum(earlier.nbytes + CHECKSUM for earlier in self.batches)
        if not self.batches:
            record, offset = self._header + record, 0
        try:
            # "wb" also if another process that scored the same has just finished and deleted the file
            with self.path.open("r+b" if self.batches and self.path.exists() else "wb") as file:
                file.seek(offset)
                file.write(record)
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: {error.strerror}; free some space and run the same command again, or "
                "choose another --output_dir"
            ) from error
        self.batches.append(batch)

    def __enter__(self) -> "ScoreJournal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: Any) -> None:
        if kind is None:
            self.path.unlink(missing_ok=True)
        elif self.batches:
            logging.info("\n%s scored. To continue, run %s.", counted(self.videos, "video"), self._again)


def _parse(header: bytes) -> dict[str, Any]:
    """The values of a header; none if it is incomplete or damaged."""
    try:
        stored = json.loads(header)
    except (ValueError, RecursionError):
        return {}
    return {} if wrong_fields(stored, {"clips": list[int]}) else stored


def _checksum(header: bytes, scores: bytes | memoryview) -> bytes:
    """Checksum of a batch under this header, so that batches of any other test are rejected."""
    return zlib.crc32(scores, zlib.crc32(header)).to_bytes(CHECKSUM, "little")
