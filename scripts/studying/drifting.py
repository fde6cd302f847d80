"""Clips with a controlled displacement: a card of the built-in data set that moves by d pixels from frame to frame.

For studies of how far a network can follow. The card leaves the picture on one side and enters again on the other, so
neither its position nor the distance that it has covered reveals the direction; only its position in the frame before
does. Adjacent segments begin one frame apart. So the key frames of adjacent segments differ by d pixels, as do the
adjacent frames of a segment: every network has to follow the same displacement, however many frames it reads.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from common.errors import InputError
from datasets.built_in.motions import CLASS_NAMES, Card
from datasets.built_in.moving_digits import Settings, draw_background, draw_look, paste
from datasets.clip_dataset import Clips, Sample, fill_clip
from datasets.sampling import reorder, sample_rng, segment_indices

DIRECTIONS = CLASS_NAMES[:2]  # from left to right, from right to left
HEIGHT, WIDTH = 32, 64  # of a frame in pixels


@dataclass(frozen=True)
class Drift:
    """Settings of a set of clips."""

    displacement: int  # pixels per frame, below half of the width: beyond, the other way round is shorter
    num_segments: int  # T
    frames_per_segment: int  # L
    frame_order: str = "normal"  # one of `datasets.sampling.FRAME_ORDERS`

    def __post_init__(self) -> None:
        if not 0 < self.displacement < WIDTH / 2:
            raise InputError(
                f"a displacement of {self.displacement} pixels per frame cannot be told from one in the other "
                f"direction: frames are {WIDTH} pixels wide; give 1 to {(WIDTH - 1) // 2}"
            )


class DriftingClips(Clips):
    """Clips drawn on demand, a different one for every (seed, epoch, index)."""

    def __init__(self, drift: Drift, num_clips: int, seed: int) -> None:
        self.drift, self.num_clips, self.seed = drift, num_clips, seed

    def __len__(self) -> int:
        return self.num_clips

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return self.drift.num_segments, self.drift.frames_per_segment, HEIGHT, WIDTH, 3

    def read(self, epoch: int, index: int, memory: Tensor) -> Sample:
        """See `Clips.read`; labels alternate with the index."""
        drift, label = self.drift, index % len(DIRECTIONS)
        rng = sample_rng(self.seed, epoch, index)
        frames = [np.asarray(image) for image in draw_drift(drift, label, rng)]
        # Networks of one frame per segment see the same key frames as those of five.
        starts = np.arange(drift.num_segments) + 2 - drift.frames_per_segment // 2
        indices = reorder(segment_indices(starts, drift.frames_per_segment, len(frames)), drift.frame_order, rng)
        fill_clip(memory, indices, enumerate(frames))
        return Sample(memory, label, index, f"{epoch}-{index}", [])


def draw_drift(drift: Drift, label: int, rng: np.random.Generator) -> list[Image.Image]:
    """The T + 4 frames of one clip: five for each segment, each segment one frame after the last one."""
    background, looks = draw_background(Settings(height=HEIGHT, width=WIDTH), rng), [draw_look(rng)]
    x, y, size = rng.uniform(), rng.uniform(0.4, 0.6), rng.uniform(0.28, 0.42)
    angle, step = rng.uniform(-15, 15), drift.displacement / WIDTH * (1 if label == 0 else -1)
    frames = []
    for number in range(drift.num_segments + 4):
        frame = background.copy()
        center = (x + number * step) % 1
        for copy in (center - 1, center, center + 1):  # a card that leaves on one side enters on the other
            paste(frame, Card(0, copy, y, size, angle), looks)
        frames.append(frame)
    return frames
