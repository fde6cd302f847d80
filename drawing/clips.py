"""Pictures of clips as a network is given them: a contact sheet, and an animation."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

INK, QUIET, CHANGED, PAPER = "#1a1a1a", "#6b7280", "#b45309", "#ffffff"
TITLE, SMALL = 15, 12  # font sizes in pixels
GAP = 4  # pixels between pictures
MARGIN = 16
SHEET_WIDTH = 1600  # pixels, of a row of pictures; half of it, if all frames are shown
THUMB_WIDTHS = (48, 160)  # at least and, unless the frames are wider, at most
CELL = 176  # width of a clip in the animation
STEP = 150  # milliseconds of one frame in the animation

Font = ImageFont.FreeTypeFont


@dataclass(frozen=True)
class ShownClip:
    """A clip and what is known of it.

    Attributes:
        frames: (T, L, H, W, 3) uint8.
        numbers: (T, L) 0-based frame numbers; they are shown from 1, as files are numbered.
        video_id: the list's path.
        num_frames: of the video.
        class_name: of the video.
        mirrored_name: class of the mirrored clip; None: it is not mirrored.
    """

    frames: np.ndarray
    numbers: np.ndarray
    video_id: str
    num_frames: int
    class_name: str
    mirrored_name: str | None = None

    def heading(self) -> list[tuple[str, str, bool]]:
        """Lines of text: (text, colour, in large letters)."""
        lines = [(self.class_name, INK, True)]
        if self.mirrored_name is not None:
            changed = self.mirrored_name != self.class_name
            text = f"mirrored, so now: {self.mirrored_name}" if changed else "mirrored, same class"
            lines.append((text, CHANGED if changed else QUIET, changed))
        return lines


def contact_sheet(clips: Sequence[ShownClip], *, all_frames: bool) -> Image.Image:
    """One block a clip, one column a segment: its key frame, or all its frames from top to bottom.

    Args:
        clips: of one shape.
        all_frames: show L frames a segment instead of the one in the middle.
    """
    segments, length, height, width = clips[0].frames.shape[:4]
    shown = list(range(length)) if all_frames else [length // 2]
    room = SHEET_WIDTH if len(shown) == 1 else SHEET_WIDTH / 2
    thumb = thumb_size((height, width), room / segments - GAP)
    sheet_width = max(segments * (thumb[1] + GAP) - GAP, 480)
    blocks = []
    for clip in clips:
        details = [(f"{clip.video_id}, {clip.num_frames} frames", QUIET, False)]
        text = text_block(clip.heading() + details, sheet_width, most_lines=4)
        top = text.height + GAP
        block = Image.new("RGB", (sheet_width, top + len(shown) * (thumb[0] + GAP) + SMALL + GAP), PAPER)
        block.paste(text, (0, 0))
        draw = ImageDraw.Draw(block)
        for segment in range(segments):
            x = segment * (thumb[1] + GAP)
            for row, place in enumerate(shown):
                block.paste(resized(clip.frames[segment, place], thumb), (x, top + row * (thumb[0] + GAP)))
            numbers = clip.numbers[segment, shown] + 1
            label = f"{numbers[0]}" if len(shown) == 1 else f"{numbers[0]}\N{EN DASH}{numbers[-1]}"
            place = (x + thumb[1] // 2, block.height - SMALL - GAP)
            draw.text(place, label, QUIET, _font(label, SMALL), anchor="ma")
        blocks.append(block)
    return stack(blocks, MARGIN)


def animation(clips: Sequence[ShownClip]) -> Iterator[Image.Image]:
    """The pictures of an animation in which all clips play at once, segment after segment.

    Args:
        clips: of one shape.
    """
    segments, length, height, width = clips[0].frames.shape[:4]
    thumb = thumb_size((height, width), CELL)
    columns = min(len(clips), 4)
    texts = [text_block(clip.heading(), thumb[1], most_lines=3) for clip in clips]
    cell_height = thumb[0] + GAP + SMALL + GAP + max(text.height for text in texts)
    rows = -(-len(clips) // columns)
    size = (columns * (thumb[1] + MARGIN) + MARGIN, rows * (cell_height + MARGIN) + MARGIN)
    for segment, place in np.ndindex(segments, length):
        picture = Image.new("RGB", size, PAPER)
        draw = ImageDraw.Draw(picture)
        for number, (clip, text) in enumerate(zip(clips, texts, strict=True)):
            x = MARGIN + number % columns * (thumb[1] + MARGIN)
            y = MARGIN + number // columns * (cell_height + MARGIN)
            picture.paste(resized(clip.frames[segment, place], thumb), (x, y))
            y += thumb[0] + GAP
            counter = f"segment {segment + 1} of {segments}, frame {clip.numbers[segment, place] + 1}"
            draw.text((x, y), counter, QUIET, _font(counter, SMALL), anchor="la")
            picture.paste(text, (x, y + SMALL + GAP))
        yield picture


def save_animation(pictures: Iterator[Image.Image], path: Path) -> None:
    """Write a GIF that plays for ever."""
    first, *rest = map(_quantized, pictures)
    first.save(path, save_all=True, append_images=rest, duration=STEP, loop=0)


def _quantized(picture: Image.Image) -> Image.Image:
    """A picture in 256 colours, found in every 4th row and column: 17 times as fast, and as close to the picture."""
    small = picture.resize((-(-picture.width // 4), -(-picture.height // 4)), Image.Resampling.NEAREST)
    # This method keeps the colours of small things; the default one turns them into those of the large.
    palette = small.quantize(256, Image.Quantize.MAXCOVERAGE)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def thumb_size(frame: tuple[int, int], room: float) -> tuple[int, int]:
    """(H, W) of a picture about `room` wide; small frames grow by a whole factor, so that their pixels show."""
    height, width = frame
    wanted = int(min(max(room, THUMB_WIDTHS[0]), max(THUMB_WIDTHS[1], width)))
    wanted = width * (wanted // width) if wanted > width else wanted
    return round(height * wanted / width), wanted


def resized(frame: np.ndarray, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(frame)
    grows = size[1] > image.width
    return image.resize(size[::-1], Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS)


def stack(blocks: Sequence[Image.Image], space: int) -> Image.Image:
    """Blocks of one width, one below the other."""
    height = sum(block.height + space for block in blocks) + space
    sheet = Image.new("RGB", (blocks[0].width + 2 * space, height), PAPER)
    y = space
    for block in blocks:
        sheet.paste(block, (space, y))
        y += block.height + space
    return sheet


def text_block(lines: Sequence[tuple[str, str, bool]], width: int, most_lines: int) -> Image.Image:
    """Lines of text (text, colour, in large letters), wrapped to a width in pixels."""
    placed, y = [], 0
    for text, colour, large in lines:
        size = TITLE if large else SMALL
        font = _font(text, size, bold=large)
        for line in _wrap(text, font, width, most_lines):
            placed.append((y, line, colour, font))
            y += size + GAP
    block = Image.new("RGB", (width, y), PAPER)
    draw = ImageDraw.Draw(block)
    for top, line, colour, font in placed:
        draw.text((0, top), line, colour, font, anchor="la")
    return block


def _wrap(text: str, font: Font, width: int, most_lines: int) -> list[str]:
    """Lines of a text; what is too much is left out in the middle, because classes often differ in their last words."""
    words = text.split()
    lines = _break(words, font, width)
    for kept in range(len(words) - 1, 0, -1):
        if len(lines) <= most_lines:
            break
        head, tail = words[: (kept + 1) // 2], words[len(words) - kept // 2 :]
        lines = _break([*head, "\N{HORIZONTAL ELLIPSIS}", *tail], font, width)
    return lines[:most_lines]


def _break(words: Sequence[str], font: Font, width: int) -> list[str]:
    """Lines of words, with a break inside of those that are too long for one line."""
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _font(text: str, size: int, bold: bool = False) -> Font:
    """Matplotlib's own font; for text that it has no letters for, such as Chinese, one of the system's that has."""
    return ImageFont.truetype(_font_file(frozenset(text), bold), size)


@cache
def _font_file(letters: frozenset[str], bold: bool) -> str:
    usual = font_manager.findfont(
        font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    )
    wanted = {ord(letter) for letter in letters if not letter.isspace()}
    others = {font.fname for font in font_manager.fontManager.ttflist if not font.name.startswith("Last Resort")}
    for path in (usual, *sorted(others)):  # the one left out has a box for every letter
        if wanted <= _letters_of(path):
            return path
    _warn_of_boxes()
    return usual


@cache
def _letters_of(font_file: str) -> frozenset[int]:
    return frozenset(FT2Font(font_file).get_charmap())


@cache
def _warn_of_boxes() -> None:
    """Once."""
    logging.warning("No font here has all letters of the names: boxes stand for them. Install a font that has them.")
