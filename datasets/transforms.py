"""Images of a video -> one uint8 clip. A random draw is made once a clip, never once a frame.

Sizes scale with the input size, written here for 224: training resizes to 240 x 320 (H x W), takes TSN's multi-scale
crop and resizes it to 224 x 224; the centre test resizes to 240 x 320 and takes the centre 224 (`full_res`: short side
to 256, centre 256); three crops are 256 x 256 at the left, right and centre of frames whose short side is 256.
Resampling is Pillow's antialiased bilinear filter, as in the official code, but in torch's form: several times as fast,
and within one level of Pillow's pixels (tests/datasets/test_transforms.py says when it is two). A resize to the present
size is left out: frames that were extracted at 320 x 240 are cropped first and resampled once. Others are resized
twice, in the official order: both in one would be another filter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BASE_SIZE = 224  # the input size that the sizes below belong to
RESIZE = (240, 320)  # H, W
SHORT_SIDE = 256
CROP_SCALES = (1.0, 0.875, 0.75, 0.66)  # of the short side; TSN, arXiv 1608.00859, section 3.3
MAX_ASPECT_STEP = 1  # between the scales of a crop's two sides

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
Images = Sequence[np.ndarray]  # each (H, W, 3) uint8 RGB; several at once are quicker than one by one
FrameTransform = Callable[[Images], Sequence[np.ndarray]]  # images of one video -> the V crops of each, (V, H, W, 3)


@dataclass(frozen=True)
class Preprocessing:
    """What a test does to a frame.

    Attributes:
        resize: (H, W) to resize to, or the length of the short side.
        crop_size: side of the square crops, in pixels.
        crops: 1: centre; 3: left, right, centre.
    """

    resize: tuple[int, int] | int
    crop_size: int
    crops: int = 1

    def describe(self) -> str:
        """One phrase."""
        resize = f"short side {self.resize}" if isinstance(self.resize, int) else "{} x {}".format(*self.resize)
        crops = "centre crop" if self.crops == 1 else "left, right and centre crops"
        return f"resize to {resize}, {crops} {self.crop_size} x {self.crop_size}"

    def __call__(self, images: Images) -> Sequence[np.ndarray]:
        """Images -> the V crops of each, (V, H, W, 3) uint8."""
        return [np.stack([cut(image, box) for box in self.boxes(*image.shape[:2])]) for image in self.resized(images)]

    def resized(self, images: Images) -> Images:
        """Images before the crops."""
        if not isinstance(self.resize, int):
            return _resize(images, self.resize)
        sizes = {image.shape[:2] for image in images}
        if len(sizes) > 1:
            return [self.resized([image])[0] for image in images]
        height, width = sizes.pop()
        short = min(height, width)
        return _resize(images, (int(height * self.resize / short), int(width * self.resize / short)))

    def boxes(self, height: int, width: int) -> list[Box]:
        """Crops of a frame: the centre, or left, right and centre (top, bottom and centre of a tall frame)."""
        size, along = self.crop_size, (0, 4, 2)
        if self.crops == 1:
            left, top = round((width - size) / 2), round((height - size) / 2)
            return [(left, top, left + size, top + size)]
        quarters = [(q, 2) for q in along] if width >= height else [(2, q) for q in along]
        return [_box_at(x, y, (width, height), (size, size)) for x, y in quarters]


def eval_preprocessing(input_size: int, crops: int = 1, full_res: bool = False) -> Preprocessing:
    """Preprocessing of validation and tests.

    Args:
        input_size: side of the training crops in pixels; all sizes scale with it.
        crops: 1 or 3.
        full_res: crops as large as the short side: 256 pixels for 224; for another input size a multiple of 32, too,
            since crops that leave a remainder have another number of features than the training's.
    """
    short_side = scaled(SHORT_SIDE, input_size)
    if full_res:
        side = 32 * max(round(short_side / 32), 1)
        return Preprocessing(side, side, crops)
    if crops == 3:
        return Preprocessing(short_side, input_size, crops)
    return Preprocessing((scaled(RESIZE[0], input_size), scaled(RESIZE[1], input_size)), input_size)


def scaled(length: int, input_size: int) -> int:
    """A length that belongs to an input of 224 pixels, for another input size."""
    return round(length * input_size / BASE_SIZE)


@dataclass(frozen=True)
class TrainTransform:
    """One draw of the training augmentation, for all frames of a clip.

    Attributes:
        resize: (H, W) before the crop.
        box: the crop.
        input_size: side of the result in pixels.
        flip: whether the clip is mirrored.
    """

    resize: tuple[int, int]
    box: Box
    input_size: int
    flip: bool

    @classmethod
    def draw(cls, input_size: int, rng: np.random.Generator, *, flip: bool) -> "TrainTransform":
        """Draw crop and flip; `flip`: whether mirroring is allowed (then half of the clips are)."""
        resize = scaled(RESIZE[0], input_size), scaled(RESIZE[1], input_size)
        box = draw_crop(*resize, input_size, rng)
        return cls(resize, box, input_size, bool(rng.random() < 0.5) and flip)

    def __call__(self, images: Images) -> Sequence[np.ndarray]:
        """Images -> the only crop of each, (1, H, W, 3) uint8, perhaps a view."""
        crops = [cut(image, self.box) for image in _resize(images, self.resize)]
        resized = _resize(crops, (self.input_size, self.input_size))
        if self.flip:
            resized = [torch.from_numpy(image).flip(1).numpy() for image in resized]  # 10 times as fast as NumPy's
        return [image[None] for image in resized]


def draw_crop(height: int, width: int, input_size: int, rng: np.random.Generator) -> Box:
    """TSN's multi-scale crop: a random pair of sides, at one of 13 fixed positions.

    Sides are the `CROP_SCALES` of the short side, their scales at most one step apart; a side within 3 pixels of the
    input size is taken as the input size, so that nothing is resampled for so little.
    """
    sides = [int(min(height, width) * scale) for scale in CROP_SCALES]
    sides = [input_size if abs(side - input_size) < 3 and input_size <= min(height, width) else side for side in sides]
    pairs = [(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= MAX_ASPECT_STEP]
    crop_width, crop_height = pairs[rng.integers(len(pairs))]
    x, y = _GRID[rng.integers(len(_GRID))]
    return _box_at(x, y, (width, height), (crop_width, crop_height))


def _box_at(x: int, y: int, frame: tuple[int, int], crop: tuple[int, int]) -> Box:
    """A crop (W, H) of a frame (W, H), x and y quarters of the free room from the left and the top."""
    left, top = x * ((frame[0] - crop[0]) // 4), y * ((frame[1] - crop[1]) // 4)
    return left, top, left + crop[0], top + crop[1]


# Positions in quarters of the free room (x, y): corners and centre, edge centres, and between corners and centre.
_GRID = (
    (0, 0), (4, 0), (0, 4), (4, 4), (2, 2),
    (0, 2), (4, 2), (2, 4), (2, 0),
    (1, 1), (3, 1), (1, 3), (3, 3),
)  # fmt: skip


def lay_out(frames: Sequence[np.ndarray], indices: np.ndarray) -> Tensor:
    """Lay transformed frames out as a clip.

    Args:
        frames: each (V, H, W, 3) uint8, all of one size.
        indices: (T, L) places in `frames`.

    Returns:
        (V, T, L, 3, H, W) uint8; in memory the 3 colours of a pixel lie together (channels-last).
    """
    segments = [np.stack([frames[place] for place in segment], 1) for segment in indices.tolist()]
    return torch.from_numpy(np.stack(segments, 1)).permute(0, 1, 2, 5, 3, 4)


def cut(image: np.ndarray, box: Box) -> np.ndarray:
    """A part of (H, W, 3), not copied."""
    left, top, right, bottom = box
    return image[top:bottom, left:right]


@torch.inference_mode()
def _resize(images: Images, size: tuple[int, int]) -> Images:
    """Resize to (H, W); the images themselves if they have this size."""
    sizes = {image.shape[:2] for image in images}
    if sizes == {size}:
        return images
    if len(sizes) > 1:
        return [_resize([image], size)[0] for image in images]
    # Stacked like this, torch sees that the colours of a pixel lie together, and reads and writes them so.
    frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    resized = F.interpolate(frames, size, mode="bilinear", antialias=True)
    return list(resized.permute(0, 2, 3, 1).numpy())
