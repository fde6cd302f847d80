"""Unfinished scores: a file that grows by each batch that is scored, so that an interrupted test can resume.

A line of JSON says what the batches depend on; then each batch follows as float32 and a checksum, at the place that its
number gives. So a killed process leaves at most one cut batch, which the checksum refuses, and two processes that score
the same write the same.
"""

import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.errors import InputError, counted, wrong_fields

SUFFIX = ".unfinished"
CHECKSUM = 4  # bytes


def journal_path(folder: Path, clips: Sequence[int]) -> Path:
    """File for these (sorted) clips: other clips may be scored into the folder at the same time, on other machines."""
    runs = [[clip for _, clip in run] for _, run in groupby(enumerate(clips), lambda pair: pair[1] - pair[0])]
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return folder / f"clips_{','.join(names)}{SUFFIX}"


class ScoreJournal:
    """The scores of one pass over the videos, until their pickles are written.

    A context: the file is deleted at its end; after an error it stays, and a line says how to go on.

    Attributes:
        clips: C clips to score.
        batches: (C, V, N, K) float32 of each batch from the first video on; the last one of the list may be smaller.
    """

    def __init__(self, path: Path, depends_on: Mapping[str, Any], clips: list[int], *, overwrite: bool) -> None:
        """Open the file, with the batches of a stopped test in it if they depend on the same.

        Args:
            path: as `journal_path` gives it.
            depends_on: plain values; among them `test_crops` V, `batch_size` N and `num_class` K.
            clips: to score. If the stopped test scored these and more, it goes on with all of its own.
            overwrite: start at the first video.

        Raises:
            InputError: the file cannot be written.
        """
        self.path = path
        self.batches: list[np.ndarray] = []
        self._again = "the same command without --overwrite" if overwrite else "the same command"
        try:
            path.touch()
            self._file = path.open("r+b", buffering=0)
            with path.open("rb") as file:
                self._header = b"" if overwrite else file.readline()
                stored = _parse(self._header)
                other = [name for name, value in depends_on.items() if stored.get(name) != value]
                if not set(clips) <= set(stored.get("clips", [])):
                    other.append("clips")
                if not other:
                    self._read(file, len(stored["clips"]), depends_on)
            self.clips: list[int] = stored["clips"] if self.batches else clips  # a batch vouches for its header
            header = json.dumps({**depends_on, "clips": self.clips}).encode() + b"\n"
            is_new = not self.batches and header != self._header
            if is_new:
                self._file.truncate(0)
                self._file.seek(0)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}; choose another --output_dir") from error
        if is_new:
            self._header = header
            self._write(header)
        if other and stored and clips:
            logging.info("%s comes from a test with other %s: starting at the first video", path, ", ".join(other))

    @property
    def videos(self) -> int:
        """How many are scored."""
        return sum(batch.shape[2] for batch in self.batches)

    def _read(self, file: BinaryIO, num_clips: int, depends_on: Mapping[str, Any]) -> None:
        """Read the whole batches, up to the first that is cut off or damaged; write from there."""
        shape = (num_clips, depends_on["test_crops"], -1, depends_on["num_class"])
        size = 4 * num_clips * depends_on["test_crops"] * depends_on["batch_size"] * depends_on["num_class"] + CHECKSUM
        size = min(size, self.path.stat().st_size)
        self._file.seek(len(self._header))
        while len(record := file.read(size)) > CHECKSUM:
            scores, checksum = record[:-CHECKSUM], record[-CHECKSUM:]
            if checksum != self._checksum(scores):
                break
            self.batches.append(np.frombuffer(scores, np.float32).reshape(shape))
            self._file.seek(len(record), 1)

    def _checksum(self, scores: bytes) -> bytes:
        """Of a batch under this header: what another test wrote into the file is refused."""
        return zlib.crc32(scores, zlib.crc32(self._header)).to_bytes(CHECKSUM, "little")

    def append(self, batch: np.ndarray) -> None:
        """Keep the scores of the next batch, (C, V, N, K) float32.

        Raises:
            InputError: the disk is full; the batches before stay.
        """
        scores = batch.tobytes()
        self._write(scores + self._checksum(scores))
        self.batches.append(batch)

    def _write(self, record: bytes) -> None:
        left = memoryview(record)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: {error.strerror}; free some space and run the same command again"
            ) from error

    def __enter__(self) -> "ScoreJournal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: Any) -> None:
        self._file.close()
        if kind is not None and self.batches:
            logging.info("\n%s scored. To continue, run %s.", counted(self.videos, "video"), self._again)
        else:
            self.path.unlink(missing_ok=True)


def _parse(header: bytes) -> dict[str, Any]:
    """What a header says; nothing, if it is not whole or makes no sense."""
    try:
        stored = json.loads(header) if header.endswith(b"\n") else {}
    except (ValueError, RecursionError):
        return {}
    return {} if wrong_fields(stored, {"clips": list[int]}) else stored
