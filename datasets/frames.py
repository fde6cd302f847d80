"""Frame folders: one JPEG a frame, numbered from 1."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from errors import InputError

FIRST_NUMBER = 1  # of the first frame's file, in all known data sets


class Frames(NamedTuple):
    """Decoded frames.

    Attributes:
        images: frame number (0-based) -> RGB image.
        replaced: files that could not be read, each standing for one frame that another one took the place of.
    """

    images: dict[int, Image.Image]
    replaced: list[str]


def frame_path(folder: Path, image_tmpl: str, index: int) -> Path:
    """File of the frame with 0-based number `index`."""
    return folder / image_tmpl.format(index + FIRST_NUMBER)


def read_frames(
    folder: Path, image_tmpl: str, indices: Sequence[int], num_frames: int, *, replace_unreadable: bool
) -> Frames:
    """Decode frames of one video, each once.

    Args:
        folder: of the video's frames.
        image_tmpl: frame number (from 1) -> file name.
        indices: distinct 0-based frame numbers.
        num_frames: frames that the video has by its list.
        replace_unreadable: take the nearest readable frame of the same video for one that cannot be read, and say so
            in `Frames.replaced`; otherwise stop.

    Raises:
        InputError: the folder is not there, a frame cannot be read and must not be replaced, or none can be.
    """
    images: dict[int, Image.Image] = {}
    replaced = []
    for index in indices:
        try:
            images[index] = decode_image(frame_path(folder, image_tmpl, index))
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
            if not replace_unreadable or not folder.is_dir():
                raise InputError(_explain(folder, image_tmpl, index, num_frames, error)) from error
            images[index] = _nearest_readable(folder, image_tmpl, index, num_frames)
            replaced.append(str(frame_path(folder, image_tmpl, index)))
    return Frames(images, replaced)


def decode_image(path: Path) -> Image.Image:
    """RGB image of a file; a truncated one is an error, not a half-grey picture."""
    with Image.open(path) as image:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")


def _nearest_readable(folder: Path, image_tmpl: str, index: int, num_frames: int) -> Image.Image:
    for other in sorted(range(num_frames), key=lambda i: (abs(i - index), i)):
        try:
            return decode_image(frame_path(folder, image_tmpl, other))
        except (OSError, SyntaxError, ValueError):
            continue
    raise InputError(
        f"{folder}: none of its {num_frames} frames {image_tmpl} can be read; "
        "extract the video again or drop it from the list"
    )


def _explain(folder: Path, image_tmpl: str, index: int, num_frames: int, error: Exception) -> str:
    """One sentence for a frame that cannot be read."""
    path = frame_path(folder, image_tmpl, index)
    if not folder.is_dir():
        return f"there is no folder {folder}; check --root_path and the paths in the list"
    if not path.exists():
        found = sum(frame_path(folder, image_tmpl, i).exists() for i in range(num_frames))
        return (
            f"{folder} has {found} of the {num_frames} frames that the list says ({path.name} is not there); "
            "extract the video again, correct the list, or check --image_tmpl"
        )
    return f"{path} cannot be read ({error}); extract the video again or drop it from the list"
