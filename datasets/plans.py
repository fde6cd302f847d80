"""Plans: the rules by which clips are sampled from videos, for training and for evaluation."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from common.errors import counted
from datasets import sampling
from datasets.augmentation import TSN_AUGMENTATION, Augmentation
from datasets.lists import VideoRecord
from datasets.preprocessing import Preprocessing
from datasets.sampling import Rng, segment_indices
from datasets.transforms import FrameTransform, TrainTransform


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
        """Sample a clip from a video of `num_frames` frames. For training it depends on `epoch` and `index`.

        `index` is the video's in the list, plus M for each earlier clip of it in the epoch (see `EpochSampler`).
        """

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
    augmentation: Augmentation = TSN_AUGMENTATION

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
        """(T,) segment starts: dense if there is a `frame_stride`, else even if there are `num_clips`.

        Otherwise they are random if there is a `clip_index`, and those of the centre clip if there is none.
        """
        shape, clip = (num_frames, self.num_segments, self.frames_per_segment), self.clip_index or 0
        if self.frame_stride:
            return sampling.dense_starts(*shape, self.frame_stride, clip, self.num_clips or 1)
        if self.num_clips:
            return sampling.even_starts(*shape, clip, self.num_clips)
        return sampling.centre_starts(*shape) if self.clip_index is None else self.random_starts(num_frames, rng)

    def describe(self) -> str:
        """The sampling in one phrase, the same for all clips of a test."""
        text = "centre of each segment" if self.clip_index is None else f"random starts, seed {self.seed}"
        if self.frame_stride or self.num_clips:
            kind = f"dense, {counted(self.frame_stride, 'frame')} apart" if self.frame_stride else "even starts"
            text = f"{kind}, {counted(self.num_clips or 1, 'clip')}"
        return f"{text}, at {self.frame_rate:g} frames per second" if self.frame_rate else text
