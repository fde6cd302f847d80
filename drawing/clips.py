"""Pictures of clips as the network sees them: sheets of plain and of mixed ones, and animations."""

import logging
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from ops.mixing.mixer import MixedExample

INK, QUIET, CHANGED = "#1a1a1a", "#6b7280", "#b45309"
OWN, OTHER = "#1d4ed8", "#b45309"  # colours of a mixed clip and of its partner, in mask and text
FONT = "DejaVu Sans"  # comes with matplotlib
LARGE, SMALL = 10, 8  # font sizes in points
WIDTHS = (4, 12)  # of a sheet in inches, at least and at most
COLUMN = 1.6  # width of a frame in a sheet, in inches, if the sheet does not become too wide
CELL = 1.76  # width of a clip in the animation, in inches
LETTER = 0.1  # width of a large letter in inches, with some to spare
STEP = 150  # milliseconds per frame of the animation


@dataclass(frozen=True)
class ShownClip:
    """A clip and the captions of its picture."""

    frames: np.ndarray  # (T, L, H, W, 3) uint8
    numbers: np.ndarray  # (T, L) 0-based frame numbers; shown from 1, as files are numbered
    video_id: str  # the list's path
    num_frames: int  # of the video
    class_name: str  # of the video
    mirrored_name: str | None = None  # class of the mirrored clip; None: it is not mirrored

    def write_title(self, axes: Axes, letters: int, lines: int) -> None:
        """Write the class names above a picture, with so many letters per line and lines per name."""
        title, colour = self.class_name, INK
        if self.mirrored_name == self.class_name:
            title += "\n(mirrored, same class)"
        elif self.mirrored_name is not None:
            title += f"\nmirrored, so now: {self.mirrored_name}"
            colour = CHANGED
        write_above(axes, title, letters, lines, colour)


def contact_sheet(clips: Sequence[ShownClip], *, all_frames: bool) -> Image.Image:
    """One picture per clip (all of one shape), one column per segment.

    A column shows the middle frame of the segment or, with `all_frames`, all L from top to bottom.
    """
    length = clips[0].frames.shape[1]
    shown = list(range(length)) if all_frames else [length // 2]
    pictures = [tiled(clip.frames[:, shown].swapaxes(0, 1)) for clip in clips]
    width = sheet_width(len(clips[0].frames)) / (2 if len(shown) > 1 else 1)
    figure, rows = sheet_of(pictures, width)
    for axes, clip in zip(rows, clips, strict=True):
        clip.write_title(axes, int(width / LETTER), 4)
        ends = [sorted({segment[0] + 1, segment[-1] + 1}) for segment in clip.numbers[:, shown].tolist()]
        column = axes.get_images()[0].get_size()[1] / len(ends)
        labels = ["\N{EN DASH}".join(map(str, numbers)) for numbers in ends]
        axes.set_xticks(column * (np.arange(len(ends)) + 0.5), labels, color=QUIET, size=SMALL)
        write_below(axes, f"{clip.video_id}, {clip.num_frames} frames")
    return rendered(figure)


def mixed_sheet(clips: Sequence[MixedExample], class_names: Sequence[str]) -> Image.Image:
    """One picture per clip (all of one shape), one column per segment: the key frame above its mask.

    The mask has the colours of the class names, which are given in label order.
    """
    key = clips[0].frames.shape[1] // 2
    pictures = [tiled(np.stack([clip.frames[:, key], mask_picture(clip.own)])) for clip in clips]
    width = sheet_width(len(clips[0].frames))
    letters = int(width / 2 / LETTER)  # of a title beside another one
    figure, rows = sheet_of(pictures, width)
    for axes, clip in zip(rows, clips, strict=True):
        names = ["; ".join(class_names[label] for label in labels) for labels in (clip.labels, clip.partner_labels)]
        write_above(axes, f"{clip.share:.0%} {names[0]}", letters, 3, OWN)
        write_above(axes, f"{1 - clip.share:.0%} {names[1]}", letters, 3, OTHER, place="right")
        pixels = float(clip.own.mean())
        write_below(axes, f"shares of the label; of the pixels: {pixels:.0%} and {1 - pixels:.0%}")
    return rendered(figure)


def mask_picture(own: np.ndarray) -> np.ndarray:
    """Weights (..., H, W) -> (..., H, W, 3) uint8 between the partner's colour (0) and the clip's (1)."""
    return LinearSegmentedColormap.from_list("mask", [OTHER, OWN])(own, bytes=True)[..., :3]


def animation(clips: Sequence[ShownClip]) -> Iterator[Image.Image]:
    """The pictures of an animation in which all clips, of one shape, play at once, segment after segment."""
    segments, length = clips[0].numbers.shape
    columns = min(len(clips), 4)
    pictures = [clip.frames[0, 0] for clip in clips]
    figure, cells = sheet_of(pictures, columns * CELL, columns)
    for axes, clip in zip(cells, clips, strict=True):
        clip.write_title(axes, int(CELL / LETTER), 3)
    for segment, index in np.ndindex(segments, length):
        for axes, clip in zip(cells, clips, strict=True):
            axes.get_images()[0].set_data(clip.frames[segment, index])
            write_below(axes, f"segment {segment + 1} of {segments}, frame {clip.numbers[segment, index] + 1}")
        yield rendered(figure)
        figure.set_layout_engine("none")  # all pictures as the first one


def save_animation(pictures: Iterator[Image.Image], path: Path) -> None:
    """Write a GIF that plays forever."""
    first, *rest = map(_quantized, pictures)
    first.save(path, save_all=True, append_images=rest, duration=STEP, loop=0)


def _quantized(picture: Image.Image) -> Image.Image:
    """A picture in 256 colours, found in every 4th row and column: 17 times as fast, and as close to the picture."""
    small = picture.resize((-(-picture.width // 4), -(-picture.height // 4)), Image.Resampling.NEAREST)
    # This method keeps the colours of small things; the default one replaces them with those of large ones.
    palette = small.quantize(256, Image.Quantize.MAXCOVERAGE)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def tiled(frames: np.ndarray) -> np.ndarray:
    """Frames (rows, columns, H, W, 3) uint8 side by side: (rows * H', columns * W', 3), with white between them."""
    gap = -(-frames.shape[3] // 40)
    padded = np.pad(frames, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    rows, columns, height, width, _ = padded.shape
    return padded.swapaxes(1, 2).reshape(rows * height, columns * width, 3)


def sheet_width(segments: int) -> float:
    """Inches for a row of frames."""
    return min(max(segments * COLUMN, WIDTHS[0]), WIDTHS[1])


def sheet_of(pictures: Sequence[np.ndarray], width: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of pictures (H, W, 3) of one size, `width` inches wide, with room for their texts."""
    rows = -(-len(pictures) // columns)
    height, length = pictures[0].shape[:2]
    layout = ConstrainedLayoutEngine(compress=True, w_pad=0.08, h_pad=0.08)
    figure = Figure((width, rows * (width / columns * height / length + 1)), layout=layout)
    cells = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in cells:
        axes.set(frame_on=False, yticks=[], xticks=[])
        axes.tick_params(length=0)
    for axes, picture in zip(cells, pictures, strict=False):
        axes.imshow(picture, extent=(0, length, height, 0))
    return figure, cells[: len(pictures)]


def rendered(figure: Figure) -> Image.Image:
    """The picture of a figure, without empty space above and below."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # see `fonts_for`
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_figheight(figure.get_tightbbox().height + 0.16)
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def shorten(text: str, letters: int, lines: int) -> str:
    """Text in lines; the middle of a long one is left out, because class names often differ in their last words."""
    wrapped = textwrap.wrap(text, letters)
    if len(wrapped) > lines:
        end = text[-letters:]
        wrapped = [*wrapped[: lines - 2], "\N{HORIZONTAL ELLIPSIS}", end.partition(" ")[2] or end]
    return "\n".join(wrapped)


def write_above(axes: Axes, text: str, letters: int, lines: int, colour: str = INK, place: Any = "left") -> None:
    """Write a title, each line of it shortened to so many lines of so many letters."""
    text = "\n".join(shorten(line, letters, lines) for line in text.split("\n"))
    axes.set_title(text, loc=place, color=colour, size=LARGE, **style(text))


def write_below(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, loc="left", color=QUIET, size=SMALL, **style(text, "normal"))


def style(text: str, weight: str = "bold") -> dict[str, Any]:
    """Arguments of a text that matplotlib writes as it is, in fonts that have all its letters."""
    return {"weight": weight, "family": fonts_for(frozenset(text)), "parse_math": False}


@cache
def fonts_for(letters: frozenset[str]) -> list[str]:
    """Matplotlib's own font, and for letters that it lacks, such as Chinese ones, a font of the system."""
    lacking = {ord(letter) for letter in letters if not letter.isspace()} - _letters_of(font_manager.findfont(FONT))
    if not lacking:
        return [FONT]
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: font.fname):
        # The font that is left out has a box for every letter.
        if not font.name.startswith("Last Resort") and lacking <= _letters_of(font.fname):
            return [FONT, font.name]
    _warn_of_boxes()
    return [FONT]


@cache
def _warn_of_boxes() -> None:
    """Warn once, although several texts of a picture may lack letters."""
    logging.warning("No installed font has all letters of the names: boxes replace some. Install a font that has them")


@cache
def _letters_of(font_file: str) -> set[int]:
    return set(FT2Font(font_file).get_charmap())
