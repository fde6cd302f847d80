"""Videos of a list as clips. One class; training, validation and tests differ in what is passed in."""

import logging
import time
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import counted, few, quoted
from datasets.catalogue import DatasetSpec
from datasets.lists import VideoRecord, read_list, repeated_lines
from datasets.mirrored_labels import mirrored_labels, names_without_mirror
from datasets.reading.decoders import choose_decoder
from datasets.reading.readers import Reader, open_record, read_changed
from datasets.sampling import center_starts, clip_rng, reorder, sample_rng, segment_indices, train_starts
from datasets.transforms import FrameTransform, Preprocessing, TrainTransform, eval_preprocessing


@dataclass(frozen=True)
class Sample:
    """A clip and what is known of it.

    Attributes:
        clip: (V, T, L, 3, H, W) uint8 RGB, the 3 colours of a pixel together in memory.
        label: class, the mirrored one if the clip is mirrored.
        index: place in the list.
        video_id: the list's path.
        replaced: files of frames that could not be read.
        seconds: that reading, decoding and transforming took, where it was measured.
    """

    clip: Tensor
    label: int
    index: int
    video_id: str
    replaced: list[str]
    seconds: float = 0.0


class Draw(NamedTuple):
    """What is decided for one clip before a frame is read: frame numbers (T, L), transform, label."""

    indices: np.ndarray
    transform: FrameTransform
    label: int


class Plan(Protocol):
    """Decides on a clip. Its classes are plain values, so that workers can be started in any way."""

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(V, T, L, H, W, 3) of every clip."""
        ...

    def __call__(self, record: VideoRecord, num_frames: int, epoch: int, index: int) -> Draw:
        """The draw for place `index` of the list, a video of `num_frames` frames, in an epoch."""
        ...


@dataclass(frozen=True)
class TrainPlan:
    """Random starts, crop and flip, which depend on (seed, epoch, index) alone.

    Attributes:
        num_segments: T.
        frames_per_segment: L.
        input_size: side of the crops in pixels.
        seed: of all draws.
        mirrored: label -> label of the mirrored clip; None: no flips.
    """

    num_segments: int
    frames_per_segment: int
    input_size: int
    seed: int
    mirrored: tuple[int, ...] | None

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return 1, self.num_segments, self.frames_per_segment, self.input_size, self.input_size, 3

    def __call__(self, record: VideoRecord, num_frames: int, epoch: int, index: int) -> Draw:
        rng = sample_rng(self.seed, epoch, index)
        starts = train_starts(num_frames, self.num_segments, self.frames_per_segment, rng)
        transform = TrainTransform.draw(self.input_size, rng, flip=self.mirrored is not None)
        label = self.mirrored[record.label] if self.mirrored and transform.flip else record.label
        return Draw(segment_indices(starts, self.frames_per_segment, num_frames), transform, label)


@dataclass(frozen=True)
class ClipPlan:
    """The same clip of a video every time.

    Attributes:
        num_segments: T.
        frames_per_segment: L.
        preprocessing: resize and crops; V views.
        clip: number of the clip, whose starts are drawn as in training from (seed, video id, clip); None: the starts
            lie in the centres.
        seed: of random starts and of a shuffle.
        frame_order: one of `FRAME_ORDERS`.
    """

    num_segments: int
    frames_per_segment: int
    preprocessing: Preprocessing
    clip: int | None = None
    seed: int = 0
    frame_order: str = "normal"

    @property
    def clip_shape(self) -> tuple[int, ...]:
        crop = self.preprocessing.crop_size
        return self.preprocessing.crops, self.num_segments, self.frames_per_segment, crop, crop, 3

    def __call__(self, record: VideoRecord, num_frames: int, epoch: int, index: int) -> Draw:
        rng = clip_rng(self.seed, record.path, self.clip or 0)
        shape = (num_frames, self.num_segments, self.frames_per_segment)
        starts = center_starts(*shape) if self.clip is None else train_starts(*shape, rng)
        indices = segment_indices(starts, self.frames_per_segment, num_frames)
        return Draw(reorder(indices, self.frame_order, rng), self.preprocessing, record.label)


class VideoDataset(Dataset[Sample]):
    """Clips of the videos of a list."""

    def __init__(
        self, spec: DatasetSpec, which: str, plan: Plan, *, replace_unreadable: bool, decoder: str = "auto"
    ) -> None:
        """A list of a data set.

        Args:
            spec: the data set.
            which: "train" or "val", its list.
            plan: decides on each clip.
            replace_unreadable: take the nearest readable frame for an unreadable one and report it; or stop.
            decoder: of frames in folders and archives, one of `DECODER_NAMES`.

        Raises:
            InputError: the list cannot be read, or the decoder is not installed.
        """
        choose_decoder(decoder)  # here, not in a worker, if it is not there
        self.spec = spec
        self.records = read_list(spec.lists[which], spec.num_class, may_repeat=which == "train")
        self.plan = plan
        self.replace_unreadable = replace_unreadable
        self.decoder = decoder

    def __len__(self) -> int:
        return len(self.records)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(V, T, L, H, W, 3) of every clip."""
        return self.plan.clip_shape

    def __getitem__(self, key: tuple[int, int] | int) -> Sample:
        """The clip for (epoch, index); an index alone is of epoch 0.

        The sampler sends the epoch along, so that workers that live through all epochs need not be told.
        """
        return self.read(key, torch.empty(self.clip_shape, dtype=torch.uint8))

    def read(self, key: tuple[int, int] | int, memory: Tensor) -> Sample:
        """As `dataset[key]`, with the clip in given memory: (V, T, L, H, W, 3) uint8, such as a part of a batch."""
        start = time.perf_counter()
        epoch, index = (0, key) if isinstance(key, int) else key
        record = self.records[index]
        reader, draw = self.draw(epoch, index)
        places: dict[int, list[tuple[int, ...]]] = {number: [] for number in np.unique(draw.indices).tolist()}
        for place in np.ndindex(draw.indices.shape):
            places[int(draw.indices[place])].append(place)

        clip = memory.numpy()

        def write(number: int, frame: np.ndarray) -> None:
            for segment, place in places[number]:
                clip[:, segment, place] = frame

        replaced = read_changed(reader, list(places), draw.transform, write, replace_unreadable=self.replace_unreadable)
        clip_of_video = memory.permute(0, 1, 2, 5, 3, 4)
        return Sample(clip_of_video, draw.label, index, record.path, replaced, time.perf_counter() - start)

    def draw(self, epoch: int, index: int) -> tuple[Reader, Draw]:
        """The video of a clip, and what is decided for the clip; no frame is read."""
        record = self.records[index]
        reader = open_record(self.spec.root_path, record, self.spec.image_tmpl, self.decoder)
        return reader, self.plan(record, reader.num_frames, epoch, index)


def train_dataset(
    spec: DatasetSpec,
    *,
    num_segments: int,
    frames_per_segment: int,
    input_size: int,
    seed: int,
    flip: bool,
    decoder: str = "auto",
) -> VideoDataset:
    """The train list. An unreadable frame is replaced by the nearest readable one of its video, and reported.

    Repeated lines, and classes whose mirrored clips may get a wrong label, are logged.
    """
    mirrored = mirrored_labels(spec.class_names) if flip else None
    plan = TrainPlan(num_segments, frames_per_segment, input_size, seed, mirrored)
    dataset = VideoDataset(spec, "train", plan, replace_unreadable=True, decoder=decoder)
    repeated = repeated_lines(dataset.records)
    if repeated:
        lines = counted(repeated, "repeated line")
        logging.info("%s: %s; a clip is trained on as often as it is listed", spec.lists["train"], lines)
    one_sided = names_without_mirror(spec.class_names) if flip else []
    if one_sided:
        logging.info(
            "Class names with a direction but without a mirror class (%d): %s; their flipped clips keep the label. "
            "--no_flip trains without flips",
            len(one_sided), few([quoted(name) for name in one_sided], 10),
        )  # fmt: skip
    return dataset


def val_dataset(
    spec: DatasetSpec, *, num_segments: int, frames_per_segment: int, input_size: int, decoder: str = "auto"
) -> VideoDataset:
    """The val list with centre starts and the centre crop, for the evaluations of a training.

    As in training, an unreadable frame is replaced and reported; the test scripts stop at it.
    """
    plan = ClipPlan(num_segments, frames_per_segment, eval_preprocessing(input_size))
    return VideoDataset(spec, "val", plan, replace_unreadable=True, decoder=decoder)


def clip_dataset(spec: DatasetSpec, plan: ClipPlan, decoder: str = "auto") -> VideoDataset:
    """The val list for a test; an unreadable frame stops it."""
    return VideoDataset(spec, "val", plan, replace_unreadable=False, decoder=decoder)
