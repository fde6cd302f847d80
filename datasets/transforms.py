"""The training augmentation: frames of one video -> frames as the network sees them, uint8.

Random numbers are drawn once per clip. Sizes are written for an input size of 224, with which they scale: resize to
240 x 320 (H x W), TSN's multi-scale crop, resize to 224 x 224. Frames of 240 x 320 are not resized before the crop, so
they are resampled once; others twice, as in the official code.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice

import numpy as np
import torch
from torch import Tensor

from datasets.augmentation import TSN_AUGMENTATION, Augmentation, Step
from datasets.preprocessing import RESIZE, Box, box_at, colours_first, colours_last, resize, scaled

CROP_SCALES = (1.0, 0.875, 0.75, 0.66)  # of the short side; TSN, arXiv 1608.00859, section 3.3
MAX_ASPECT_STEP = 1  # between the scales of a crop's two sides
MAX_RATIO, CROP_TRIES = 4 / 3, 10  # of a random crop: longest to shortest side; draws until one fits

FrameTransform = Callable[[np.ndarray], np.ndarray]  # frames (F, H, W, 3) uint8 RGB -> the same in another size
AT_ONCE = 8  # frames per call of a transform: faster than one by one, and few are in memory


def transformed(
    frames: Iterable[tuple[int, np.ndarray]], transform: FrameTransform
) -> Iterator[tuple[int, np.ndarray]]:
    """Transform numbered frames (H, W, 3), several of one size at a time."""
    for _, of_one_size in groupby(frames, lambda frame: frame[1].shape):
        while batch := list(islice(of_one_size, AT_ONCE)):
            numbers, images = zip(*batch, strict=True)
            yield from zip(numbers, transform(np.stack(images)), strict=True)


@dataclass(frozen=True)
class TrainTransform:
    """The training augmentation with the random numbers of one clip, the same for all its frames."""

    resize: tuple[int, int]  # (H, W) before the multi-scale crop
    box: Box  # the multi-scale crop; a random resized crop is drawn from `seed` instead
    input_size: int  # side of the result in pixels
    flip: bool  # the clip is mirrored
    seed: int = 0  # for steps that draw random numbers from torch
    augmentation: Augmentation = TSN_AUGMENTATION

    @classmethod
    def sample(
        cls, input_size: int, rng: np.random.Generator, *, flip: bool, augmentation: Augmentation = TSN_AUGMENTATION
    ) -> "TrainTransform":
        """Draw the random numbers of a clip, the same with and without `flip`, which mirrors half of the clips."""
        size = scaled(RESIZE[0], input_size), scaled(RESIZE[1], input_size)
        box = sample_crop(*size, input_size, rng)
        flipped = bool(rng.random() < 0.5) and flip
        return cls(size, box, input_size, flipped, int(rng.integers(2**63)), augmentation)

    def steps(self) -> list[Step]:
        """The augmentation, in order. Add your own steps, or those of `torchvision.transforms.v2`, here.

        Steps take and return frames (F, 3, H, W) uint8. They are called for several frames at a time; their draws from
        torch's generator are the same for all frames of a clip, and differ between clips and epochs.
        """
        smallest = self.augmentation.random_resized_crop
        tsn = [partial(resize, size=self.resize), partial(crop, box=self.box)]
        return [
            *([partial(random_crop, smallest=smallest)] if smallest else tsn),
            partial(resize, size=(self.input_size, self.input_size)),
            *([partial(torch.flip, dims=[-1])] if self.flip else []),
            *self.augmentation.steps(),
        ]

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames (F, H, W, 3) uint8 -> (F, input_size, input_size, 3) uint8."""
        tensor = colours_first(frames)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            for step in self.steps():
                tensor = step(tensor)
        return colours_last(tensor)


def sample_crop(height: int, width: int, input_size: int, rng: np.random.Generator) -> Box:
    """TSN's multi-scale crop: a random pair of sides, at one of 13 fixed positions.

    Sides are the `CROP_SCALES` of the short side, their scales at most one step apart. A side within 3 pixels of the
    input size becomes the input size: resampling for so little is not worth it.
    """
    sides = [int(min(height, width) * scale) for scale in CROP_SCALES]
    sides = [input_size if abs(side - input_size) < 3 and input_size <= min(height, width) else side for side in sides]
    pairs = [(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= MAX_ASPECT_STEP]
    crop_width, crop_height = pairs[rng.integers(len(pairs))]
    x, y = _GRID[rng.integers(len(_GRID))]
    return box_at(x, y, (width, height), (crop_width, crop_height))


# Positions in quarters of the margin (x, y): corners and centre, edge centres, and between corners and centre.
_GRID = (
    (0, 0), (4, 0), (0, 4), (4, 4), (2, 2),
    (0, 2), (4, 2), (2, 4), (2, 0),
    (1, 1), (3, 1), (1, 3), (3, 3),
)  # fmt: skip


def random_crop(frames: Tensor, smallest: float) -> Tensor:
    """Crop frames (F, 3, H, W) to a random part of `smallest` to 1 of their area, 3:4 to 4:3 in width to height.

    The distribution is that of torchvision's `RandomResizedCrop`, whose number of draws depends on the
    size of the frames; here all frames of a clip get the same part and the same later steps, even if sizes differ. (If
    no draw fits, the place is random here; there it is the centre.)
    """
    height, width = frames.shape[-2:]
    areas = height * width * torch.empty(CROP_TRIES).uniform_(smallest, 1)
    ratios = torch.empty(CROP_TRIES).uniform_(-math.log(MAX_RATIO), math.log(MAX_RATIO)).exp()
    x, y = torch.rand(2).tolist()
    sizes = torch.stack([(areas * ratios).sqrt(), (areas / ratios).sqrt()], 1).round().int().clamp(min=1)
    fitting = sizes[(sizes[:, 0] <= width) & (sizes[:, 1] <= height)].tolist()
    largest = min(width, round(height * MAX_RATIO)), min(height, round(width * MAX_RATIO))
    crop_width, crop_height = fitting[0] if fitting else largest
    left, top = int(x * (width - crop_width + 1)), int(y * (height - crop_height + 1))
    return crop(frames, (left, top, left + crop_width, top + crop_height))


def crop(frames: Tensor, box: Box) -> Tensor:
    """A part of frames (F, 3, H, W), not copied."""
    left, top, right, bottom = box
    return frames[..., top:bottom, left:right]
