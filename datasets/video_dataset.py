"""Videos of a list as clips. One class; training, validation and tests differ in what is passed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from datasets.catalogue import DatasetSpec
from datasets.frames import read_frames
from datasets.labels import mirrored_labels
from datasets.lists import VideoRecord, read_list
from datasets.sampling import center_starts, clip_rng, sample_rng, segment_indices, train_starts
from datasets.transforms import FrameTransform, Preprocessing, TrainTransform, eval_preprocessing, lay_out
from errors import InputError


@dataclass(frozen=True)
class Sample:
    """A clip and what is known of it.

    Attributes:
        clip: (V, T, L, 3, H, W) uint8 RGB.
        label: class, the mirrored one if the clip is mirrored.
        index: place in the list.
        video_id: the list's path.
        replaced: files of frames that could not be read.
    """

    clip: Tensor
    label: int
    index: int
    video_id: str
    replaced: list[str]


class Draw(NamedTuple):
    """What is decided for one clip before a frame is read: segment starts (T,), transform, label."""

    starts: np.ndarray
    transform: FrameTransform
    label: int


Plan = Callable[[VideoRecord, int, int], Draw]  # (record, epoch, index) -> Draw


class VideoDataset(Dataset[Sample]):
    """Clips of the videos of a list, read from frame folders."""

    def __init__(
        self,
        spec: DatasetSpec,
        records: Sequence[VideoRecord],
        plan: Plan,
        *,
        frames_per_segment: int,
        replace_unreadable: bool,
    ) -> None:
        self.spec = spec
        self.records = records
        self.plan = plan
        self.frames_per_segment = frames_per_segment
        self.replace_unreadable = replace_unreadable

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        """The clip for (epoch, index); an index alone is of epoch 0.

        The sampler sends the epoch along, so that workers that live through all epochs need not be told.
        """
        epoch, index = (0, key) if isinstance(key, int) else key
        record = self.records[index]
        draw = self.plan(record, epoch, index)
        indices = segment_indices(draw.starts, self.frames_per_segment, record.num_frames)  # (T, L)
        folder = self.spec.root_path / record.path
        images, replaced = read_frames(
            folder, self.spec.image_tmpl, np.unique(indices).tolist(), record.num_frames,
            replace_unreadable=self.replace_unreadable,
        )  # fmt: skip
        try:
            frames = {number: draw.transform(image) for number, image in images.items()}  # each once
            clip = lay_out(frames, indices)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error
        return Sample(clip, draw.label, index, record.path, replaced)


def train_dataset(
    spec: DatasetSpec, *, num_segments: int, frames_per_segment: int, input_size: int, seed: int, flip: bool
) -> VideoDataset:
    """The train list with random starts, crops and flips that depend on (seed, epoch, index) alone.

    An unreadable frame is replaced by the nearest readable one of the same video, and reported.
    """
    mirrored = mirrored_labels(spec.class_names)

    def plan(record: VideoRecord, epoch: int, index: int) -> Draw:
        rng = sample_rng(seed, epoch, index)
        starts = train_starts(record.num_frames, num_segments, frames_per_segment, rng)
        transform = TrainTransform.draw(input_size, rng, flip=flip)
        return Draw(starts, transform, mirrored[record.label] if transform.flip else record.label)

    return _dataset(spec, "train", plan, frames_per_segment, replace_unreadable=True)


def val_dataset(spec: DatasetSpec, *, num_segments: int, frames_per_segment: int, input_size: int) -> VideoDataset:
    """The val list with centre starts and the centre crop, for the evaluations of a training.

    As in training, an unreadable frame is replaced and reported; the test scripts stop at it.
    """
    plan = partial(_centre_plan, num_segments, frames_per_segment, eval_preprocessing(input_size))
    return _dataset(spec, "val", plan, frames_per_segment, replace_unreadable=True)


def clip_dataset(
    spec: DatasetSpec,
    *,
    num_segments: int,
    frames_per_segment: int,
    preprocessing: Preprocessing,
    clip: int,
    random_clips: bool,
    seed: int,
) -> VideoDataset:
    """The val list for a test of clip number `clip`; an unreadable frame stops it.

    Args:
        spec: the data set.
        num_segments: T.
        frames_per_segment: L.
        preprocessing: resize and crops; V views.
        clip: number of the clip.
        random_clips: draw the starts as in training, from (seed, video id, clip); otherwise the centre starts.
        seed: of the random starts.
    """

    def random_plan(record: VideoRecord, epoch: int, index: int) -> Draw:
        rng = clip_rng(seed, record.path, clip)
        return Draw(train_starts(record.num_frames, num_segments, frames_per_segment, rng), preprocessing, record.label)

    plan = random_plan if random_clips else partial(_centre_plan, num_segments, frames_per_segment, preprocessing)
    return _dataset(spec, "val", plan, frames_per_segment, replace_unreadable=False)


def _centre_plan(
    num_segments: int,
    frames_per_segment: int,
    preprocessing: Preprocessing,
    record: VideoRecord,
    epoch: int,
    index: int,
) -> Draw:
    return Draw(center_starts(record.num_frames, num_segments, frames_per_segment), preprocessing, record.label)


def _dataset(
    spec: DatasetSpec, which: str, plan: Plan, frames_per_segment: int, *, replace_unreadable: bool
) -> VideoDataset:
    records = read_list(spec.lists[which], spec.num_class)
    return VideoDataset(
        spec, records, plan, frames_per_segment=frames_per_segment, replace_unreadable=replace_unreadable
    )
