"""A quick look at one video: what its files are named, how many frames that makes, and what is wrong. No decoding."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import InputError, quoted, reason
from datasets.lists import UNWRITABLE, VIDEO_SUFFIXES, VideoRecord, is_writable
from datasets.reading.frames import IMAGE_SUFFIXES, UNREADABLE, frame_number
from datasets.reading.readers import find_record
from datasets.reading.video_file import VideoFile

SAMPLE = 50  # videos that are looked at to find out how frames are named
_NUMBERED_IMAGE = re.compile(rf"([^/]*?)(\d+)({'|'.join(map(re.escape, IMAGE_SUFFIXES))})", re.IGNORECASE | re.DOTALL)
# What stands before the number. Optical flow is no frame, whatever number of its images there are: TSN's folders have
# img_00001.jpg, flow_x_00001.jpg and flow_y_00001.jpg side by side.
_FLOW = re.compile(r"((.*[_-])?flow[uvxy]?([_-].*)?|[uvxy])[_-]?", re.IGNORECASE | re.DOTALL)
_USUAL = re.compile(r"((img|image|frame|rgb)[_-]?)?", re.IGNORECASE)


@dataclass(frozen=True)
class Inspection:
    """What a look at a video gave.

    Attributes:
        num_frames: frames 1 ... num_frames are there, without a gap; None of a video file, which is not opened.
        zero_based: there is a frame 0 in front of them; frames count from 1, so it is not used.
        fault: why the video cannot be used as it is; empty, if it can.
        other_tmpl: the template that its frames have instead of the expected one.
    """

    num_frames: int | None = None
    zero_based: bool = False
    fault: str = ""
    other_tmpl: str | None = None


class FrameNames:
    """The names that a template makes."""

    def __init__(self, image_tmpl: str) -> None:
        """`image_tmpl`: frame number (from 1) -> file name."""
        self.image_tmpl = image_tmpl
        self._numbers: dict[str, int] = {}  # of the names 1 ... longest video so far

    def count(self, names: Collection[str]) -> Inspection:
        """Count the frames among the distinct names of one video's files; other files are left alone."""
        # The usual case, and 200,000 videos of it: nothing but frames 1 ... n.
        while len(self._numbers) < len(names):
            number = len(self._numbers) + 1
            self._numbers[self.image_tmpl.format(number)] = number
        numbers = {self._numbers.get(name, 0) for name in names}
        if numbers and 0 not in numbers and max(numbers) == len(names):
            return Inspection(len(names))
        return self._judge(names)

    def _judge(self, names: Collection[str]) -> Inspection:
        """What is to be said where there is more, or less, than frames 1 ... n."""
        if not names:
            return Inspection(0, fault="it is empty; extract the video again")
        numbers = {number for name in names if (number := frame_number(name, self.image_tmpl)) is not None}
        if not numbers:
            others = suggest_templates(names)
            named = f"its frames are named {' or '.join(others)}: give --image_tmpl '{others[0]}'" if others else ""
            cure = named or "extract the video again"
            other = others[0] if len(others) == 1 else None
            return Inspection(0, fault=f"it has no frame {self.image_tmpl}; {cure}", other_tmpl=other)
        count, last = 0, max(numbers)
        while count + 1 in numbers:
            count += 1
        fault = ""
        if last == 0:
            fault = "it has no frame but number 0; extract the video again"
        elif count == 0:
            fault = f"its frames begin at number {min(numbers - {0})}, not at 1; extract the video again"
        elif count < last:
            fault = f"frame {count + 1} is not there, but {last} is; extract the video again"
        return Inspection(count, 0 in numbers, fault)


def is_flow(name: str) -> bool:
    """Whether a file is an image of optical flow by its name."""
    match = _NUMBERED_IMAGE.fullmatch(name)
    return match is not None and _FLOW.fullmatch(match[1]) is not None


def suggest_templates(names: Iterable[str]) -> list[str]:
    """The template that the frames among the names fit, such as "img_{:05d}.jpg".

    Most images have it, or at least half as many as others and a usual name: img, image, frame, rgb or the bare
    number. Optical flow does not count.

    Returns:
        One; none, if there are no numbered images; several, if this does not tell which are the frames.
    """
    matches = [match for name in names if (match := _NUMBERED_IMAGE.fullmatch(name)) and not is_flow(name)]
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
    """The usual template if some of the videos have it, else the one that most have, by a look at a few.

    Raises:
        InputError: the names do not tell which images are the frames.
    """
    others = Counter[tuple[str, ...]]()
    for path in paths[:: max(1, len(paths) // SAMPLE)]:
        try:
            names = _file_names(media, path, usual_tmpl)
        except UNREADABLE:
            continue  # reported when all are looked at
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
            f"{media}: the videos have images {chosen} and {' and '.join(rest)}; say which are the frames: "
            f"--image_tmpl '{chosen}'"
        )
    return chosen


def inspect_video(media: Path, path: str, names: FrameNames) -> Inspection:
    """Count the frames of a folder or archive; a video file must not be empty.

    Args:
        media: folder of the videos or frame folders.
        path: below it, as lists write it.
        names: counts frames.
    """
    place = media / path
    if not is_writable(VideoRecord(path, 1, 0)):
        return Inspection(fault=f"{quoted(path)}: {UNWRITABLE}")
    try:
        files = _file_names(media, path, names.image_tmpl)
        if files is None:
            is_empty = place.stat().st_size == 0
            return Inspection(fault=f"{place} is an empty file; download it again" if is_empty else "")
    except UNREADABLE as error:
        known = isinstance(error, InputError)
        return Inspection(
            fault=str(error) if known else f"{place} cannot be read ({reason(error)}); extract the video again"
        )
    found = names.count(files)
    if found.num_frames == 0 and not suggest_templates(files):
        found = replace(found, fault=_misplaced(place, files) or found.fault)
    return replace(found, fault=f"{place}: {found.fault}") if found.fault else found


def _misplaced(place: Path, files: Collection[str]) -> str:
    """What is to be said of a folder or archive without images whose frames or videos lie one level deeper."""
    for name in sorted(files):
        if "/" in name:
            return f"in the archive stands {name}: frames must lie at its top level, not in a folder; pack it again"
        if (place / name).is_dir() or Path(name).suffix.lower() in VIDEO_SUFFIXES:
            return f"it has no frames but {name}: nested folders are not searched; move what it holds one folder up"
    return ""


def _file_names(media: Path, path: str, image_tmpl: str) -> Collection[str] | None:
    """Names of the files in a frame folder or archive; None of a video file. Raises one of `UNREADABLE`."""
    reader, place = find_record(media, VideoRecord(path, None, 0))
    return None if reader is VideoFile else reader(place, image_tmpl, 1).names()
