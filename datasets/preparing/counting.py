"""Frame counts of video files that only decoding tells: with them in the list, training decodes such a file once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from common.errors import InputError, counted, few
from datasets.preparing.parallel import StoppedError, in_processes, in_threads
from datasets.preparing.preparation import Preparation
from datasets.reading.video_file import VideoFile

SAMPLE = 20  # files of one suffix that are looked at to find out whether any must be decoded


def with_counts(preparation: Preparation, workers: int) -> Preparation:
    """Add the frame counts of video files whose packets do not tell them (AVI, WMV, VP8 and others).

    Args:
        preparation: its records of video files have no counts.
        workers: processes that decode.

    Raises:
        InputError: a process was killed.
        KeyboardInterrupt: the user stopped it.
    """
    paths = {r.path for records in preparation.records.values() for r in records if r.num_frames is None}
    slow = _slow_files(preparation.media, paths)
    if not slow:
        return preparation
    try:
        found = in_processes(partial(_count, preparation.media), slow, "counting the frames of videos", workers)
    except StoppedError as stop:
        if stop.by_user:
            raise KeyboardInterrupt from stop
        raise InputError(f"{stop}; nothing was written") from stop
    counts = {path: count for path, count in zip(slow, found, strict=True) if count}
    lists = {
        key: [replace(r, num_frames=counts.get(r.path, r.num_frames)) for r in records]
        for key, records in preparation.records.items()
    }
    files = counted(len(counts), "video file")
    remarks = [f"{files} decoded to count the frames, as nothing else tells their number"]
    failed = [path for path, count in zip(slow, found, strict=True) if count == 0]
    if failed:
        files = counted(len(failed), "video file")
        remarks.append(f"{files} not decoded to the end (check_data.py --decode): {few(failed)}")
    return replace(preparation, records=lists, remarks=[*preparation.remarks, *remarks])


def _slow_files(media: Path, paths: Iterable[str]) -> list[str]:
    """Files of those suffixes of which a look at a few finds one whose packets do not tell its frames."""
    by_suffix: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        by_suffix[Path(path).suffix.lower()].append(path)
    sample = [media / path for group in by_suffix.values() for path in group[:: -(-len(group) // SAMPLE)]]
    looks = in_threads(_needs_decoding, sample, "looking at a few videos") if sample else []
    slow = {path.suffix.lower() for path, needs_decoding in zip(sample, looks, strict=True) if needs_decoding}
    return [path for suffix in by_suffix if suffix in slow for path in by_suffix[suffix]]


def _needs_decoding(path: Path) -> bool:
    try:
        return VideoFile(path, 1).count_by_packets() is None
    except Exception:  # it cannot be opened: check_data.py says why
        return False


def _count(media: Path, path: str) -> int | None:
    """Frames of a video file; None where its packets tell them, 0 where it cannot be decoded to its end."""
    try:
        return VideoFile(media / path, 1).count_by_decoding() if _needs_decoding(media / path) else None
    except Exception:
        return 0
