"""Videos of a list as clips, for training and validation."""

import logging
import time
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from common.errors import InputError, command, counted, few, quoted
from datasets.augmentation import TSN_AUGMENTATION, Augmentation
from datasets.catalogue import DatasetSpec
from datasets.lists import read_list
from datasets.mirrored_labels import mirrored_labels, names_without_mirror
from datasets.plans import ClipChoice, EvalPlan, Plan, TrainPlan
from datasets.preprocessing import eval_preprocessing
from datasets.reading.decoders import choose_decoder
from datasets.reading.readers import Reader, open_record
from datasets.reading.renumbered import at_rate
from datasets.transforms import transformed


@dataclass(frozen=True)
class Sample:
    """A clip with its label and origin."""

    clip: Tensor  # (T, L, H, W, 3) uint8 RGB
    label: int | Tensor  # class, or (K,) float32 multi-hot; of the mirror classes if the clip is mirrored
    index: int  # in the list
    video_id: str  # `VideoRecord.id`
    replaced: list[str]  # files of frames that could not be read
    seconds: float = 0.0  # for reading, decoding and transforming


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
        replaced: list[str] = []
        try:
            reader, sampled = self.sample(epoch, index)
            frames = reader.frames(np.unique(sampled.indices).tolist(), replaced)
            fill_clip(memory, sampled.indices, transformed(frames, sampled.transform))
        except InputError as error:
            check = f"scripts/check_data.py {command(self.spec.name)} [--decode] --write_clean DIR"
            raise InputError(f"{error} (lists without such videos: {check})") from error
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
    augmentation: Augmentation = TSN_AUGMENTATION,
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
