"""The clips that a network was trained on, as digests in its checkpoint: tests look for their own among them."""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError, counted, few

SeenClips = dict[str, Tensor]  # folder of a data set -> digests of its clips


def clip_digests(ids: Iterable[str]) -> Tensor:
    """(M,) int64: 8 bytes of BLAKE2b per id, so 2 MB for Kinetics-400."""
    hashes = (hashlib.blake2b(clip_id.encode(errors="surrogateescape"), digest_size=8).digest() for clip_id in ids)
    return torch.from_numpy(np.fromiter((int.from_bytes(digest, "little", signed=True) for digest in hashes), np.int64))


def recorded_clips(checkpoint: Mapping[str, Any], source: str) -> SeenClips:
    """The record in a checkpoint; empty for weights from elsewhere. An `InputError` if that of `source` is damaged."""
    record = checkpoint.get("seen_clips", {})
    is_valid = isinstance(record, dict) and all(
        isinstance(name, str) and isinstance(digests, Tensor) and (digests.dtype, digests.ndim) == (torch.int64, 1)
        for name, digests in record.items()
    )
    if not is_valid:
        raise InputError(f"{source} has a damaged record of its training clips; give another checkpoint")
    return record


def join_records(first: SeenClips, second: SeenClips) -> SeenClips:
    """The clips of both records, sorted and distinct."""
    empty = torch.empty(0, dtype=torch.int64)
    return {name: torch.cat([one.get(name, empty) for one in (first, second)]).unique() for name in {**first, **second}}


def find_seen(record: SeenClips, folder: str, ids: Sequence[str]) -> list[str]:
    """Those clips of a data set that are in the record."""
    if folder not in record:
        return []
    hits = torch.isin(clip_digests(ids), record[folder])
    return [ids[index] for index in hits.nonzero().flatten().tolist()]


def describe_seen(clips: Sequence[str], of: int, list_file: object, trained: str) -> str:
    """One line on the clips of a list that are also training clips of `trained`, a run or a checkpoint."""
    return f"{len(clips):,} of the {counted(of, 'clip')} of {list_file} are training clips of {trained}: {few(clips)}"


def require_unseen(
    record: SeenClips, folder: str, ids: Sequence[str], list_file: object, *, overlapping: Sequence[str], allow: bool
) -> None:
    """Refuse a run that chooses its best epoch on its own training clips; with `allow`, warn of it.

    `record` has the training clips of this run and of the weights it starts from, `ids` are the clips of the val list
    `list_file` of the data set in `folder`; the `overlapping` ones share time with a training clip of this run.
    """
    clips = list(dict.fromkeys([*find_seen(record, folder, ids), *overlapping]))
    if not clips:
        return
    trained = "this run or of the weights it starts from" + (", or overlap with one in time" if overlapping else "")
    line = describe_seen(clips, len(ids), list_file, trained)
    if not allow:
        raise InputError(
            f"{line}; take both lists from one split (--split, or --train_list with --val_list), or add --allow_overlap"
        )
    logging.warning("warning: %s", line)
