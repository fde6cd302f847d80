"""Clips with a controlled displacement: a card of the built-in data set that moves by d pixels from frame to frame.

For studies of how far a network can follow. The card leaves the picture on one side and comes in again on the other, so
that neither where it is nor how far it got tells the direction: only where it was in the frame before does. Adjacent
segments begin one frame apart; so the key frames of adjacent segments differ by d pixels, and so do the adjacent
frames of a segment: every network, whatever it reads of a segment, has to follow the same displacement.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import InputError
from datasets.built_in.motions import CLASS_NAMES, Card
from datasets.built_in.moving_digits import Settings, draw_background, draw_look, paste
from datasets.clip_dataset import Sample
from datasets.sampling import reorder, sample_rng, segment_indices

DIRECTIONS = CLASS_NAMES[:2]  # from left to right, from right to left


@dataclass(frozen=True)
class Drift:
    """What a set of clips is like.

    Attributes:
        displacement: pixels a frame, below half of the width: beyond, the way round the other side is shorter.
        num_segments: T.
        frames_per_segment: L.
        height: of a frame in pixels.
        width: of a frame in pixels.
        frame_order: one of `datasets.sampling.FRAME_ORDERS`.
    """

    displacement: int
    num_segments: int
    frames_per_segment: int
    height: int = 32
    width: int = 64
    frame_order: str = "normal"

    def __post_init__(self) -> None:
        if not 0 < self.displacement < self.width / 2:
            raise InputError(
                f"a displacement of {self.displacement} pixels a frame cannot be told from one the other way in "
                f"{self.width} pixels; give 1 to {(self.width - 1) // 2}"
            )

    @property
    def margin(self) -> int:
        """Frames before a segment's key frame. A network of single frames sees the same key frames as all others."""
        return 2 - self.frames_per_segment // 2


class DriftingClips(Dataset[Sample]):
    """Clips that are drawn when asked for; every (seed, epoch, index) is a clip of its own."""

    def __init__(self, drift: Drift, num_clips: int, seed: int) -> None:
        self.drift, self.num_clips, self.seed = drift, num_clips, seed

    def __len__(self) -> int:
        return self.num_clips

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(V, T, L, H, W, 3) of every clip."""
        drift = self.drift
        return 1, drift.num_segments, drift.frames_per_segment, drift.height, drift.width, 3

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """The clip (1, T, L, 3, H, W) for (epoch, index); labels alternate with the index."""
        return self.read(key, torch.empty(self.clip_shape, dtype=torch.uint8))

    def read(self, key: tuple[int, int], memory: Tensor) -> Sample:
        """As `clips[key]`, with the clip in given memory: (V, T, L, H, W, 3) uint8, such as a part of a batch."""
        epoch, index = key
        drift, label = self.drift, index % len(DIRECTIONS)
        rng = sample_rng(self.seed, epoch, index)
        frames = [np.asarray(image) for image in draw_drift(drift, label, rng)]
        starts = np.arange(drift.num_segments) + drift.margin
        indices = reorder(segment_indices(starts, drift.frames_per_segment, len(frames)), drift.frame_order, rng)
        memory[0] = torch.from_numpy(np.stack(frames)[indices])
        return Sample(memory.permute(0, 1, 2, 5, 3, 4), label, index, f"{epoch}-{index}", [])


def draw_drift(drift: Drift, label: int, rng: np.random.Generator) -> list[Image.Image]:
    """The T + 4 frames of one clip: five for each segment, each segment one frame after the other."""
    settings = Settings(height=drift.height, width=drift.width)
    background, looks = draw_background(settings, rng), [draw_look(rng)]
    x, y, size = rng.uniform(), rng.uniform(0.4, 0.6), rng.uniform(0.28, 0.42)
    angle, step = rng.uniform(-15, 15), drift.displacement / drift.width * (1 if label == 0 else -1)
    frames = []
    for number in range(drift.num_segments + 4):
        frame = background.copy()
        place = (x + number * step) % 1
        for turn in (place - 1, place, place + 1):  # what leaves on one side comes in on the other
            paste(frame, Card(0, turn, y, size, angle), looks)
        frames.append(frame)
    return frames
