"""Frames of one video -> frames as the network sees them, uint8. Random numbers are drawn once per clip.

Sizes scale with the input size, written here for 224: training resizes to 240 x 320 (H x W), takes TSN's multi-scale
crop and resizes it to 224 x 224; the centre test resizes to 240 x 320 and takes the centre 224 (`full_res`: short side
to 256, centre 256); three crops are 256 x 256 at the left, right and centre of frames whose short side is 256.
Resampling is Pillow's antialiased bilinear filter, as in the official code, but in torch's version: several times as
fast, and within one level of Pillow's pixels (tests/datasets/test_transforms.py says when it is two). Frames that
already have the right size are not resampled: those extracted at 320 x 240 are cropped first and resampled once. Others
are resized twice, in the official order; both in one would be another filter.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from datasets.augmentation import TSN, Augmentation, Step

BASE_SIZE = 224  # input size to which the sizes below belong
RESIZE = (240, 320)  # H, W
SHORT_SIDE = 256
CROP_SCALES = (1.0, 0.875, 0.75, 0.66)  # of the short side; TSN, arXiv 1608.00859, section 3.3
MAX_ASPECT_STEP = 1  # between the scales of a crop's two sides
MAX_RATIO, CROP_TRIES = 4 / 3, 10  # of a random crop: longer to shorter side; draws, of which the first one that fits

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
FrameTransform = Callable[[np.ndarray], np.ndarray]  # frames (F, H, W, 3) uint8 RGB -> the same in another size
AT_ONCE = 8  # frames per call of a transform: faster than one by one, and few are held


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

    resize: tuple[int, int]  # (H, W) before the crop
    box: Box  # the crop
    input_size: int  # side of the result in pixels
    flip: bool  # the clip is mirrored
    seed: int = 0  # for steps that draw random numbers from torch
    augmentation: Augmentation = TSN

    @classmethod
    def sample(
        cls, input_size: int, rng: np.random.Generator, *, flip: bool, augmentation: Augmentation = TSN
    ) -> "TrainTransform":
        """Draw the random numbers; `flip`: mirror half of the clips."""
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
            *([hflip] if self.flip else []),
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
    return _box_at(x, y, (width, height), (crop_width, crop_height))


# Positions in quarters of the free room (x, y): corners and centre, edge centres, and between corners and centre.
_GRID = (
    (0, 0), (4, 0), (0, 4), (4, 4), (2, 2),
    (0, 2), (4, 2), (2, 4), (2, 0),
    (1, 1), (3, 1), (1, 3), (3, 3),
)  # fmt: skip


def random_crop(frames: Tensor, smallest: float) -> Tensor:
    """Crop frames (F, 3, H, W) to a random part of `smallest` to 1 of their area, 3:4 to 4:3 in width to height.

    The distribution is that of torchvision's `RandomResizedCrop`. That one draws more or fewer numbers, depending on
    the size of the frames; here frames of different sizes in a clip get the same part, and the same later steps.
    """
    height, width = frames.shape[-2:]
    areas = height * width * torch.empty(CROP_TRIES).uniform_(smallest, 1)
    ratios = torch.empty(CROP_TRIES).uniform_(-math.log(MAX_RATIO), math.log(MAX_RATIO)).exp()
    x, y = torch.rand(2).tolist()
    sizes = torch.stack([(areas * ratios).sqrt(), (areas / ratios).sqrt()], 1).round().int().clamp(min=1)
    fitting = sizes[(sizes[:, 0] <= width) & (sizes[:, 1] <= height)].tolist()
    crop_width, crop_height = (
        fitting[0] if fitting else (min(width, round(height * MAX_RATIO)), min(height, round(width * MAX_RATIO)))
    )
    left, top = int(x * (width - crop_width + 1)), int(y * (height - crop_height + 1))
    return crop(frames, (left, top, left + crop_width, top + crop_height))


@dataclass(frozen=True)
class Preprocessing:
    """Resize and crops of the frames in validation and tests."""

    resize: tuple[int, int] | int  # (H, W), or the length of the short side
    crop_size: int  # side of the square crops in pixels
    crops: int = 1  # 1: centre; 3: left, right, centre

    def describe(self) -> str:
        """The resize and the crops in one phrase."""
        size = f"short side {self.resize}" if isinstance(self.resize, int) else "{} x {}".format(*self.resize)
        crops = "centre crop" if self.crops == 1 else "left, right and centre crops"
        return f"resize to {size}, {crops} {self.crop_size} x {self.crop_size}"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames (F, H, W, 3) uint8 -> their only crop (F, crop_size, crop_size, 3) uint8."""
        frames = self.resized(frames)
        ((left, top, right, bottom),) = self.boxes(*frames.shape[1:3])
        return frames[:, top:bottom, left:right]

    def after_resize(self, size: Sequence[int]) -> "Preprocessing":
        """The same crops after a resize to another short side, or height and width, which must be as large."""
        if min(size) < self.crop_size:
            raise InputError(f"--resize {min(size)} is smaller than the crops of {self.crop_size} pixels; give more")
        return replace(self, resize=size[0] if len(size) == 1 else (size[0], size[1]))

    @torch.inference_mode()
    def resized(self, frames: np.ndarray) -> np.ndarray:
        """Frames (F, H, W, 3) uint8 before the crops."""
        size, (height, width) = self.resize, frames.shape[1:3]
        if isinstance(size, int):
            short = min(height, width)
            size = int(height * size / short), int(width * size / short)
        return colours_last(resize(colours_first(frames), size))

    def boxes(self, height: int, width: int) -> list[Box]:
        """Crops of a frame: the centre, or left, right and centre (top, bottom and centre of a tall frame)."""
        size = self.crop_size
        if self.crops == 1:
            left, top = round((width - size) / 2), round((height - size) / 2)
            return [(left, top, left + size, top + size)]
        quarters = [(q, 2) if width >= height else (2, q) for q in (0, 4, 2)]
        return [_box_at(x, y, (width, height), (size, size)) for x, y in quarters]


def eval_preprocessing(input_size: int, crops: int = 1, full_res: bool = False) -> Preprocessing:
    """Preprocessing of validation and tests.

    Args:
        input_size: side of the training crops in pixels; all sizes scale with it.
        crops: 1 or 3.
        full_res: crops as large as the short side: 256 pixels for an input size of 224. For other input sizes they are
            rounded to a multiple of 32: with a remainder the network would have more features than in training.
    """
    short_side = scaled(SHORT_SIDE, input_size)
    if full_res:
        side = 32 * max(round(short_side / 32), 1)
        return Preprocessing(side, side, crops)
    if crops == 3:
        return Preprocessing(short_side, input_size, crops)
    return Preprocessing((scaled(RESIZE[0], input_size), scaled(RESIZE[1], input_size)), input_size)


def scaled(length: int, input_size: int) -> int:
    """Scale a length that belongs to an input size of 224 pixels to another one."""
    return round(length * input_size / BASE_SIZE)


def _box_at(x: int, y: int, frame: tuple[int, int], crop: tuple[int, int]) -> Box:
    """A crop (W, H) of a frame (W, H), x and y quarters of the free room from the left and the top."""
    left, top = x * ((frame[0] - crop[0]) // 4), y * ((frame[1] - crop[1]) // 4)
    return left, top, left + crop[0], top + crop[1]


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize frames (F, 3, H, W) uint8 to `size` (H, W); frames of this size stay as they are."""
    if frames.shape[-2:] == size:
        return frames
    return F.interpolate(frames, size, mode="bilinear", antialias=True)


def crop(frames: Tensor, box: Box) -> Tensor:
    """A part of frames (F, 3, H, W), not copied."""
    left, top, right, bottom = box
    return frames[..., top:bottom, left:right]


def hflip(frames: Tensor) -> Tensor:
    """Frames (..., W), mirrored."""
    return frames.flip(-1)


def colours_first(frames: np.ndarray) -> Tensor:
    """Frames (F, H, W, 3) -> (F, 3, H, W), not copied: channels-last in memory, which torch resizes fastest."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def colours_last(frames: Tensor) -> np.ndarray:
    """Frames (F, 3, H, W) -> (F, H, W, 3), not copied."""
    return frames.permute(0, 2, 3, 1).numpy()
