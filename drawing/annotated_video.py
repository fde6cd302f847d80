"""A video with its most likely classes drawn in."""

from collections.abc import Callable, Generator, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from common.console import printable
from common.errors import InputError
from common.files import writing
from drawing.clips import fonts_for

TICKS = 1000  # per second, of the frames' times
LINES = 16  # of text in the height of a frame
SMALLEST = 9  # height of a line in pixels
LETTER = 0.42  # mean width of a letter, in heights of a line
SHADE, BAR, INK = (0, 0, 0, 150), (56, 132, 255, 170), (255, 255, 255, 255)  # RGBA

TimedImage = tuple[float, np.ndarray]  # seconds, and (H, W, 3) uint8 RGB
Top = Sequence[tuple[str, float]]  # class names and probabilities, the likeliest first


def annotated(
    frames: Iterable[TimedImage], path: Path, top_at: Callable[[float], Top]
) -> Generator[TimedImage, None, None]:
    """Write frames to an MP4 file with the classes of their times at the lower left, and hand them on unchanged.

    H.264 where PyAV has it, without sound; frames of other sizes get the size of the first. The file appears when the
    frames end or break off, or the generator is closed.

    Raises:
        InputError: the file cannot be written, or there are no frames.
    """
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    ticks, fault = -1, None
    with writing(path) as temporary, av.open(str(temporary.absolute()), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=30, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, TICKS)
        try:
            for time, image in frames:
                picture = Image.fromarray(image)
                if ticks < 0:  # H.264 halves the size of the colours
                    size = max(picture.width // 2, 1) * 2, max(picture.height // 2, 1) * 2
                    stream.width, stream.height = size
                picture = picture if picture.size == size else picture.resize(size)
                classes = overlay(tuple(top_at(time)), size)
                picture.paste(classes, (0, size[1] - classes.height), classes)
                frame = av.VideoFrame.from_image(picture)
                ticks = max(round(time * TICKS), ticks + 1)
                frame.pts, frame.time_base = ticks, Fraction(1, TICKS)
                container.mux(stream.encode(frame))
                yield time, image
        except GeneratorExit:
            pass
        except InputError as error:  # what came before it is worth keeping
            fault = error
        if ticks < 0:
            raise fault or InputError(f"{path} is not written: there are no frames")
        container.mux(stream.encode(None))
    if fault:
        raise fault


@lru_cache(maxsize=1)  # of many frames
def overlay(top: tuple[tuple[str, float], ...], size: tuple[int, int]) -> Image.Image:
    """Class names on bars for their probabilities, for a frame of `size` (W, H); as many as fit into its half."""
    line = max(size[1] // LINES, SMALLEST)
    top = top[: max(size[1] // 2 // line, 1)]
    width = min(size[0], 20 * line)
    letters = round(width / line / LETTER)
    picture = Image.new("RGBA", (width, line * len(top)), SHADE)
    draw = ImageDraw.Draw(picture)
    for row, (name, share) in enumerate(top):
        text = f"{100 * share:3.0f} % {' '.join(printable(name).split())}"
        if len(text) > letters:  # class names often differ in their last words
            text = f"{text[: letters - letters // 2]}\N{HORIZONTAL ELLIPSIS}{text[-(letters // 2) :]}"
        font = font_manager.findfont(fonts_for(frozenset(text))[-1])
        draw.rectangle((0, row * line, round(width * share), (row + 1) * line - 2), BAR)
        draw.text((line // 4, row * line), text, INK, ImageFont.truetype(font, round(0.68 * line)))
    return picture
