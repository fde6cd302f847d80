"""One video file -> a folder or an archive of numbered images, which gets its name when it is whole."""

import io
import os
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
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

_UNFINISHED = ".unfinished.{host}.{pid}"  # a process makes one video at a time; several may work on one disk
DAY = 24 * 60 * 60  # seconds
Write = Callable[[str, bytes], object]  # a file's name and content


@dataclass(frozen=True)
class Extraction:
    """How frames are written.

    Attributes:
        image_tmpl: frame number (from 1) -> file name; its suffix is the image format.
        short_side: shrink to this short side, in pixels; smaller videos stay as they are.
        size: resize to exactly (W, H).
        fps: frames a second; None: every frame.
        quality: of JPEGs, 1 to 95.
        pack: one archive a video instead of a folder.
    """

    image_tmpl: str = "{:05d}.jpg"
    short_side: int | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    quality: int = 90
    pack: bool = False

    def __call__(self, source: Path, target: Path) -> int:
        """Extract a video; one that is there with the right number of frames is left as it is.

        Args:
            source: video file.
            target: folder to make; the archive has .zip behind this name.

        Returns:
            The number of frames.

        Raises:
            InputError: the video cannot be decoded to its end.
            OSError: the frames cannot be written.
        """
        video = VideoFile(source)
        copies = Counter(range(video.num_frames) if self.fps is None else frames_at_rate(video.times(), self.fps))
        names = [self.image_tmpl.format(number + FIRST_NUMBER) for number in range(copies.total())]
        if self.pack:
            target = target.with_name(target.name + ARCHIVE_SUFFIX)
        if not self._is_whole(target, names):
            with self._unfinished(target, names) as write:
                rest, decoded = iter(names), 0
                for number, image in enumerate(decode_video(source)):
                    decoded += 1
                    if copies[number]:
                        content = self._encoded(Image.fromarray(image))
                        for name in islice(rest, copies[number]):
                            write(name, content)
                if decoded != video.num_frames:
                    raise InputError(
                        f"{source}: {decoded} of its {counted(video.num_frames, 'frame')} could be decoded"
                    )
        return len(names)

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

    @contextmanager
    def _unfinished(self, target: Path, names: Sequence[str]) -> Iterator[Write]:
        """A place beside the target, of this process alone; it takes the target's place if all goes well."""
        unfinished = target.with_name(_UNFINISHED.format(host=node(), pid=os.getpid()))
        _remove(unfinished)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        try:
            if self.pack:
                with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
                    yield lambda name, content: archive.writestr(zipfile.ZipInfo(name), content)
            else:
                unfinished.mkdir()
                yield lambda name, content: (unfinished / name).write_bytes(content)
            self._put_in_place(unfinished, target, names)
        finally:
            _remove(unfinished)

    def _put_in_place(self, unfinished: Path, target: Path, names: Sequence[str]) -> None:
        """Another run of the same extraction may do so at the same moment: one of them wins, the result is the same."""
        if self._is_whole(target, names):
            return
        try:
            _remove(target)
            unfinished.rename(target)
        except OSError:
            if not self._is_whole(target, names):
                raise


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove what runs that were killed left unfinished in these folders."""
    for folder in folders:
        for path in folder.glob(_UNFINISHED.format(host="*", pid="*")):
            with suppress(FileNotFoundError):  # another run removes it, too
                if _is_left_over(path):
                    _remove(path)


def _is_left_over(unfinished: Path) -> bool:
    """Whether its process is gone; of a process on another machine, whether it wrote nothing for a day."""
    pid = unfinished.name.rpartition(".")[2]
    if unfinished.name != _UNFINISHED.format(host=node(), pid=pid) or os.name != "posix":
        return time.time() - unfinished.stat().st_mtime > DAY
    try:
        os.kill(int(pid), 0)  # asks only; on Windows it would be Ctrl-C
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's process
        pass
    return False


def image_format(image_tmpl: str) -> str:
    """Pillow's name of the format that the suffix of a template, a mere file name, means.

    Raises:
        InputError: it is none of `IMAGE_SUFFIXES`, or the template has a folder.
    """
    if Path(image_tmpl).name != image_tmpl:
        raise InputError(f"--image_tmpl {image_tmpl}: give a file name, the frames lie side by side in one folder")
    suffix = Path(image_tmpl).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        allowed = ", ".join(IMAGE_SUFFIXES)
        raise InputError(f"--image_tmpl {image_tmpl}: {suffix!r} is no image format of frames; end it with {allowed}")
    return Image.registered_extensions()[suffix]


def frames_at_rate(times: Sequence[float], fps: float) -> list[int]:
    """The frames that a video of `fps` frames a second would show: for each moment the one nearest in time.

    Args:
        times: of the frames, in seconds from the first, rising; the steps may differ.
        fps: frames a second.

    Returns:
        Frame numbers, rising; some twice where `fps` is above the video's own rate.
    """
    numbers, number = [], 0
    step = times[-1] / max(len(times) - 1, 1)  # the last frame is shown as long as the others are on average
    for moment in range(max(1, round((times[-1] + step) * fps))):
        while number + 1 < len(times) and times[number + 1] - moment / fps <= moment / fps - times[number]:
            number += 1
        numbers.append(number)
    return numbers


def _remove(path: Path) -> None:
    """A file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        rmtree(path)
    else:
        path.unlink(missing_ok=True)
