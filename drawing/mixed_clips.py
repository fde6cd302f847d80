"""Pictures of mixed clips: the frames, what of them comes from which clip, both class names and their shares."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from drawing.clips import GAP, MARGIN, PAPER, QUIET, SHEET_WIDTH, resized, stack, text_block, thumb_size

OWN, OTHER = "#1d4ed8", "#b45309"  # colours of the clip and of its partner, in mask and text


class MixedClip(Protocol):
    """A mixed clip and how it came about (`ops.mixing.mixer.MixedExample` is one).

    Attributes:
        frames: (T, L, H, W, 3) uint8.
        own: (T, H, W) weights of the clip's own pixels, 0 to 1.
        label: of the clip.
        partner_label: of the clip that is mixed in.
        share: of the own class in the label.
    """

    frames: np.ndarray
    own: np.ndarray
    label: int
    partner_label: int
    share: float


def mixed_sheet(clips: Sequence[Any], class_names: Sequence[str]) -> Image.Image:
    """One block a clip, one column a segment: its key frame, and below its mask in the colours of the class names.

    Args:
        clips: `MixedClip`s of one shape, at least one.
        class_names: in label order.
    """
    segments, length, height, width = clips[0].frames.shape[:4]
    thumb = thumb_size((height, width), SHEET_WIDTH / segments - GAP)
    sheet_width = max(segments * (thumb[1] + GAP) - GAP, 480)
    blocks = []
    for clip in clips:
        text = text_block(_heading(clip, class_names), sheet_width, most_lines=3)
        block = Image.new("RGB", (sheet_width, text.height + 2 * (thumb[0] + GAP)), PAPER)
        block.paste(text, (0, 0))
        for segment in range(segments):
            x, y = segment * (thumb[1] + GAP), text.height + GAP
            block.paste(resized(clip.frames[segment, length // 2], thumb), (x, y))
            block.paste(resized(mask_picture(clip.own[segment]), thumb), (x, y + thumb[0] + GAP))
        blocks.append(block)
    return stack(blocks, MARGIN)


def _heading(clip: MixedClip, class_names: Sequence[str]) -> list[tuple[str, str, bool]]:
    """Lines of text: (text, colour, in large letters)."""
    pixels = float(clip.own.mean())
    return [
        (f"{clip.share:.0%} {class_names[clip.label]}", OWN, True),
        (f"{1 - clip.share:.0%} {class_names[clip.partner_label]}", OTHER, True),
        (f"of the label; of the pixels {pixels:.0%} and {1 - pixels:.0%}", QUIET, False),
    ]


def mask_picture(own: np.ndarray) -> np.ndarray:
    """Weights (H, W) -> (H, W, 3) uint8 between the partner's colour (0) and the clip's (1)."""
    ends = [np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float) for colour in (OTHER, OWN)]
    return np.rint(ends[0] + own[..., None] * (ends[1] - ends[0])).astype(np.uint8)
