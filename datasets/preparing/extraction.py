"""One video file -> a folder or an archive of numbered images, which gets its name once it is complete."""

import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from platform import node
from shutil import rmtree

from PIL import Image

from common.errors import InputError, counted
from datasets.reading.frames import FIRST_NUMBER, IMAGE_SUFFIXES, UNREADABLE, FrameArchive, FrameFolder
from datasets.reading.readers import ARCHIVE_SUFFIX
from datasets.reading.video_decoding import decode_video
from datasets.reading.video_file import VideoFile

UNFINISHED = ".unfinished.{host}.{pid}"  # a process makes one video at a time; several may write to one disk


@dataclass(frozen=True)
class Extraction:
    """The form in which frames are written."""

    image_tmpl: str = "{:05d}.jpg"  # frame number (from 1) -> file name; its suffix is the image format
    short_side: int | None = None  # shrink to this short side, in pixels; smaller videos keep their size
    size: tuple[int, int] | None = None  # resize to exactly (W, H)
    fps: float | None = None  # frames per second; None: every frame
    quality: int = 90  # of JPEGs, 1 to 95
    pack: bool = False  # one archive per video instead of a folder

    def __call__(self, source: Path, target: Path) -> int:
        """Extract a video file to the folder `target`, or to an archive with .zip added to this name.

        A target with the right number of frames is left as it is. Returns this number; raises an `InputError` if the
        video cannot be decoded to its end, and an `OSError` if the frames cannot be written.
        """
        video = VideoFile(source)
        copies = Counter(range(video.num_frames) if self.fps is None else frames_at_rate(video.times(), self.fps))
        names = [self.image_tmpl.format(number + FIRST_NUMBER) for number in range(copies.total())]
        if self.pack:
            target = target.with_name(target.name + ARCHIVE_SUFFIX)
        if not self._is_whole(target, names):
            unfinished = target.with_name(UNFINISHED.format(host=node(), pid=os.getpid()))
            remove(unfinished)
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._write(unfinished, self._files(video, copies, names))
                self._put_in_place(unfinished, target, names)
            finally:
                remove(unfinished)
        return len(names)

    def _files(self, video: VideoFile, copies: Counter[int], names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Names and contents of the images; `copies`: how many there are of each frame."""
        rest, decoded = iter(names), 0
        for number, image in enumerate(decode_video(video.path)):
            decoded += 1
            if copies[number]:
                content = self._encoded(Image.fromarray(image))
                yield from ((name, content) for name in islice(rest, copies[number]))
        if decoded != video.num_frames:
            raise InputError(f"{video.path}: {decoded} of its {counted(video.num_frames, 'frame')} could be decoded")

    def _write(self, path: Path, files: Iterable[tuple[str, bytes]]) -> None:
        if self.pack:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
                for name, content in files:
                    archive.writestr(zipfile.ZipInfo(name), content)
        else:
            path.mkdir()
            for name, content in files:
                (path / name).write_bytes(content)

    def _encoded(self, image: Image.Image) -> bytes:
        size = self.size or image.size
        if self.short_side and min(image.size) > self.short_side:
            scale = self.short_side / min(image.size)
            size = round(image.width * scale), round(image.height * scale)
        if size != image.size:
            image = image.resize(size, reducing_gap=2)
        buffer = io.BytesIO()
        image.save(buffer, image_format(self.image_tmpl), quality=self.quality)
        return buffer.getvalue()

    def _is_whole(self, target: Path, names: Sequence[str]) -> bool:
        if not target.exists():
            return False
        reader = (FrameArchive if self.pack else FrameFolder)(target, self.image_tmpl, len(names))
        try:
            return set(reader.names()) == set(names)
        except UNREADABLE:
            return False

    def _put_in_place(self, unfinished: Path, target: Path, names: Sequence[str]) -> None:
        """Rename the finished target. A parallel run of the same extraction may be faster; the result is the same."""
        if self._is_whole(target, names):
            return
        try:
            remove(target)
            unfinished.rename(target)
        except OSError:
            if not self._is_whole(target, names):
                raise


def image_format(image_tmpl: str) -> str:
    """Pillow's name of the image format that the suffix of a template means, which is one of `IMAGE_SUFFIXES`."""
    if Path(image_tmpl).name != image_tmpl:
        raise InputError(f"--image_tmpl {image_tmpl}: give a file name without a folder")
    suffix = Path(image_tmpl).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        allowed = ", ".join(IMAGE_SUFFIXES)
        raise InputError(f"--image_tmpl {image_tmpl}: frames cannot be stored as {suffix!r}; use {allowed}")
    return Image.registered_extensions()[suffix]


def frames_at_rate(times: Sequence[float], fps: float) -> list[int]:
    """The frames that a video of `fps` frames per second would show: the nearest in time for each moment.

    `times` are in seconds from the first frame, rising, perhaps with unequal steps. The returned numbers rise; some
    come twice if `fps` exceeds the video's own rate.
    """
    numbers, number = [], 0
    step = times[-1] / max(len(times) - 1, 1)  # the last frame is shown for the average time of the others
    for moment in range(max(1, round((times[-1] + step) * fps))):
        while number + 1 < len(times) and times[number + 1] - moment / fps <= moment / fps - times[number]:
            number += 1
        numbers.append(number)
    return numbers


def remove(path: Path) -> None:
    """Remove a file or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        rmtree(path)
    else:
        path.unlink(missing_ok=True)
