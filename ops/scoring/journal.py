"""Unfinished scores: a file that each scored batch is appended to, to resume an interrupted test or join its shards.

The first line is JSON: everything that the scores depend on. Each batch follows as float32, its features if they are
kept, and a checksum, at the offset that its number gives. A killed process therefore leaves at most one incomplete
batch, which the checksum rejects, and two processes that score the same videos write the same bytes.

A shard of the list, a test with `--shard`, has a file of its own, which stays until a test of the whole list takes it.
"""

import json
import logging
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError, counted, wrong_fields
from ops.scoring.protocol import UNFINISHED

CHECKSUM = 4  # bytes


def journal_path(folder: Path, clips: Sequence[int], shard: tuple[int, int] | None = None) -> Path:
    """File for these (sorted) clips; other machines may score other clips, or shards, into the same folder."""
    runs = [[clip for _, clip in run] for _, run in groupby(enumerate(clips), lambda pair: pair[1] - pair[0])]
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    part = f"_shard_{shard[0]}_of_{shard[1]}" if shard else ""
    return folder / f"clips_{','.join(names)}{part}{UNFINISHED}"


def shard_paths(path: Path) -> list[Path]:
    """Files of the shards of the list whose own file is `path`."""
    return sorted(path.parent.glob(f"{path.stem}_shard_*_of_*{UNFINISHED}"))


class ScoreJournal:
    """Scores, and features if asked for, of one pass over the videos, kept until their files are written.

    A context manager that deletes the file at the end, unless it is a shard's. After an error the file stays, and a
    message says how to resume.
    """

    clips: list[int]  # C clips to score
    batches: list[np.ndarray]  # (C, V, N, K) float32 each, from the first video on; the last batch may be smaller

    def __init__(self, path: Path, depends_on: Mapping[str, Any], clips: list[int], *, overwrite: bool) -> None:
        """Take over the batches of an interrupted test, if they depend on the same values.

        Args:
            path: from `journal_path`.
            depends_on: plain values, among them `test_crops` V, `batch_size` N and `num_class` K. With features also
                `num_features` D and their type `dump_features`; in a shard also `shard`, "2/4".
            clips: clips to score. If the interrupted test scored more, all of its clips are continued.
            overwrite: start at the first video instead.

        Raises:
            InputError: the file holds a shard, and its batches depend on other values.
        """
        self.path, self.depends_on = path, depends_on
        self.clips, self.batches = clips, []
        self.num_features: int = depends_on.get("num_features") or 0  # D
        self.dtype = np.dtype(depends_on.get("dump_features") or np.float32)  # of the features
        self._num_class: int = depends_on["num_class"]
        self._view_bytes = 4 * self._num_class + self.dtype.itemsize * self.num_features  # of one view of one video
        self._header = json.dumps({**depends_on, "clips": clips}).encode() + b"\n"
        self._again = "the same command without --overwrite" if overwrite else "the same command"
        with suppress(OSError):
            if not overwrite:
                self._resume(depends_on)

    def _resume(self, depends_on: Mapping[str, Any]) -> None:
        """Take the batches up to the first incomplete or damaged one, and with them the header and its clips."""
        with self.path.open("rb") as file:
            header = file.readline()
            stored = _parse(header)
            other = [name for name, value in depends_on.items() if stored.get(name) != value]
            if not set(self.clips) <= set(stored.get("clips", [])):
                other.append("clips")
            if other:
                if stored and "shard" in depends_on:
                    raise InputError(
                        f"{self.path} has scores with other {', '.join(other)}; give all shards the same options, or "
                        "score it again with --overwrite"
                    )
                if stored and self.clips:
                    logging.info(
                        "%s comes from a test with other %s: starting at the first video", self.path, ", ".join(other)
                    )
                return
            clips, crops = stored["clips"], depends_on["test_crops"]
            video_bytes = len(clips) * crops * self._view_bytes
            while record := file.read(depends_on["batch_size"] * video_bytes + CHECKSUM):
                content = record[:-CHECKSUM]
                if record[-CHECKSUM:] != _checksum(header, content):
                    return
                shape = len(clips), crops, len(content) // video_bytes, self._num_class
                self.batches.append(np.frombuffer(content, np.float32, math.prod(shape)).reshape(shape).copy())
                self.clips, self._header = clips, header  # the checksum covers the header

    @property
    def videos(self) -> int:
        """Number of videos scored so far."""
        return sum(batch.shape[2] for batch in self.batches)

    def append(self, batch: np.ndarray) -> None:
        """Store the scores of the next batch, (C, V, N, K) float32, or with its features (C, V, N, K + D).

        Raises:
            InputError: the file cannot be written, or the features are too large; the batches before stay in it.
        """
        scores = np.ascontiguousarray(batch[..., : self._num_class])
        with np.errstate(over="ignore"):
            features = batch[..., self._num_class :].astype(self.dtype)
        if not np.isfinite(features).all():
            raise InputError("a feature is too large for float16, whose largest number is 65504; dump them as float32")
        content = scores.tobytes() + features.tobytes()
        record = content + _checksum(self._header, content)
        offset = len(self._header) + sum(self._size(earlier) for earlier in self.batches)
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
        self.batches.append(scores)

    def features(self) -> Iterator[np.ndarray]:
        """(C, V, N, D) features of each batch, read from the file; another process may just have deleted it."""
        with self.path.open("rb") as file:
            header = file.readline()
            for batch in self.batches:
                record = file.read(self._size(batch))
                if record[-CHECKSUM:] != _checksum(header, record[:-CHECKSUM]):
                    raise InputError(f"{self.path} was changed by another test of the same clips; run this one again")
                features = np.frombuffer(record[batch.nbytes : -CHECKSUM], self.dtype)
                yield features.reshape(*batch.shape[:3], self.num_features)

    def _size(self, batch: np.ndarray) -> int:
        """Size of a batch in the file, with its checksum."""
        return batch[..., 0].size * self._view_bytes + CHECKSUM

    def __enter__(self) -> "ScoreJournal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: Any) -> None:
        if kind is None:
            if "shard" not in self.depends_on:
                self.path.unlink(missing_ok=True)
        elif self.batches:
            logging.info("\n%s scored. To continue, run %s.", counted(self.videos, "video"), self._again)


def read_shards(journal: ScoreJournal, num_batches: int) -> Iterator[np.ndarray]:
    """Batches that tests with `--shard` have left beside the journal of the whole list: all in list order, or none.

    Raises:
        InputError: a shard is missing or unfinished, or was scored with other settings.
    """
    found = shard_paths(journal.path)
    counts = [int(ending[1]) for path in found if (ending := re.search(r"_of_(\d+)$", path.stem))]
    if not counts:
        return
    count, first = max(counts), found[0]
    parts, missing = [], []
    for number in range(1, min(count, num_batches) + 1):
        path = first.with_name(f"{journal.path.stem}_shard_{number}_of_{count}{UNFINISHED}")
        depends_on = {**journal.depends_on, "shard": f"{number}/{count}"}
        parts.append(ScoreJournal(path, depends_on, journal.clips, overwrite=False))
        if parts[-1].clips != journal.clips or len(parts[-1].batches) < len(range(number - 1, num_batches, count)):
            missing.append(f"{number}/{count}")
    if missing:
        raise InputError(
            f"{first.parent} has shards of the list, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing or unfinished; copy the files {journal.path.stem}_shard_* "
            f"here, run the same command with --shard {missing[0]}, or delete them to score the whole list"
        )
    logging.info("joining %s", counted(count, "shard"))
    features = [part.features() for part in parts]
    for number in range(num_batches):
        part = number % count
        yield np.concatenate([parts[part].batches[number // count], next(features[part])], 3)


def _parse(header: bytes) -> dict[str, Any]:
    """The values of a header; none if it is incomplete or damaged."""
    try:
        stored = json.loads(header)
    except (ValueError, RecursionError):
        return {}
    return {} if wrong_fields(stored, {"clips": list[int]}) else stored


def _checksum(header: bytes, content: bytes) -> bytes:
    """Checksum of a batch under this header, so that batches of any other test are rejected."""
    return zlib.crc32(content, zlib.crc32(header)).to_bytes(CHECKSUM, "little")
