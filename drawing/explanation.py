"""Pictures that explain a clip's scores: its frames, heat maps over them, and H2CN's gates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from PIL import Image

from common.console import printable
from common.errors import short
from drawing.clips import CELL, LETTER, QUIET, SMALL, rendered, sheet_of, sheet_width, tiled, write_above, write_below

OPACITY = 0.6  # of a heat map where it is largest
PANEL = 1.4 * CELL  # width of a panel of the animation, in inches: wider than a clip, to show details of the heat maps
ROOM = 1  # inches for long class names; what they do not fill is cut off
REACH = 0.05  # gates this far from 1/2, or further, get the strongest colours


@dataclass(frozen=True)
class ExplainedClip:
    """A clip with everything that its pictures show."""

    frames: np.ndarray  # (T, L, H, W, 3) uint8
    name: str  # of the video
    scores: Sequence[str]  # one line for each of the most likely classes
    maps: Mapping[str, np.ndarray]  # title -> (T, H, W), not negative
    gates: Mapping[int, np.ndarray]  # stage -> (T, G) gates in 0..1; may be empty

    def strips(self) -> dict[str, np.ndarray]:
        """The plain frames and those under each heat map: title -> (T, L, H, W, 3) uint8."""
        plain = {"\n".join(self.scores): self.frames}
        return plain | {title: under_heat(self.frames, heat) for title, heat in self.maps.items()}


def under_heat(frames: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Frames (T, L, H, W, 3) uint8 under a heat map (T, H, W), which is scaled by its maximum over the clip."""
    share = heat[:, None, ..., None] / max(float(heat.max()), 1e-12)
    colours = colormaps["inferno"](share[..., 0], bytes=True)[..., :3]
    return (frames + OPACITY * share * (colours - frames.astype(np.float32))).round().astype(np.uint8)


def explanation_sheet(clip: ExplainedClip) -> Image.Image:
    """One column per segment: its key frame, plain and under each heat map, and a row of gates per stage."""
    segments, length = clip.frames.shape[:2]
    strips = clip.strips()
    pictures = [tiled(frames[None, :, length // 2]) for frames in strips.values()]
    width = sheet_width(segments)
    figure, rows = sheet_of([*pictures, *([pictures[0]] if clip.gates else [])], width)
    figure.set_figheight(figure.get_figheight() + ROOM)
    for axes, title in zip(rows, strips, strict=False):
        write_above(axes, printable(title), int(width / LETTER), 3)
    write_below(rows[0], printable(short(clip.name, int(width / LETTER))))
    if clip.gates:
        _draw_gates(rows[-1], clip.gates)
    column = pictures[0].shape[1] / segments
    labels = [f"segment {number}" if segments <= 8 else str(number) for number in range(1, segments + 1)]
    rows[-1].set_xticks(column * (np.arange(segments) + 0.5), labels, color=QUIET, size=SMALL)
    return rendered(figure)


def _draw_gates(axes: Axes, gates: Mapping[int, np.ndarray]) -> None:
    """A row per stage, in place of the picture in `axes`: mean and standard deviation over its gates."""
    [picture] = axes.get_images()
    height, width = picture.get_size()
    picture.remove()
    means, spreads = (np.stack([f(values, 1) for values in gates.values()]) for f in (np.mean, np.std))  # (stages, T)
    reach = max(REACH, np.abs(means - 0.5).max())
    limits = {"vmin": 0.5 - reach, "vmax": 0.5 + reach}
    axes.imshow(means, "PuOr_r", extent=(0, width, height, 0), aspect="auto", alpha=0.7, **limits)
    rows, columns = (side * (np.arange(n) + 0.5) / n for side, n in zip((height, width), means.shape, strict=True))
    gap = "\n" if len(columns) <= 8 else " "  # numbers below or beside each other
    for row, column in np.ndindex(means.shape) if len(columns) <= 16 else []:
        text = f"{means[row, column]:.3f}{gap}\N{PLUS-MINUS SIGN}{spreads[row, column]:.3f}"
        axes.text(columns[column], rows[row], text, ha="center", va="center", size=SMALL - 1)
    axes.set_yticks(rows, [f"stage {stage}" for stage in gates], color=QUIET, size=SMALL)
    write_above(axes, "clip-level gates: mean \N{PLUS-MINUS SIGN} standard deviation over channels", 99, 3)


def explanation_frames(clip: ExplainedClip) -> Iterator[Image.Image]:
    """The pictures of an animation: every frame of the clip, plain and under each heat map."""
    strips = clip.strips()
    segments, length = clip.frames.shape[:2]
    figure, panels = sheet_of([frames[0, 0] for frames in strips.values()], len(strips) * PANEL, len(strips))
    figure.set_figheight(figure.get_figheight() + ROOM)
    for axes, title in zip(panels, strips, strict=True):
        write_above(axes, printable(title), int(PANEL / LETTER), 3)
    for segment, index in np.ndindex(segments, length):
        for axes, frames in zip(panels, strips.values(), strict=True):
            axes.get_images()[0].set_data(frames[segment, index])
        write_below(panels[0], f"segment {segment + 1} of {segments}")
        yield rendered(figure)
        figure.set_layout_engine("none")  # all pictures as the first one
