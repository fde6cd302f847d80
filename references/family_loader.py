"""Clips as the code of the TSN family (TSN, TSM, TDN, H2CN) reads them, with Pillow, step by step.

Every frame of every segment is decoded, even if another segment has the same frame; then resized, cropped, resized
again and mirrored. All frames are stacked along the channels, converted to floats and normalised, on the CPU. Frame
numbers, crops and flips come from `datasets/`, so that speed and pixels can be compared.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import InputError
from datasets.clip_dataset import VideoList
from datasets.plans import Plan
from datasets.preprocessing import Preprocessing
from datasets.transforms import TrainTransform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FIRST_NUMBER = 1  # in the file name of the first frame
Images = list[Image.Image]


class FamilyDataset(Dataset[tuple[Tensor, int]]):
    """The clips of one of our data sets of frame folders, read the family's way."""

    def __init__(self, videos: VideoList, plan: Plan) -> None:
        self.videos, self.plan = videos, plan

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        """Clip (V*T*L*3, H, W) float32, normalised, and label, for (epoch, index)."""
        epoch, index = key
        record, spec = self.videos.records[index], self.videos.spec
        sampled = self.plan.sample(record, self.videos.open(index).num_frames, epoch, index)
        images = read_frames(spec.root_path / record.path, spec.image_tmpl, sampled.indices)
        transform: Any = sampled.transform
        crop = train_crops if isinstance(transform, TrainTransform) else view_crops
        return to_tensor(crop(images, transform)), sampled.labels[0]

    def difference(self, key: tuple[int, int], ours: Tensor) -> Tensor:
        """Absolute pixel differences between our clip ([V,] T, L, H, W, 3) uint8 and the family's, float64."""
        family = to_pixels(self[key][0], ours.shape[:-3])
        return (ours.double() - family.double()).abs()


def read_frames(folder: Path, image_tmpl: str, indices: np.ndarray) -> Images:
    """The T*L frames of a clip from (T, L) 0-based numbers; repeated frames are decoded each time."""
    files = [folder / image_tmpl.format(index + FIRST_NUMBER) for index in indices.flat]
    try:
        return [Image.open(file).convert("RGB") for file in files]
    except OSError as error:
        cure = "this reference replaces no frames; scripts/check_data.py finds damaged ones"
        raise InputError(f"cannot read a frame in {folder} ({error}); {cure}") from error


def train_crops(images: Images, transform: TrainTransform) -> Images:
    """Resize (to 320 x 240 for an input of 224), crop, resize to the input size, mirror."""
    images = resized(images, *reversed(transform.resize))
    images = [image.crop(transform.box) for image in images]
    images = resized(images, transform.input_size, transform.input_size)
    if transform.flip:
        images = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
    return images


def view_crops(images: Images, preprocessing: Preprocessing) -> Images:
    """Resize; then the centre of all frames, or the left of all, the right of all, the centre of all (wide frames)."""
    if isinstance(preprocessing.resize, int):
        short = min(images[0].size)
        width, height = (int(side * preprocessing.resize / short) for side in images[0].size)
    else:
        height, width = preprocessing.resize
    images = resized(images, width, height)
    size = preprocessing.crop_size
    if preprocessing.crops == 1:
        corners = [(round((width - size) / 2), round((height - size) / 2))]
    else:
        quarter, top = (width - size) // 4, 2 * ((height - size) // 4)
        corners = [(0, top), (4 * quarter, top), (2 * quarter, top)]
    return [image.crop((left, top, left + size, top + size)) for left, top in corners for image in images]


def resized(images: Images, width: int, height: int) -> Images:
    return [image.resize((width, height), Image.Resampling.BILINEAR) for image in images]


def to_tensor(images: Images) -> Tensor:
    """V*T*L images -> (V*T*L*3, H, W) float32, normalised."""
    stacked = np.concatenate([np.asarray(image) for image in images], axis=2)  # (H, W, V*T*L*3)
    clip = torch.from_numpy(stacked).permute(2, 0, 1).contiguous().float().div(255)
    for channel, values in enumerate(clip):
        values.sub_(MEAN[channel % 3]).div_(STD[channel % 3])
    return clip


def to_pixels(clip: Tensor, shape: Sequence[int]) -> Tensor:
    """Undo the normalisation: (V*T*L*3, H, W) -> (V, T, L, H, W, 3) uint8, for `shape` (V, T, L) or (T, L)."""
    frames = clip.unflatten(0, (*shape, 3))
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (frames * std + mean).mul(255).round().to(torch.uint8).movedim(-3, -1)
