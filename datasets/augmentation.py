"""Settings of the training augmentation, and its steps after crop and flip.

These are torchvision's transforms, with one draw per clip. They work on the cropped frames in uint8, which is fastest.
None of them mirrors a clip or rotates it by more than 30 degrees, so labels with a direction stay right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # command lines read this file, and torch takes seconds to load
    from torch import Tensor

# Frames (F, 3, H, W) uint8 -> the same; any transform of torchvision.transforms.v2.
Step = Callable[["Tensor"], "Tensor"]
AUTO_AUGMENTS = ("none", "trivial", "randaugment")
MAGNITUDES = 31  # of RandAugment in torchvision: 0, no change, to 30
# RGB of erased and uncovered areas: ImageNet's mean colour, which the network normalises to 0.
FILL = (124, 116, 104)


@dataclass(frozen=True)
class Augmentation:
    """Settings of the training augmentation. The default is TSN's: only multi-scale crop and flip."""

    random_resized_crop: float = 0.0  # smallest crop as a share of the frame's area; 0: TSN's multi-scale crop
    auto_augment: str = "none"  # one of `AUTO_AUGMENTS`
    ra_ops: int = 2  # RandAugment: operations per clip
    ra_magnitude: int = 9  # RandAugment: magnitude, below `MAGNITUDES`
    color_jitter: float = 0.0  # brightness, contrast and saturation are multiplied by 1 - this to 1 + this
    gray: float = 0.0  # probability of converting a clip to grey
    random_erasing: float = 0.0  # probability of erasing a rectangle

    def steps(self) -> list[Step]:
        """The transforms that are on, in order."""
        if not (self.auto_augment != "none" or self.color_jitter or self.gray or self.random_erasing):
            return []
        from torchvision.transforms import v2  # imported here because it takes a second

        steps: list[Step] = []
        if self.auto_augment == "randaugment":
            steps.append(partial(randaugment, ops=self.ra_ops, magnitude=self.ra_magnitude))
        elif self.auto_augment == "trivial":
            steps.append(trivial_augment)
        if self.color_jitter:
            steps.append(v2.ColorJitter(*[self.color_jitter] * 3))  # without hue, which takes five times as long
        if self.gray:
            steps.append(v2.RandomGrayscale(self.gray))
        if self.random_erasing:
            steps.append(v2.RandomErasing(self.random_erasing, value=FILL))
        return steps


TSN_AUGMENTATION = Augmentation()
# Settings of VideoMAE's fine-tuning (arXiv 2203.12602, released code), whose magnitude 7 of 10 is 21 of 30 here.
# NOTE: VideoMAE applies RandAugment before the crop, and erases with noise.
MAE = Augmentation(random_resized_crop=0.08, auto_augment="randaugment", ra_ops=4, ra_magnitude=21, random_erasing=0.25)
PRESETS = {"tsn": TSN_AUGMENTATION, "mae": MAE}


def randaugment(frames: "Tensor", ops: int, magnitude: int) -> "Tensor":
    """RandAugment (arXiv 1909.13719): `ops` random operations of one magnitude."""
    from torchvision.transforms import v2

    return v2.RandAugment(ops, magnitude, MAGNITUDES, v2.InterpolationMode.BILINEAR, list(FILL))(frames)


def trivial_augment(frames: "Tensor") -> "Tensor":
    """TrivialAugment (arXiv 2103.10158): one of RandAugment's operations, with a random magnitude.

    NOTE: torchvision's class has the paper's wide space, which rotates by up to 135 degrees, so left may become right.
    """
    import torch

    return randaugment(frames, 1, int(torch.randint(MAGNITUDES, ())))
