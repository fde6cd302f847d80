"""The family's way to read clips gives the same pixels as ours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from video_files import own_data_flags, write_dataset

from common.errors import InputError
from datasets.catalogue import resolve
from datasets.clip_dataset import train_dataset
from datasets.plans import EvalPlan
from datasets.preprocessing import eval_preprocessing
from datasets.view_dataset import ViewDataset
from references.family_loader import FamilyDataset, read_frames, to_tensor


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    flags = own_data_flags(write_dataset(tmp_path_factory.mktemp("data")))
    options = {name.removeprefix("--"): value for name, value in zip(flags[::2], flags[1::2], strict=True)}
    return resolve("mine", **options, need=("train", "val"))


def test_training_clips_match(spec) -> None:
    """With and without mirroring, with several crops."""
    videos = train_dataset(spec, num_segments=3, frames_per_segment=5, input_size=32, seed=1, flip=True)
    transforms = [videos.sample(0, index)[1].transform for index in range(len(videos))]
    assert len({transform.flip for transform in transforms}) == 2
    assert len({transform.box for transform in transforms}) > 2
    family = FamilyDataset(videos, videos.plan)
    for index in range(len(videos)):
        assert family[0, index][1] == videos[0, index].label
        assert family.difference((0, index), videos[0, index].clip).max() <= 1


@pytest.mark.parametrize(("crops", "full_res"), [(1, False), (1, True), (3, True), (3, False)])
def test_test_views_match(spec, crops: int, full_res: bool) -> None:
    plan = EvalPlan(2, 5, eval_preprocessing(32, crops, full_res), clip_index=3)
    views = ViewDataset(spec, [plan])
    family = FamilyDataset(views, plan)
    for index in range(len(views)):
        assert family[0, index][1] == views[index].label
        assert family.difference((0, index), views[index].clip(0)).max() <= 1


def test_repeated_frames_are_decoded_each_time(tmp_path: Path, monkeypatch) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "00001.jpg")
    opened, open_image = [], Image.open
    monkeypatch.setattr(Image, "open", lambda file: opened.append(file) or open_image(file))
    assert len(read_frames(tmp_path, "{:05d}.jpg", np.zeros((2, 3), int))) == len(opened) == 6


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    (tmp_path / "00001.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"00001.jpg.*check_data.py"):
        read_frames(tmp_path, "{:05d}.jpg", np.zeros((1, 1), int))


def test_values_are_normalised() -> None:
    clip = to_tensor([Image.new("RGB", (2, 2), (255, 0, 51))])
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert clip.shape == (3, 2, 2)
    assert torch.allclose(clip[:, 0, 0], torch.tensor(expected))
