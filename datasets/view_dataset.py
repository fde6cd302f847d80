"""Videos of a list, or a user's, with all their test views: each needed frame once, however many clips share it.

The frames go to the device, and the views are cut from them there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import InputError, unforeseen
from datasets.catalogue import DatasetSpec, is_kinetics
from datasets.clip_dataset import VideoList
from datasets.lists import VideoRecord
from datasets.plans import EvalPlan
from datasets.preprocessing import Box
from datasets.reading.readers import Reader
from datasets.reading.renumbered import at_rate, part_of
from datasets.reading.sources import Source, open_source
from datasets.reading.video_file import VideoFile
from datasets.shared_memory import SharedTensors, uint8_memory
from datasets.transforms import transformed


@dataclass(frozen=True)
class VideoViews(SharedTensors):
    """The views of one video."""

    frames: Tensor  # (F, H, W, 3) uint8 RGB, its distinct frames after the resize, cut to the area of the crops
    positions: Tensor  # (C, T, L) int64, in `frames`, of the frames of C clips
    boxes: list[Box]  # the V crops, as parts of `frames`
    label: int  # class, or NO_LABEL
    index: int  # in the list
    video_id: str  # `VideoRecord.id`

    def clip(self, clip_index: int) -> Tensor:
        """All crops of a clip: (V, T, L, H, W, 3) uint8, on the device of the frames."""
        positions = self.positions[clip_index]
        crops = [
            self.frames[:, top:bottom, left:right].index_select(0, positions.flatten())
            for left, top, right, bottom in self.boxes
        ]
        return torch.stack(crops).unflatten(1, positions.shape)

    def to(self, device: torch.device) -> "VideoViews":
        """The same on a device."""
        frames, positions = (tensor.to(device, non_blocking=True) for tensor in (self.frames, self.positions))
        return replace(self, frames=frames, positions=positions)


class ViewDataset(VideoList, Dataset[VideoViews]):
    """A list, with or without labels, for a test of several clips per video; an unreadable frame stops it."""

    def __init__(
        self, spec: DatasetSpec, plans: Sequence[EvalPlan], decoder: str = "auto", *, which: str = "val"
    ) -> None:
        """As `VideoList`, with one plan for each of the C clips; the plans differ only in the clip."""
        super().__init__(spec, which, decoder, may_lack_labels=True)
        self.plans = plans

    def __getitem__(self, index: int) -> VideoViews:
        """All views of the video at `index` of the list; raises as `read_views` does."""
        return read_views(self.open(index), self.records[index], self.plans, index)


@dataclass(frozen=True)
class SourceViews(Dataset[VideoViews | str]):
    """The views of each of a user's videos, or why it cannot be read: one does not stop the others."""

    sources: Sequence[Source]
    plans: Sequence[EvalPlan]
    decoder: str

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> VideoViews | str:
        try:
            return self.read(index)
        except InputError as error:
            return str(error)
        except Exception as error:  # a damaged file may raise anything
            return str(unforeseen(self.sources[index].path, error))

    def read(self, index: int) -> VideoViews:
        """All views of a video, as the test scripts score them; raises as `open_source` and `read_views` do."""
        path, record = self.sources[index].path, self.sources[index].record
        reader = part_of(open_source(path, self.decoder, record.num_frames), record.window)
        try:
            return read_views(reader, record, self.plans, index)
        except InputError:
            if not isinstance(reader, VideoFile) or record.num_frames is not None:
                raise
        decodable = VideoFile(path, reader.count_by_decoding())  # it may have fewer frames than packets
        return read_views(decodable, record, self.plans, index)


def read_views(reader: Reader, record: VideoRecord, plans: Sequence[EvalPlan], index: int = 0) -> VideoViews:
    """All views of a video, the record at `index` of its list; a plan for each of the C clips, as for `ViewDataset`.

    Raises:
        InputError: a frame cannot be read, or frames have several sizes after the resize.
    """
    reader = at_rate(reader, plans[0].frame_rate)
    indices = np.stack([plan.sample(record, reader.num_frames, 0, index).indices for plan in plans])
    numbers, positions = np.unique(indices, return_inverse=True)
    positions = positions.reshape(indices.shape)
    preprocessing = plans[0].preprocessing
    views = torch.empty(0)
    boxes: list[Box] = []
    for number, frame in transformed(reader.frames(numbers.tolist()), preprocessing.resized):
        (left, top, right, bottom), parts = _reach(preprocessing.boxes(*frame.shape[:2]))
        part = torch.from_numpy(frame)[top:bottom, left:right]
        if not boxes:
            views, boxes = uint8_memory((len(numbers), *part.shape)), parts
        elif (parts, part.shape) != (boxes, views.shape[1:]):
            raise InputError(
                f"{reader.path}: frames of one video have several sizes after the resize, {views.shape[1]} x "
                f"{views.shape[2]} and {part.shape[0]} x {part.shape[1]}; extract it again"
            )
        views[int(np.searchsorted(numbers, number))] = part
    return VideoViews(views, torch.from_numpy(positions), boxes, record.label, index, record.id)


def clip_plans(
    plan: EvalPlan, clips: Sequence[int], sampling: str, dataset: str, num_clips: int | None = None
) -> dict[int, EvalPlan]:
    """A plan for each of the numbered clips; `plan` has the frame stride of dense ones, if there is one.

    Args:
        sampling: one of `TEST_SAMPLINGS`; "auto" is dense if there is a stride, otherwise random for the Kinetics data
            sets and for several clips, and centre for the rest.
        num_clips: number of evenly spaced clips; None: the last of `clips` plus 1. Refused where nothing reads it.
    """
    if sampling == "auto":
        is_random = is_kinetics(dataset) or clips != [0]
        sampling = "dense" if plan.frame_stride else "random" if is_random else "centre"
    if sampling == "dense" and not plan.frame_stride:
        raise InputError("--sampling dense needs --frame_stride, which the weights do not have; add it")
    stride = plan.frame_stride if sampling == "dense" else 0
    if sampling in ("even", "dense"):
        plan = replace(plan, num_clips=num_clips or max(clips) + 1)
    elif num_clips is not None:
        raise InputError(f"--num_clips {num_clips}: {sampling} clips do not depend on it; leave it out")
    return {
        clip: replace(plan, clip_index=None if sampling == "centre" else clip, frame_stride=stride) for clip in clips
    }


def _reach(boxes: Sequence[Box]) -> tuple[Box, list[Box]]:
    """The part of a picture that boxes cover, and the boxes within this part."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    left, top = min(lefts), min(tops)
    inside = [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1 in boxes]
    return (left, top, max(rights), max(bottoms)), inside
