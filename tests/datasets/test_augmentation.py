"""Augmentation beyond crop and flip: one draw per clip, nothing mirrored, and the presets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from video_files import own_data_flags, write_dataset

from datasets import augmentation
from datasets.augmentation import FILL, MAE, MAGNITUDES, PRESETS, TSN_AUGMENTATION, Augmentation, trivial_augment
from datasets.catalogue import resolve
from datasets.clip_dataset import train_dataset
from datasets.loader import make_loader
from datasets.transforms import TrainTransform, random_crop, transformed

SETTINGS = {
    "crop": Augmentation(random_resized_crop=0.08),
    "trivial": Augmentation(auto_augment="trivial"),
    "randaugment": Augmentation(auto_augment="randaugment", ra_ops=2, ra_magnitude=15),
    "jitter": Augmentation(color_jitter=0.8),
    "gray": Augmentation(gray=0.5),
    "erasing": Augmentation(random_erasing=0.5),
    "mae": MAE,
}


def picture(width: int = 80, height: int = 60, seed: int = 0) -> np.ndarray:
    """(H, W, 3), smooth, the same scene in any size."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.array(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC))


def sampled(settings: Augmentation, seed: int, side: int = 32) -> TrainTransform:
    return TrainTransform.sample(side, np.random.default_rng(seed), flip=False, augmentation=settings)


@pytest.mark.parametrize("name", SETTINGS)
def test_all_frames_of_a_clip_get_the_same_draw_however_they_arrive(name: str) -> None:
    """17 frames arrive in three calls; clips differ, and the global generator is neither read nor moved."""
    frame, results = picture(), []
    for seed in range(8):
        torch.manual_seed(seed)
        state, transform = torch.get_rng_state(), sampled(SETTINGS[name], seed)
        clip = np.stack([image for _, image in transformed(((i, frame) for i in range(17)), transform)])
        assert (clip == clip[:1]).all()
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(seed + 100)
        assert np.array_equal(transform(frame[None])[0], clip[0])
        results.append(clip[0] - sampled(TSN_AUGMENTATION, seed)(frame[None])[0].astype(int))
    assert len({result.tobytes() for result in results}) > 2


def test_frames_of_different_sizes_in_a_clip_get_the_same_part_and_the_same_changes() -> None:
    for seed in range(10):
        transform = sampled(replace(MAE, auto_augment="none", color_jitter=0.3, random_erasing=1.0), seed, side=64)
        small, large = (transform(picture(*size)[None])[0] for size in ((160, 120), (320, 240)))
        assert np.abs(small.astype(int) - large).mean() < 6
        assert np.array_equal((small == FILL).all(-1), (large == FILL).all(-1))


def test_a_random_crop_is_distributed_as_torchvisions() -> None:
    """Areas and ratios; pixels hold their own coordinates."""
    y, x = np.mgrid[:120, :160]
    frame = torch.from_numpy(np.stack([x, y, y]).astype(np.uint8))[None]
    torch.manual_seed(0)
    boxes = [random_crop(frame, 0.2) for _ in range(400)]
    sizes = np.array([box.shape[-2:] for box in boxes])
    reference = v2.RandomResizedCrop(32, (0.2, 1.0))
    others = [reference.make_params([frame]) for _ in range(400)]
    expected = np.array([(other["height"], other["width"]) for other in others])
    for figure in (lambda s: s[:, 0] * s[:, 1] / frame[0, 0].numel(), lambda s: s[:, 1] / s[:, 0]):
        own, theirs = figure(sizes), figure(expected)
        assert np.quantile(own, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(theirs, [0.1, 0.5, 0.9]), rel=0.1)
    assert {0} < {int(box[0, 0].min()) for box in boxes}
    assert max(int(box[0, 0].max()) for box in boxes) == 159


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (900, 37), (3, 4)])
def test_any_frame_can_be_cropped(size: tuple[int, int]) -> None:
    transform = sampled(MAE, 0)
    assert transform(picture(*size)[None]).shape == (1, 32, 32, 3)
    height, width = random_crop(torch.zeros(1, 3, *size[::-1]), 0.9).shape[-2:]
    assert max(height, width) <= max(4 / 3 * min(size) + 1, 1)


def test_no_change_mirrors_a_clip_or_turns_it_round() -> None:
    """What torchvision's RandAugment can do, of which TrivialAugment here takes one: colours, shifts and shears aside,
    rotations by up to 30 degrees.
    """
    space = v2.RandAugment._AUGMENTATION_SPACE
    colours = {"Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"}
    assert set(space) == {"Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", *colours}
    largest = {name: float(space[name][0](MAGNITUDES, 224, 224)[-1]) for name in ("Rotate", "ShearX", "ShearY")}
    assert largest == pytest.approx({"Rotate": 30, "ShearX": 0.3, "ShearY": 0.3})


def test_trivial_augment_draws_one_of_these_changes_of_any_strength(monkeypatch) -> None:
    """Not torchvision's TrivialAugmentWide, which rotates by up to 135 degrees."""
    drawn: list[tuple[int, int]] = []
    monkeypatch.setattr(augmentation, "randaugment", lambda frames, ops, magnitude: drawn.append((ops, magnitude)))
    for _ in range(300):
        trivial_augment(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    assert {ops for ops, _ in drawn} == {1}
    assert {magnitude for _, magnitude in drawn} == set(range(MAGNITUDES))


def test_each_setting_does_what_it_says() -> None:
    frame = picture()
    plain = sampled(TSN_AUGMENTATION, 0)(frame[None])[0].astype(int)
    grey = sampled(Augmentation(gray=1.0), 0)(frame[None])[0]
    assert (grey == grey[..., :1]).all()
    erased = sampled(Augmentation(random_erasing=1.0), 0)(frame[None])[0]
    hole = (erased != plain).any(-1)
    assert 0.02 * 0.9 < hole.mean() < 0.34
    assert (erased[hole] == FILL).all()
    rows, columns = np.nonzero(hole)
    assert (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1) < hole.sum() * 1.1
    means = [sampled(Augmentation(color_jitter=0.4), seed)(frame[None]).mean() / plain.mean() for seed in range(20)]
    assert 0.55 < min(means) < 0.9
    assert 1.05 < max(means) < 1.45


def test_the_default_preset_adds_nothing() -> None:
    assert PRESETS["tsn"] == Augmentation()
    assert PRESETS["tsn"].steps() == []
    assert PRESETS["mae"].random_resized_crop == 0.08
    assert len(PRESETS["mae"].steps()) == 2


def test_clips_do_not_depend_on_workers_and_come_again_changed(tmp_path: Path) -> None:
    flags = own_data_flags(write_dataset(tmp_path / "own"))
    spec = resolve("mine", **{name.strip("-"): value for name, value in zip(flags[::2], flags[1::2], strict=True)})
    batches = []
    for workers in (0, 2):
        dataset = train_dataset(
            spec, num_segments=2, frames_per_segment=5, input_size=32, seed=3, flip=True, augmentation=MAE
        )
        loader = make_loader(dataset, batch_size=4, workers=workers, shuffle=True, seed=3, repeats=2)
        loader.sampler.set_epoch(1)
        batches.append(list(loader))
    assert [len(part) for part in batches] == [3, 3]
    for alone, shared in zip(*batches, strict=True):
        assert torch.equal(alone.clip, shared.clip)
        assert torch.equal(alone.label, shared.label)
        assert alone.video_ids[::2] == alone.video_ids[1::2]
        assert not torch.equal(alone.clip[0], alone.clip[1])
        assert alone.index.max() < len(dataset)
