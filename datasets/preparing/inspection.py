"""Inspects one video without decoding: its file names, the number of frames they imply, and faults."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import InputError, quoted, reason
from datasets.lists import UNWRITABLE, VIDEO_SUFFIXES, VideoRecord, is_writable
from datasets.reading.frames import NUMBERED_IMAGE, UNREADABLE, frame_number, is_flow
from datasets.reading.readers import find_record
from datasets.reading.video_file import VideoFile

SAMPLE = 50  # videos that are inspected to detect how frames are named
_PLAIN = re.compile(r"[!-~]+")  # a path that any list can hold
_USUAL = re.compile(r"((img|image|frame|rgb)[_-]?)?", re.IGNORECASE)


@dataclass(frozen=True)
class Inspection:
    """The result of inspecting the files of a video."""

    num_frames: int | None = None  # frames 1 ... num_frames exist, without a gap; None for a video file
    zero_based: bool = False  # there is a frame 0 before them, which is not used because frames count from 1
    fault: str = ""  # why the video cannot be used as it is, and the remedy


class FrameNames:
    """Counts frames by their file names, which `image_tmpl` makes from frame numbers (from 1)."""

    def __init__(self, image_tmpl: str) -> None:
        self.image_tmpl = image_tmpl
        self._numbers: dict[str, int] = {}  # frame names -> 1 ... longest video so far

    def count(self, names: Collection[str]) -> Inspection:
        """Count the frames among the distinct names of one video's files; other files are ignored."""
        # A fast path for the usual case (200,000 videos): nothing but frames 1 ... n.
        while len(self._numbers) < len(names):
            number = len(self._numbers) + 1
            self._numbers[self.image_tmpl.format(number)] = number
        numbers = {self._numbers.get(name, 0) for name in names}
        if numbers and 0 not in numbers and max(numbers) == len(names):
            return Inspection(len(names))
        return self._judge(names)

    def _judge(self, names: Collection[str]) -> Inspection:
        """The inspection of names that are not exactly frames 1 ... n."""
        if not names:
            return Inspection(0, fault="it is empty; extract the video again")
        numbers = {number for name in names if (number := frame_number(name, self.image_tmpl)) is not None}
        if not numbers:
            others = suggest_templates(names)
            named = f"its frames are named {' or '.join(others)}: give --image_tmpl '{others[0]}'" if others else ""
            fault = f"it has no frame {self.image_tmpl}; {named or 'extract the video again'}"
            return Inspection(0, fault=fault)
        count, last = 0, max(numbers)
        while count + 1 in numbers:
            count += 1
        fault = ""
        if last == 0:
            fault = "its only frame is number 0; extract the video again"
        elif count == 0:
            fault = f"its frames start at number {min(numbers - {0})}, not 1; extract the video again"
        elif count < last:
            fault = f"frame {count + 1} is missing, but {last} exists; extract the video again"
        return Inspection(count, 0 in numbers, fault)


def suggest_templates(names: Iterable[str]) -> list[str]:
    """Templates, such as "img_{:05d}.jpg", that the frames among the names may follow.

    Frames are the most frequent images, or at least half as many as others and with a usual prefix: img, image, frame,
    rgb or none. Optical flow does not count.

    Returns:
        One template; none without numbered images; several if this rule does not decide.
    """
    matches = [match for name in names if (match := NUMBERED_IMAGE.fullmatch(name)) and not is_flow(name)]
    counts = Counter((match[1], match[3]) for match in matches)
    most = max(counts.values(), default=0)
    many = sorted(form for form, count in counts.items() if 2 * count >= most)
    usual = [form for form in many if _USUAL.fullmatch(form[0])]
    return [_template(form, matches) for form in usual or many]


def _template(form: tuple[str, str], matches: Sequence[re.Match]) -> str:
    """The template of the images with this prefix and suffix."""
    digits = [match[2] for match in matches if (match[1], match[3]) == form]
    width = min(map(len, digits))
    padded = width > 1 and any(text.startswith("0") for text in digits)
    prefix, suffix = (text.replace("{", "{{").replace("}", "}}") for text in form)
    return f"{prefix}{{:0{width}d}}{suffix}" if padded else f"{prefix}{{:d}}{suffix}"


def find_template(media: Path, paths: Sequence[str], usual_tmpl: str) -> str:
    """The usual template if any of a sample of the videos has it, else the most frequent one.

    Raises:
        InputError: the names do not show which images are the frames.
    """
    others = Counter[tuple[str, ...]]()
    for path in paths[:: max(1, len(paths) // SAMPLE)]:
        try:
            names = _file_names(media, path, usual_tmpl)
        except UNREADABLE:
            continue  # reported when all videos are inspected
        if any(frame_number(name, usual_tmpl) is not None for name in names or ()):
            return usual_tmpl
        templates = tuple(suggest_templates(names or ()))
        if templates:
            others[templates] += 1
    if not others:
        return usual_tmpl
    chosen, *rest = others.most_common(1)[0][0]
    if rest:
        raise InputError(
            f"{media}: the videos have images {chosen} and {' and '.join(rest)}; choose the frames, "
            f"such as --image_tmpl '{chosen}'"
        )
    return chosen


def inspect_video(media: Path, path: str, names: FrameNames) -> Inspection:
    """Count the frames of the folder or archive `path`, as in lists; a video file must not be empty."""
    video = media / path
    if not _PLAIN.fullmatch(path) and not is_writable(VideoRecord(path, 1, 0)):
        return Inspection(fault=f"{quoted(path)}: {UNWRITABLE}")
    try:
        files = _file_names(media, path, names.image_tmpl)
        if files is None:
            is_empty = video.stat().st_size == 0
            return Inspection(fault=f"{video} is an empty file; download it again" if is_empty else "")
    except UNREADABLE as error:
        fault = f"{video} cannot be read ({reason(error)}); extract the video again"
        return Inspection(fault=str(error) if isinstance(error, InputError) else fault)
    found = names.count(files)
    if found.num_frames == 0 and not suggest_templates(files):
        found = replace(found, fault=_misplaced(video, files) or found.fault)
    return replace(found, fault=f"{video}: {found.fault}") if found.fault else found


def _misplaced(video: Path, files: Collection[str]) -> str:
    """The fault of a folder or archive without images whose frames or videos are one level deeper."""
    for name in sorted(files):
        if "/" in name:
            return f"the archive contains {name}: frames must be at its top level, not in a folder; pack it again"
        if (video / name).is_dir() or Path(name).suffix.lower() in VIDEO_SUFFIXES:
            return (
                f"it contains {name} instead of frames; nested folders are not searched: move the clips one folder up"
            )
    return ""


def _file_names(media: Path, path: str, image_tmpl: str) -> Collection[str] | None:
    """Names of the files in a frame folder or archive; None for a video file. Raises one of `UNREADABLE`."""
    reader, video = find_record(media, VideoRecord(path, None, 0))
    return None if reader is VideoFile else reader(video, image_tmpl, 1).names()
