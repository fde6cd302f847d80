"""Frame counts that only decoding reveals. With them in the list, training decodes such a video only once."""

from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path

from common.errors import InputError, counted
from datasets.preparing.annotations.base import remark_on
from datasets.preparing.parallel import StoppedError, in_processes, in_threads
from datasets.preparing.preparation import Preparation
from datasets.reading.video_file import VideoFile

SAMPLE = 1000  # files per suffix, at most, that are opened to find out whether files with this suffix must be decoded
NOT_OPENED, NOT_DECODED = "cannot be opened", "cannot be decoded to the end"


def with_counts(preparation: Preparation, workers: int) -> Preparation:
    """Add the frame counts of video files whose packets do not give them (AVI, WMV, VP8 and others).

    They are decoded in `workers` processes. Remarks name files that could not be opened or decoded.
    """
    by_suffix: dict[str, list[str]] = defaultdict(list)
    for path in sorted({r.path for records in preparation.records.values() for r in records if r.num_frames is None}):
        by_suffix[Path(path).suffix.lower()].append(path)
    sample = [path for group in by_suffix.values() for path in group[:: -(-len(group) // SAMPLE)]]
    opened = in_threads(partial(_count, preparation.media, decode=False), sample, "opening videos")
    suffixes = {Path(path).suffix.lower() for path, answer in zip(sample, opened, strict=True) if answer == 0}
    slow = [path for suffix, group in by_suffix.items() if suffix in suffixes for path in group]
    try:
        found = in_processes(partial(_count, preparation.media, decode=True), slow, "counting frames", workers)
    except StoppedError as stop:
        if stop.by_user:
            raise KeyboardInterrupt from stop
        raise InputError(f"{stop}; nothing was written") from stop
    results = dict(zip([*sample, *slow], [*opened, *found], strict=True))
    counts = {path: count for path in slow if isinstance(count := results[path], int)}
    lists = {
        key: [record._replace(num_frames=counts.get(record.path, record.num_frames)) for record in records]
        for key, records in preparation.records.items()
    }
    remarks = [f"{counted(len(counts), 'video file')} decoded to count the frames"] if counts else []
    for fault in (NOT_OPENED, NOT_DECODED):
        faulty = [path for path, result in results.items() if result == fault]
        remarks += remark_on(faulty, "listed video file", f"{fault} (check_data.py --decode says why)")
    return replace(preparation, records=lists, remarks=[*preparation.remarks, *remarks])


def _count(media: Path, path: str, *, decode: bool) -> int | str | None:
    """Number of frames of a video file, 0 if it needs `decode`; None where its packets give it; or its fault."""
    try:
        video = VideoFile(media / path, 1)
        if video.count_by_packets() is not None:
            return None
    except Exception:
        return NOT_OPENED
    try:
        return video.count_by_decoding() if decode else 0
    except Exception:
        return NOT_DECODED
