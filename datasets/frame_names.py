"""Names of frame files: which numbers a folder or an archive has, what is wrong with them, and which template fits."""

import os
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

_NUMBERED_IMAGE = re.compile(r"(.*?)(\d+)(\.(?:jpe?g|png|bmp|webp))", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class FrameCount:
    """What the file names of one video say.

    Attributes:
        count: frames 1 ... count are there, without a gap.
        zero_based: there is a frame 0 in front of them; frames count from 1, so it is not used.
        fault: why the video cannot be used as it is; empty, if it can.
    """

    count: int
    zero_based: bool = False
    fault: str = ""


class FrameNames:
    """The names that a template makes."""

    def __init__(self, image_tmpl: str) -> None:
        """`image_tmpl`: frame number (from 1) -> file name."""
        self.image_tmpl = image_tmpl
        (self._prefix, _, spec, _), *rest = Formatter().parse(image_tmpl)
        self._suffix = "".join(text for text, *_ in rest)
        self._numbers: dict[str, int] = {}  # of the names 1 ... longest video so far

    def count(self, names: Collection[str]) -> FrameCount:
        """Count the frames among the distinct names of one video's files; other files are left alone."""
        # The usual case, and 200,000 videos of it: nothing but frames 1 ... n.
        while len(self._numbers) < len(names):
            number = len(self._numbers) + 1
            self._numbers[self.image_tmpl.format(number)] = number
        usual = [self._numbers.get(name) for name in names]
        if names and None not in usual and max(usual) == len(names):  # type: ignore[type-var]
            return FrameCount(len(names))
        return self._judge(names, {number for name in names if (number := self.number(name)) is not None})

    def number(self, name: str) -> int | None:
        """The number in a name, None if the template does not make this name."""
        digits = name[len(self._prefix) : len(name) - len(self._suffix)]
        matches = digits.isascii() and digits.isdigit() and self.image_tmpl.format(int(digits)) == name
        return int(digits) if matches else None

    def _judge(self, names: Collection[str], numbers: set[int]) -> FrameCount:
        """What is to be said where there is more, or less, than frames 1 ... n."""
        if not names:
            return FrameCount(0, fault="it is empty; extract the video again")
        if not numbers:
            other = suggest_template(names)
            if other is None:
                return FrameCount(0, fault=f"it holds no frame {self.image_tmpl}")
            return FrameCount(
                0, fault=f"its frames are named {other}, not {self.image_tmpl}; give --image_tmpl '{other}'"
            )
        count, last = 0, max(numbers)
        while count + 1 in numbers:
            count += 1
        zero_based = 0 in numbers
        if count == last:
            return FrameCount(count, zero_based, "" if count else "it has no frame but number 0")
        if count == 0:
            first = min(numbers - {0})
            return FrameCount(0, zero_based, f"its frames begin at number {first}, not at 1; extract the video again")
        gap = f"frame {count + 1} is not there, but {last} is; extract the video again"
        return FrameCount(count, zero_based, gap)


def suggest_template(names: Iterable[str]) -> str | None:
    """The template that most of the names fit, such as "img_{:05d}.jpg"; None if none is a numbered image."""
    matches = [match for name in names if (match := _NUMBERED_IMAGE.fullmatch(name))]
    if not matches:
        return None
    (prefix, suffix), _ = Counter((match[1], match[3]) for match in matches).most_common(1)[0]
    digits = [match[2] for match in matches if (match[1], match[3]) == (prefix, suffix)]
    width = min(map(len, digits))
    padded = width > 1 and any(text.startswith("0") for text in digits)
    prefix, suffix = (text.replace("{", "{{").replace("}", "}}") for text in (prefix, suffix))
    return f"{prefix}{{:0{width}d}}{suffix}" if padded else f"{prefix}{{:d}}{suffix}"


def frame_file_names(path: Path) -> list[str]:
    """Names of the files in a frame folder, or in the archive `<path>.zip` in its place.

    Raises:
        OSError, zipfile.BadZipFile: neither is there, or it cannot be read.
    """
    try:
        return os.listdir(path)
    except FileNotFoundError:
        archive = path.with_name(f"{path.name}.zip")
        if not archive.exists():
            raise
    with zipfile.ZipFile(archive) as packed:
        return packed.namelist()
