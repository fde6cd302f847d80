"""The family's way to read clips: it is another way to the same pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from video_files import own_data_flags, write_dataset

from common.errors import InputError
from datasets.catalogue import resolve
from datasets.clip_dataset import ClipPlan, train_dataset
from datasets.transforms import eval_preprocessing
from datasets.view_dataset import ViewDataset
from references.family_loader import FamilyDataset, read_frames, to_pixels, to_tensor


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    flags = own_data_flags(write_dataset(tmp_path_factory.mktemp("data")))
    options = {name.removeprefix("--"): value for name, value in zip(flags[::2], flags[1::2], strict=True)}
    return resolve("mine", **options, need=("train", "val"))


def difference(ours: Tensor, clip: Tensor) -> int:
    """Largest difference between our pixels (..., H, W, 3) and the family's (C, H, W)."""
    return int((ours.int() - to_pixels(clip, ours.shape[:-3]).int()).abs().max())


def test_training_clips_are_ours(spec) -> None:
    """Mirrored ones and others, of several crops."""
    videos = train_dataset(spec, num_segments=3, frames_per_segment=5, input_size=32, seed=1, flip=True)
    transforms = [videos.sample(0, index)[1].transform for index in range(len(videos))]
    assert len({transform.flip for transform in transforms}) == 2
    assert len({transform.box for transform in transforms}) > 2
    family = FamilyDataset(videos, videos.plan)
    for index in range(len(videos)):
        sample, (clip, label) = videos[0, index], family[0, index]
        assert label == sample.label
        assert difference(sample.clip, clip) <= 1


@pytest.mark.parametrize(("crops", "full_res"), [(1, False), (1, True), (3, True), (3, False)])
def test_test_views_are_ours(spec, crops: int, full_res: bool) -> None:
    plan = ClipPlan(2, 5, eval_preprocessing(32, crops, full_res), clip_index=3)
    views = ViewDataset(spec, [plan])
    family = FamilyDataset(views, plan)
    for index in range(len(views)):
        clip, label = family[0, index]
        assert label == views[index].label
        assert difference(views[index].clip(0), clip) <= 1


def test_every_occurrence_of_a_frame_is_decoded(tmp_path: Path, monkeypatch) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "00001.jpg")
    opened, open_image = [], Image.open
    monkeypatch.setattr(Image, "open", lambda file: opened.append(file) or open_image(file))
    assert len(read_frames(tmp_path, "{:05d}.jpg", np.zeros((2, 3), int))) == len(opened) == 6


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    (tmp_path / "00001.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"a frame in .* cannot be read \(.*00001.jpg.*check_data.py"):
        read_frames(tmp_path, "{:05d}.jpg", np.zeros((1, 1), int))


def test_values_are_normalised() -> None:
    clip = to_tensor([Image.new("RGB", (2, 2), (255, 0, 51))])
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert clip.shape == (3, 2, 2)
    assert torch.allclose(clip[:, 0, 0], torch.tensor(expected))
