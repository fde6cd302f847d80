"""Videos as image files: a folder, or an uncompressed zip archive, with one image per frame, numbered from 1."""

import os
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from string import Formatter

import numpy as np

from common.errors import InputError, counted, reason
from datasets.reading.decoders import choose_decoder, faults_are_os_errors

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")  # in lower or upper case
ADDED_BY_MACOS = "._"  # prefix of files in which macOS keeps its own metadata, on disks and in archives
FIRST_NUMBER = 1  # in the name of the first frame's file, in all known data sets
LARGEST_IMAGE = 256 << 20  # bytes of a file in an archive
# Raised by decoders for damaged images, and by zipfile for damaged archives (NotImplementedError: by newer archives).
UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError)
EXTRACT_AGAIN = "extract the video again or drop it from the list"
NUMBERED_IMAGE = re.compile(rf"([^/]*?)(\d+)({'|'.join(map(re.escape, IMAGE_SUFFIXES))})", re.IGNORECASE | re.DOTALL)
# Prefixes of the number. Optical flow is never a frame, however many images of it there are: TSN's folders have
# img_00001.jpg, flow_x_00001.jpg and flow_y_00001.jpg side by side.
_FLOW = re.compile(r"((.*[_-])?flow[uvxy]?([_-].*)?|[uvxy])[_-]?", re.IGNORECASE | re.DOTALL)


class NumberedImages(ABC):
    """A video with one image file per frame. Subclasses know where the files are: in a folder or an archive."""

    def __init__(self, path: Path, image_tmpl: str, num_frames: int | None = None, decoder: str = "auto") -> None:
        """Open a video; raises an `InputError` if the frames must be counted and there are none."""
        self.path = path
        self.image_tmpl = image_tmpl  # frame number (from 1) -> file name
        self.decode = choose_decoder(decoder)
        # As listed, or the highest number.
        self.num_frames = max(self._some_present()) + 1 if num_frames is None else num_frames

    def names(self) -> Collection[str]:
        """File names, without those that macOS adds; raises the errors of the file system or of zipfile."""
        return [name for name in self.all_names() if not name.rpartition("/")[2].startswith(ADDED_BY_MACOS)]

    @abstractmethod
    def all_names(self) -> Collection[str]:
        """All file names; raises the errors of the file system or of zipfile."""

    @abstractmethod
    def opened(self) -> AbstractContextManager[Callable[[str], np.ndarray]]:
        """A function file name -> (H, W, 3). Nothing stays open afterwards, so that readers can be pickled."""

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Decode frames: see `datasets.reading.readers.Reader.frames`."""
        with self.opened() as load:
            for number in numbers:
                name = self._name(number)
                try:
                    image = load(name)
                except UNREADABLE as error:
                    if replaced is None:
                        raise InputError(self._explain(name, error)) from error
                    image = self._nearest_readable(load, number)
                    replaced.append(str(self.path / name))
                yield number, image

    def _name(self, number: int) -> str:
        """File name of the frame with a 0-based number."""
        return self.image_tmpl.format(number + FIRST_NUMBER)

    def _some_present(self) -> list[int]:
        """`_present`, or an `InputError` if there are no frames."""
        present = self._present()
        if not present:
            raise InputError(f"{self.path} has no frames named {self.image_tmpl}; check --image_tmpl")
        return present

    def _present(self) -> list[int]:
        """0-based numbers of the frames whose files exist: few, however many frames are listed."""
        try:
            numbers = (frame_number(name, self.image_tmpl) for name in self.names())
            return [number - FIRST_NUMBER for number in numbers if number is not None and number >= FIRST_NUMBER]
        except UNREADABLE as error:
            raise InputError(f"{self.path} cannot be read ({reason(error)}); {EXTRACT_AGAIN}") from error

    def _nearest_readable(self, load: Callable[[str], np.ndarray], number: int) -> np.ndarray:
        present = (other for other in self._some_present() if other < self.num_frames)
        for other in sorted(present, key=lambda other: (abs(other - number), other)):
            try:
                return load(self._name(other))
            except UNREADABLE:
                continue
        count = counted(self.num_frames, "frame")
        raise InputError(f"{self.path}: none of its {count} {self.image_tmpl} can be read; {EXTRACT_AGAIN}")

    def _explain(self, name: str, error: Exception) -> str:
        """One sentence on a frame that cannot be read."""
        if isinstance(error, FileNotFoundError):
            present = sum(other < self.num_frames for other in self._present())
            return (
                f"{self.path} has {present} of the {counted(self.num_frames, 'listed frame')} "
                f"({name} is missing); extract the video again, correct the list, or check --image_tmpl"
            )
        return f"{self.path / name} cannot be read ({reason(error)}); {EXTRACT_AGAIN}"


class FrameFolder(NumberedImages):
    """A folder of frames."""

    def all_names(self) -> Collection[str]:
        return os.listdir(self.path)  # faster than iterdir, which matters when 200,000 folders are checked

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], np.ndarray]]:
        def load(name: str) -> np.ndarray:
            with open(os.path.join(self.path, name), "rb") as file:  # making a Path costs as much as reading the file
                return self.decode(file.read())

        yield load


class FrameArchive(NumberedImages):
    """A zip archive of frames, as `scripts/extract_frames.py --pack` writes: one file per video instead of hundreds."""

    def all_names(self) -> Collection[str]:
        with zipfile.ZipFile(self.path) as archive:
            return archive.namelist()

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], np.ndarray]]:
        try:
            archive = zipfile.ZipFile(self.path)
        except UNREADABLE as error:
            raise InputError(f"{self.path} cannot be read ({reason(error)}); {EXTRACT_AGAIN}") from error
        with archive:

            def load(name: str) -> np.ndarray:
                try:
                    member = archive.getinfo(name)
                except KeyError:
                    raise FileNotFoundError(f"{name} is not in the archive") from None
                return self.decode(_content(archive, member))

            yield load


@faults_are_os_errors()
def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member; any fault is an `OSError`, as with a file."""
    if member.file_size > LARGEST_IMAGE:
        raise OSError(f"its {member.file_size >> 20} MiB are too many for an image file")
    with archive.open(member) as file:
        return file.read(member.file_size)  # no more than declared, even if more is packed


def frame_number(name: str, image_tmpl: str) -> int | None:
    """The number in a frame's file name; None if the template does not make this name."""
    parts = list(Formatter().parse(image_tmpl))
    prefix, suffix = parts[0][0], "".join(literal for literal, *_ in parts[1:])
    digits = name[len(prefix) : len(name) - len(suffix)]
    if not digits.isdecimal() or image_tmpl.format(int(digits)) != name:
        return None
    return int(digits)


def is_flow(name: str) -> bool:
    """Whether a file is an optical flow image by its name."""
    match = NUMBERED_IMAGE.fullmatch(name)
    return match is not None and _FLOW.fullmatch(match[1]) is not None
