"""Videos of a list as clips, for training and validation."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import counted, few, quoted
from datasets import sampling
from datasets.augmentation import TSN, Augmentation
from datasets.catalogue import DatasetSpec
from datasets.lists import VideoRecord, read_list
from datasets.mirrored_labels import mirrored_labels, names_without_mirror
from datasets.preprocessing import Preprocessing, eval_preprocessing
from datasets.reading.decoders import choose_decoder
from datasets.reading.readers import Reader, open_record
from datasets.reading.renumbered import at_rate
from datasets.sampling import Rng, segment_indices
from datasets.transforms import FrameTransform, TrainTransform, transformed


@dataclass(frozen=True)
class Sample:
    """A clip with its label and origin."""

    clip: Tensor  # (T, L, H, W, 3) uint8 RGB
    label: int | Tensor  # class, or (K,) float32 multi-hot; of the mirror classes if the clip is mirrored
    index: int  # in the list
    video_id: str  # `VideoRecord.id`
    replaced: list[str]  # files of frames that could not be read
    seconds: float = 0.0  # for reading, decoding and transforming


class ClipChoice(NamedTuple):
    """A clip before its frames are read."""

    indices: np.ndarray  # (T, L) frame numbers
    transform: FrameTransform
    labels: tuple[int, ...]  # one, unless the data set is multi-label


@dataclass(frozen=True)
class Plan(ABC):
    """The rule by which clips are sampled. Plans are plain values, which can be pickled for workers."""

    num_segments: int  # T
    frames_per_segment: int  # L
    # dense clips: frames from the start of one segment to the next; 0: segments spread over the video
    frame_stride: int = field(default=0, kw_only=True)
    frame_rate: float = field(default=0.0, kw_only=True)  # frames per second at which videos are read; 0: every frame

    @property
    @abstractmethod
    def side(self) -> int:
        """H = W of the clips in pixels."""

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(T, L, H, W, 3) of every clip."""
        return self.num_segments, self.frames_per_segment, self.side, self.side, 3

    @abstractmethod
    def sample(self, record: VideoRecord, num_frames: int, epoch: int, index: int) -> ClipChoice:
        """Sample the clip at `index` of the list, from a video of `num_frames` frames, in an epoch."""

    def random_starts(self, num_frames: int, rng: Rng) -> np.ndarray:
        """(T,) segment starts at random places."""
        shape = (num_frames, self.num_segments, self.frames_per_segment)
        if self.frame_stride:
            return sampling.dense_starts(*shape, self.frame_stride, rng=rng)
        return sampling.train_starts(*shape, rng)


@dataclass(frozen=True)
class TrainPlan(Plan):
    """Random starts, crop, flip and other augmentation, which depend on (seed, epoch, index) alone."""

    input_size: int  # side of the crops in pixels
    seed: int
    mirrored: tuple[int, ...] | None  # label -> label of the mirrored clip; None: no flips
    augmentation: Augmentation = TSN

    @property
    def side(self) -> int:
        return self.input_size

    def sample(self, record: VideoRecord, num_frames: int, epoch: int, index: int) -> ClipChoice:
        rng = sampling.sample_rng(self.seed, epoch, index)
        starts = self.random_starts(num_frames, rng)
        transform = TrainTransform.sample(
            self.input_size, rng, flip=self.mirrored is not None, augmentation=self.augmentation
        )
        labels = record.labels
        if self.mirrored and transform.flip:
            labels = tuple(sorted(self.mirrored[label] for label in labels))
        return ClipChoice(segment_indices(starts, self.frames_per_segment, num_frames), transform, labels)


@dataclass(frozen=True)
class EvalPlan(Plan):
    """The same clip of a video every time, for validation and tests."""

    preprocessing: Preprocessing
    clip_index: int | None = None  # random starts, drawn from (seed, video id, clip index); None: centre starts
    seed: int = 0  # of random starts and of a shuffle
    frame_order: str = "normal"  # one of `FRAME_ORDERS`
    num_clips: int | None = None  # number of evenly spaced clips; None: see `clip_index`

    @property
    def side(self) -> int:
        return self.preprocessing.crop_size

    def sample(self, record: VideoRecord, num_frames: int, epoch: int, index: int) -> ClipChoice:
        rng = sampling.clip_rng(self.seed, record.id, self.clip_index or 0)
        indices = segment_indices(self.starts(num_frames, rng), self.frames_per_segment, num_frames)
        return ClipChoice(sampling.reorder(indices, self.frame_order, rng), self.preprocessing, record.labels)

    def starts(self, num_frames: int, rng: Rng) -> np.ndarray:
        """(T,) segment starts; dense clips are always evenly spaced."""
        shape, clip = (num_frames, self.num_segments, self.frames_per_segment), self.clip_index or 0
        if self.frame_stride:
            return sampling.dense_starts(*shape, self.frame_stride, clip, self.num_clips or 1)
        if self.num_clips:
            return sampling.even_starts(*shape, clip, self.num_clips)
        return sampling.center_starts(*shape) if self.clip_index is None else self.random_starts(num_frames, rng)

    def describe(self) -> str:
        """The sampling in one phrase, the same for all clips of a test."""
        text = "centre of each segment" if self.clip_index is None else f"random starts, seed {self.seed}"
        if self.frame_stride or self.num_clips:
            kind = f"dense, {counted(self.frame_stride, 'frame')} apart" if self.frame_stride else "even starts"
            text = f"{kind}, {counted(self.num_clips or 1, 'clip')}"
        return f"{text}, at {self.frame_rate:g} frames per second" if self.frame_rate else text


class Clips(Dataset[Sample]):
    """Clips of one shape. Subclasses say how one is read, straight into the memory of its batch."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def clip_shape(self) -> tuple[int, ...]:
        """(T, L, H, W, 3) of every clip."""

    @abstractmethod
    def read(self, epoch: int, index: int, memory: Tensor) -> Sample:
        """The clip at `index` in an epoch, written into `memory` (T, L, H, W, 3) uint8."""

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        """The clip for (epoch, index); an index alone means epoch 0.

        The epoch comes from the sampler, because workers live through all epochs.
        """
        epoch, index = (0, key) if isinstance(key, int) else key
        return self.read(epoch, index, torch.empty(self.clip_shape, dtype=torch.uint8))


def fill_clip(clip: Tensor, indices: np.ndarray, frames: Iterable[tuple[int, np.ndarray]]) -> None:
    """Write numbered frames (H, W, 3) into a clip (T, L, H, W, 3), wherever `indices` (T, L) name them."""
    memory = clip.numpy()
    for number, frame in frames:
        memory[indices == number] = frame


class VideoList:
    """The videos of a list."""

    def __init__(self, spec: DatasetSpec, which: str, decoder: str, *, may_lack_labels: bool = False) -> None:
        """Read a list ("train", "val" or "test"); raises as `read_list` and `choose_decoder` do.

        `decoder`: for frames in folders and archives, of `DECODER_NAMES`.
        """
        choose_decoder(decoder)  # fails here rather than in a worker
        self.spec = spec
        self.records = read_list(
            spec.lists[which], spec.num_class, may_repeat=which == "train", may_lack_labels=may_lack_labels,
            multi_label=spec.multi_label,
        )  # fmt: skip
        self.decoder = decoder

    def __len__(self) -> int:
        return len(self.records)

    def open(self, index: int) -> Reader:
        """The reader of the video at `index` of the list. Frames are counted once if the list does not."""
        record = self.records[index]
        reader = open_record(self.spec.root_path, record, self.spec.image_tmpl, self.decoder)
        if record.num_frames is None:
            self.records.note_count(index, reader.num_frames)
        return reader


class VideoDataset(VideoList, Clips):
    """Clips of the videos of a list.

    An unreadable frame is replaced by the nearest readable one of its video, and reported; tests stop at it (see
    `datasets.view_dataset`).
    """

    def __init__(self, spec: DatasetSpec, which: str, plan: Plan, decoder: str = "auto") -> None:
        super().__init__(spec, which, decoder)
        self.plan = plan

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return self.plan.clip_shape

    def read(self, epoch: int, index: int, memory: Tensor) -> Sample:
        start = time.perf_counter()
        reader, sampled = self.sample(epoch, index)
        replaced: list[str] = []
        frames = reader.frames(np.unique(sampled.indices).tolist(), replaced)
        fill_clip(memory, sampled.indices, transformed(frames, sampled.transform))
        seconds = time.perf_counter() - start
        video = index % len(self)
        return Sample(memory, self.label(sampled), video, self.records[video].id, replaced, seconds)

    def label(self, sampled: ClipChoice) -> int | Tensor:
        """As in `Sample`."""
        if not self.spec.multi_label:
            return sampled.labels[0]
        return torch.zeros(self.spec.num_class).index_fill_(0, torch.tensor(sampled.labels), 1.0)

    def sample(self, epoch: int, index: int) -> tuple[Reader, ClipChoice]:
        """The reader of a video, and the clip sampled from it; no frame is read.

        An index beyond the list is another clip of a video in the same epoch (see `EpochSampler`).
        """
        video = index % len(self)
        reader = at_rate(self.open(video), self.plan.frame_rate)
        return reader, self.plan.sample(self.records[video], reader.num_frames, epoch, index)


def train_dataset(
    spec: DatasetSpec,
    *,
    input_size: int,
    seed: int,
    flip: bool,
    augmentation: Augmentation = TSN,
    decoder: str = "auto",
    **frames: Any,
) -> VideoDataset:
    """The train list; `frames`: the fields of `Plan`.

    Repeated lines, and classes whose mirrored clips may get a wrong label, are logged.
    """
    mirrored = mirrored_labels(spec.class_names) if flip else None
    augmentation.steps()  # imports torchvision here, if needed, rather than in each worker
    plan = TrainPlan(input_size=input_size, seed=seed, mirrored=mirrored, augmentation=augmentation, **frames)
    dataset = VideoDataset(spec, "train", plan, decoder)
    if dataset.records.repeated:
        lines = counted(dataset.records.repeated, "repeated line")
        logging.info("%s: %s; a clip is trained on as often as it is listed", spec.lists["train"], lines)
    one_sided = names_without_mirror(spec.class_names) if flip else []
    if one_sided:
        logging.info(
            "Class names with a direction but without a mirror class (%d): %s; their flipped clips keep the label. "
            "--no_flip trains without flips",
            len(one_sided), few([quoted(name) for name in one_sided], 10),
        )  # fmt: skip
    return dataset


def val_dataset(spec: DatasetSpec, *, input_size: int, decoder: str = "auto", **frames: Any) -> VideoDataset:
    """The val list for evaluation during training: centre crop, and centre starts or the middle dense clip."""
    return VideoDataset(spec, "val", EvalPlan(preprocessing=eval_preprocessing(input_size), **frames), decoder)
