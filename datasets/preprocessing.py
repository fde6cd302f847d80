"""Resize and crops of the frames in validation and tests, uint8.

Sizes scale with the input size, written here for 224: the centre test resizes to 240 x 320 (H x W) and takes the centre
224 (`full_res`: short side to 256, centre 256); three crops are 256 x 256 at the left, right and centre of frames whose
short side is 256. Resampling is Pillow's antialiased bilinear filter, as in the official code, but in torch's version:
several times as fast, and within one level of Pillow's pixels (tests/datasets/test_transforms.py says when it is two).
Frames that already have the right size are not resampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError

BASE_SIZE = 224  # input size to which the sizes below belong
RESIZE = (240, 320)  # H, W
SHORT_SIDE = 256

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


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
        """The same crops after a resize to another short side, or height and width, not smaller than the crops."""
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
        return [box_at(x, y, (width, height), (size, size)) for x, y in quarters]


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


def box_at(x: int, y: int, frame: tuple[int, int], crop: tuple[int, int]) -> Box:
    """A crop (W, H) of a frame (W, H), placed x and y quarters of the margin from the left and the top."""
    left, top = x * ((frame[0] - crop[0]) // 4), y * ((frame[1] - crop[1]) // 4)
    return left, top, left + crop[0], top + crop[1]


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize frames (F, 3, H, W) uint8 to `size` (H, W); frames of this size stay as they are."""
    if frames.shape[-2:] == size:
        return frames
    return F.interpolate(frames, size, mode="bilinear", antialias=True)


def colours_first(frames: np.ndarray) -> Tensor:
    """Frames (F, H, W, 3) -> (F, 3, H, W), not copied: channels-last in memory, which torch resizes fastest."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def colours_last(frames: Tensor) -> np.ndarray:
    """Frames (F, 3, H, W) -> (F, H, W, 3), not copied."""
    return frames.permute(0, 2, 3, 1).numpy()
