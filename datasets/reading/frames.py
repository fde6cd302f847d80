"""Frames as image files: a folder, or an uncompressed zip archive, with one JPEG per frame, numbered from 1."""

import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import numpy as np

from common.errors import InputError, counted, reason
from datasets.reading.decoders import choose_decoder

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")  # of any case
ADDED_BY_MACOS = "._"  # in front of a file's name, on disks and in archives: what only macOS stores of that file
FIRST_NUMBER = 1  # of the first frame's file, in all known data sets
LARGEST_IMAGE = 256 << 20  # bytes of a file in an archive
# What decoders raise for damaged images, and zipfile for damaged archives (NotImplementedError: of a newer version).
UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError)
Take = Callable[[int, np.ndarray], Any]  # what is made of a frame (number, (H, W, 3) uint8) as soon as it is decoded


def take_all(_number: int, image: np.ndarray) -> np.ndarray:
    """The `Take` that keeps the whole frame."""
    return image


class Frames(NamedTuple):
    """Decoded frames.

    Attributes:
        images: frame number (0-based) -> (H, W, 3) uint8 RGB, or what a `Take` made of it.
        replaced: files that could not be read, each standing for one frame that another one took the place of.
    """

    images: dict[int, Any]
    replaced: list[str]


class NumberedImages(ABC):
    """A video with one image file per frame; its readers differ in where these files are.

    Attributes:
        path: folder or archive.
        num_frames: frames that the video has by its list; without this, the highest number that a file has.
    """

    def __init__(self, path: Path, image_tmpl: str, num_frames: int | None = None, decoder: str = "auto") -> None:
        """Open a video.

        Args:
            path: folder or archive.
            image_tmpl: frame number (from 1) -> file name.
            num_frames: by the list; None: counted.
            decoder: one of `DECODER_NAMES`.

        Raises:
            InputError: the frames must be counted, and there are none.
        """
        self.path = path
        self.image_tmpl = image_tmpl
        self.decode = choose_decoder(decoder)
        self.num_frames = num_frames if num_frames is not None else self._count()

    def names(self) -> Collection[str]:
        """Names of the files, without those that macOS adds; raises what the file system or zipfile raises."""
        return [name for name in self.all_names() if not name.rpartition("/")[2].startswith(ADDED_BY_MACOS)]

    @abstractmethod
    def all_names(self) -> Collection[str]:
        """As `names`, of all files."""

    @abstractmethod
    def opened(self) -> AbstractContextManager[Callable[[str], np.ndarray]]:
        """A function file name -> (H, W, 3). Nothing stays open after it, so that a reader may go to any process."""

    def read(self, indices: Sequence[int], *, replace_unreadable: bool, take: Take = take_all) -> Frames:
        """As `datasets.reading.readers.Reader.read`."""
        images: dict[int, Any] = {}
        replaced = []
        with self.opened() as load:
            for index in indices:
                try:
                    image = load(self._name(index))
                except UNREADABLE as error:
                    if not replace_unreadable:
                        raise InputError(self._explain(index, error)) from error
                    image = self._nearest_readable(load, index)
                    replaced.append(str(self.path / self._name(index)))
                images[index] = take(index, image)
        return Frames(images, replaced)

    def _name(self, index: int) -> str:
        """File name of the frame with 0-based number `index`."""
        return self.image_tmpl.format(index + FIRST_NUMBER)

    def _count(self) -> int:
        there = self._there()
        if not there:
            raise InputError(f"{self.path} has no frames named {self.image_tmpl}; check --image_tmpl")
        return max(there) + 1

    def _there(self) -> list[int]:
        """0-based numbers of the frames whose files are there: few, whatever number of frames the list says."""
        try:
            numbers = (frame_number(name, self.image_tmpl) for name in self.names())
            return [number - FIRST_NUMBER for number in numbers if number is not None and number >= FIRST_NUMBER]
        except UNREADABLE as error:
            raise InputError(f"{self.path} cannot be read ({reason(error)}); {self._cure()}") from error

    def _nearest_readable(self, load: Callable[[str], np.ndarray], index: int) -> np.ndarray:
        there = (other for other in self._there() if other < self.num_frames)
        for other in sorted(there, key=lambda i: (abs(i - index), i)):
            try:
                return load(self._name(other))
            except UNREADABLE:
                continue
        raise InputError(
            f"{self.path}: none of its {counted(self.num_frames, 'frame')} {self.image_tmpl} can be read; "
            f"{self._cure()}"
        )

    def _explain(self, index: int, error: Exception) -> str:
        """One sentence for a frame that cannot be read."""
        name = self._name(index)
        if isinstance(error, FileNotFoundError):
            found = sum(other < self.num_frames for other in self._there())
            return (
                f"{self.path} has {found} of the {counted(self.num_frames, 'frame')} that the list says "
                f"({name} is missing); extract the video again, correct the list, or check --image_tmpl"
            )
        return f"{self.path / name} cannot be read ({reason(error)}); {self._cure()}"

    def _cure(self) -> str:
        return "extract the video again or drop it from the list"


class FrameFolder(NumberedImages):
    """A folder of frames."""

    def all_names(self) -> Collection[str]:
        return os.listdir(self.path)  # not iterdir, which makes a Path of each: 200,000 folders are checked so

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], np.ndarray]]:
        def load(name: str) -> np.ndarray:
            with open(os.path.join(self.path, name), "rb") as file:  # a Path of each costs as much as reading it
                return self.decode(file.read())

        yield load


class FrameArchive(NumberedImages):
    """A zip archive of frames, from `scripts/extract_frames.py --pack`: one file a video instead of hundreds."""

    def all_names(self) -> Collection[str]:
        with zipfile.ZipFile(self.path) as archive:
            return archive.namelist()

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], np.ndarray]]:
        try:
            archive = zipfile.ZipFile(self.path)
        except UNREADABLE as error:
            raise InputError(f"{self.path} cannot be read ({reason(error)}); {self._cure()}") from error
        with archive:

            def load(name: str) -> np.ndarray:
                try:
                    member = archive.getinfo(name)
                except KeyError:
                    raise FileNotFoundError(f"{name} is not there") from None
                return self.decode(_content(archive, member))

            yield load


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """What a member holds; whatever is wrong with it is an `OSError`, as of a file."""
    try:
        if member.file_size > LARGEST_IMAGE:
            raise OSError(f"it has {member.file_size >> 20} MiB, more than an image file has")
        with archive.open(member) as file:
            return file.read(member.file_size)  # no more, although more may be packed
    except Exception as error:  # each decompressor has its own; a RuntimeError: it is encrypted
        raise OSError(str(error) or type(error).__name__) from error


def frame_number(name: str, image_tmpl: str) -> int | None:
    """The number in a frame's file name; None if it is not made by the template."""
    parts = list(Formatter().parse(image_tmpl))
    prefix, suffix = parts[0][0], "".join(literal for literal, *_ in parts[1:])
    digits = name[len(prefix) : len(name) - len(suffix)]
    if not digits.isdecimal() or image_tmpl.format(int(digits)) != name:
        return None
    return int(digits)
