"""Pictures of mixed clips: the frames, a mask of each pixel's origin, and both class names with their shares."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from drawing.clips import LARGE, LETTER, QUIET, SMALL, rendered, sheet_of, sheet_width, shorten, style, tiled
from ops.mixing.mixer import MixedExample

OWN, OTHER = "#1d4ed8", "#b45309"  # colours of the clip and of its partner, in mask and text


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
        own = shorten(f"{clip.share:.0%} {names[0]}", letters, 3)
        other = shorten(f"{1 - clip.share:.0%} {names[1]}", letters, 3)
        axes.set_title(own, loc="left", color=OWN, size=LARGE, **style(own))
        axes.set_title(other, loc="right", color=OTHER, size=LARGE, **style(other))
        pixels = float(clip.own.mean())
        details = f"shares of the label; of the pixels: {pixels:.0%} and {1 - pixels:.0%}"
        axes.set_xlabel(details, loc="left", color=QUIET, size=SMALL)
    return rendered(figure)


def mask_picture(own: np.ndarray) -> np.ndarray:
    """Weights (..., H, W) -> (..., H, W, 3) uint8 between the partner's colour (0) and the clip's (1)."""
    return LinearSegmentedColormap.from_list("mask", [OTHER, OWN])(own, bytes=True)[..., :3]
