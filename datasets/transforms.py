"""Images of a video -> one uint8 clip. A random draw is made once a clip, never once a frame.

Sizes scale with the input size, written here for 224: training resizes to 240 x 320 (H x W), takes TSN's multi-scale
crop and resizes it to 224 x 224; the centre test resizes to 240 x 320 and takes the centre 224 (`full_res`: short side
to 256, centre 256); three crops are 256 x 256 at the left, right and centre of frames whose short side is 256.
Resampling is Pillow's bilinear filter, as in the official code. A resize to the present size is left out: frames that
were extracted at 320 x 240 are cropped first and resampled once. Other frames are not: resize and crop in one call of
Pillow (its `box`) rounds differently, by one level in some pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from errors import InputError

BASE_SIZE = 224  # the input size that the sizes below belong to
RESIZE = (240, 320)  # H, W
SHORT_SIDE = 256
CROP_SCALES = (1.0, 0.875, 0.75, 0.66)  # of the short side; TSN, arXiv 1608.00859, section 3.3
MAX_ASPECT_STEP = 1  # between the scales of a crop's two sides

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
# Images of one video, all of one size -> (V, H, W, 3) arrays for each.
FrameTransform = Callable[[Image.Image], np.ndarray]


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

    def __call__(self, image: Image.Image) -> np.ndarray:
        """An image -> (V, H, W, 3) uint8, V crops."""
        width, height = self._resized_size(image)
        image = _resize(image, (width, height))
        return np.stack([np.asarray(image.crop(box)) for box in self._boxes(height, width)])

    def _resized_size(self, image: Image.Image) -> tuple[int, int]:
        """(W, H) after the resize."""
        if not isinstance(self.resize, int):
            return self.resize[1], self.resize[0]
        width, height = image.size
        short = min(width, height)
        return int(width * self.resize / short), int(height * self.resize / short)

    def _boxes(self, height: int, width: int) -> list[Box]:
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
        full_res: crops as large as the short side.
    """
    short_side = scaled(SHORT_SIDE, input_size)
    if full_res:
        return Preprocessing(short_side, short_side, crops)
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

    def __call__(self, image: Image.Image) -> np.ndarray:
        """An image -> (1, H, W, 3) uint8."""
        image = _resize(image, self.resize[::-1]).crop(self.box)
        image = _resize(image, (self.input_size, self.input_size))
        if self.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(image)[None]


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


def lay_out(frames: Mapping[int, np.ndarray] | Sequence[np.ndarray], indices: np.ndarray) -> Tensor:
    """Lay transformed frames out as a clip.

    Args:
        frames: frame number -> (V, H, W, 3) uint8.
        indices: (T, L) frame numbers of the clip.

    Returns:
        (V, T, L, 3, H, W) uint8; in memory the 3 colours of a pixel lie together (channels-last).

    Raises:
        InputError: frames of several sizes.
    """
    views, height, width, _ = frames[int(indices[0, 0])].shape
    clip = np.empty((views, *indices.shape, height, width, 3), np.uint8)
    for segment, place in np.ndindex(indices.shape):
        frame = frames[int(indices[segment, place])]
        if frame.shape != (views, height, width, 3):
            sizes = f"{height} x {width} and {frame.shape[1]} x {frame.shape[2]}"
            raise InputError(f"frames of one video come out in several sizes, {sizes}; extract it again")
        clip[:, segment, place] = frame
    return torch.from_numpy(clip).permute(0, 1, 2, 5, 3, 4)


def _resize(image: Image.Image, size: Sequence[int]) -> Image.Image:
    """Resize to (W, H); the image itself if it has this size."""
    return image if image.size == tuple(size) else image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
