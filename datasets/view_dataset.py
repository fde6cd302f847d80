"""Videos of a list as all their test views at once: each needed frame once, however many clips and crops share it.

A view is a table of places in a video's frames, and a part of the picture. The frames go to the device, and the views
are cut from them there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import InputError
from datasets.catalogue import DatasetSpec
from datasets.clip_dataset import ClipPlan
from datasets.lists import read_list
from datasets.reading.decoders import choose_decoder
from datasets.reading.readers import open_record, read_changed
from datasets.shared_memory import Travelling, uint8_memory
from datasets.transforms import Box, cut


@dataclass(frozen=True)
class VideoViews(Travelling):
    """The views of one video.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB, its distinct frames after the resize, as far as the crops reach.
        places: (C, T, L) int64 places in `frames`, of C clips.
        boxes: the V crops, as parts of `frames`.
        label: class.
        index: place in the list.
        video_id: the list's path.
    """

    frames: Tensor
    places: Tensor
    boxes: list[Box]
    label: int
    index: int
    video_id: str

    def clip(self, number: int) -> Tensor:
        """All crops of the clip at this place: (V, T, L, H, W, 3) uint8, on the device of the frames."""
        places = self.places[number]
        crops = [
            self.frames[:, top:bottom, left:right].index_select(0, places.flatten())
            for left, top, right, bottom in self.boxes
        ]
        return torch.stack(crops).unflatten(1, places.shape)

    def to(self, device: torch.device) -> "VideoViews":
        """The same on a device."""
        frames, places = (tensor.to(device, non_blocking=True) for tensor in (self.frames, self.places))
        return replace(self, frames=frames, places=places)

    def pin_memory(self) -> "VideoViews":
        """What the DataLoader calls to speed up the way to the GPU."""
        return replace(self, frames=self.frames.pin_memory(), places=self.places.pin_memory())


class ViewDataset(Dataset[VideoViews]):
    """A list for a test of several clips; an unreadable frame stops it."""

    def __init__(
        self, spec: DatasetSpec, plans: Sequence[ClipPlan], decoder: str = "auto", *, which: str = "val"
    ) -> None:
        """A list of a data set.

        Args:
            spec: the data set.
            plans: one for each of the C clips, with the same preprocessing.
            decoder: of frames in folders and archives, one of `DECODER_NAMES`.
            which: the list, "val" or "test".

        Raises:
            InputError: the list cannot be read, or the decoder is not installed.
        """
        choose_decoder(decoder)  # here, not in a worker, if it is not there
        self.spec = spec
        self.records = read_list(spec.lists[which], spec.num_class)
        self.plans = plans
        self.decoder = decoder

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> VideoViews:
        """All views of the video at a place of the list.

        Raises:
            InputError: a frame cannot be read, or frames come out in several sizes.
        """
        record = self.records[index]
        reader = open_record(self.spec.root_path, record, self.spec.image_tmpl, self.decoder)
        draws = [plan(record, reader.num_frames, 0, index) for plan in self.plans]
        numbers, places = np.unique([draw.indices for draw in draws], return_inverse=True)
        frames = torch.empty(0)
        boxes: list[Box] = []

        def write(number: int, image: np.ndarray) -> None:
            nonlocal frames, boxes
            region, parts = _reach(self.plans[0].preprocessing.boxes(*image.shape[:2]))
            part = cut(image, region)
            if not boxes:
                frames, boxes = uint8_memory((len(numbers), *part.shape)), parts
            elif (parts, part.shape) != (boxes, frames.shape[1:]):
                raise InputError(
                    f"{self.spec.root_path / record.path}: frames of one video come out in several sizes, "
                    f"{frames.shape[1]} x {frames.shape[2]} and {part.shape[0]} x {part.shape[1]}; extract it again"
                )
            frames[int(np.searchsorted(numbers, number))] = torch.from_numpy(part)

        resize = self.plans[0].preprocessing.resized
        read_changed(reader, numbers.tolist(), resize, write, replace_unreadable=False)
        places = places.reshape(len(draws), *draws[0].indices.shape)
        return VideoViews(frames, torch.from_numpy(places), boxes, record.label, index, record.path)


def _reach(boxes: Sequence[Box]) -> tuple[Box, list[Box]]:
    """The part of a picture that boxes cover, and the boxes within this part."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    left, top = min(lefts), min(tops)
    inside = [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1 in boxes]
    return (left, top, max(rights), max(bottoms)), inside
