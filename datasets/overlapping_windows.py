"""Parts of a video that overlap in time between two lists."""

from collections import defaultdict

from datasets.lists import clip_ids
from datasets.records import Records, Window


def overlapping(clips: Records, others: Records) -> list[str]:
    """Those of `clip_ids` that share time with a clip of the other list: with another part of the video, or all of it.

    Equal clips do not count, nor does a frame that ends one part and starts the next. Windows in frames are not
    compared with windows in seconds.
    """
    if not (clips.has_windows or others.has_windows):
        return []
    windows: dict[str, set[Window | None]] = defaultdict(set)  # video -> its windows in the other list
    for clip_id, record in zip(clip_ids(others), others, strict=True):
        windows[_video(clip_id, record.window)].add(record.window)
    return [
        clip_id
        for clip_id, record in zip(clip_ids(clips), clips, strict=True)
        if any(
            other != record.window and _share_time(other, record.window)
            for other in windows.get(_video(clip_id, record.window), ())
        )
    ]


def _video(clip_id: str, window: Window | None) -> str:
    return clip_id if window is None else clip_id.removesuffix(f" {window}")


def _share_time(one: Window | None, other: Window | None) -> bool:
    """Whether two parts of a video overlap; None is all of it."""
    if one is None or other is None:
        return True
    return one.in_seconds == other.in_seconds and one.start < other.end and other.start < one.end
