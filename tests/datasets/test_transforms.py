"""Pixels: the family's order of resize, crop and resize."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets.preprocessing import eval_preprocessing
from datasets.transforms import CROP_SCALES, TrainTransform, sample_crop, transformed


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def picture(width: int, height: int) -> np.ndarray:
    """Smooth, with little noise, like photographs."""
    smooth = Image.fromarray(noise(8, 6)).resize((width, height), Image.Resampling.BICUBIC)
    return (np.asarray(smooth) + noise(width, height) % 16 - 8.0).clip(0, 255).astype(np.uint8)


def by_pillow(image: np.ndarray, *steps: tuple[int, ...]) -> np.ndarray:
    """Resizes (W, H) and crops (left, top, right, bottom), one after another."""
    done = Image.fromarray(image)
    for step in steps:
        done = done.crop(step) if len(step) == 4 else done.resize(step, Image.Resampling.BILINEAR)
    return np.asarray(done)


def levels_off(ours: np.ndarray, reference: np.ndarray) -> np.ndarray:
    assert ours.shape == reference.shape
    return np.abs(ours.astype(int) - reference)


BOXES = [(10, 20, 170, 190), (80, 0, 320, 240), (0, 30, 210, 240), (55, 41, 213, 221)]
SIZES = [(320, 240), (340, 256), (427, 240), (200, 150), (640, 480)]  # W, H


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("box", BOXES)
def test_training_is_crop_resize_flip_of_frames_of_the_right_size(box: tuple[int, ...], flip: bool) -> None:
    """Within one level of Pillow, in pictures and in noise."""
    for image in (picture(320, 240), noise(320, 240)):
        ours = TrainTransform((240, 320), box, 224, flip)(image[None])[0]
        expected = by_pillow(image, box, (224, 224))
        assert levels_off(ours, expected[:, ::-1] if flip else expected).max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("box", BOXES)
def test_training_is_resize_crop_resize_of_other_frames(size: tuple[int, int], box: tuple[int, ...]) -> None:
    """Two resizes in the official order: one level in pictures; in pure noise some pixels are two off."""
    transform = TrainTransform((240, 320), box, 224, flip=False)
    ours = transform(np.stack([picture(*size), noise(*size)]))
    pictures, noises = (
        levels_off(frame, by_pillow(image, (320, 240), box, (224, 224)))
        for frame, image in zip(ours, (picture(*size), noise(*size)), strict=True)
    )
    assert pictures.max() <= 1
    assert noises.max() <= 2
    assert (noises > 1).mean() < 1e-4


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crops", [1, 3])
def test_the_resize_of_a_test_is_within_a_level(size: tuple[int, int], crops: int) -> None:
    preprocessing = eval_preprocessing(224, crops)
    short = min(size)
    resized = (320, 240) if crops == 1 else (int(size[0] * 256 / short), int(size[1] * 256 / short))
    whole = preprocessing.resized(picture(*size)[None])[0]
    assert levels_off(whole, by_pillow(picture(*size), resized)).max() <= 1


def test_several_frames_at_once_are_as_one_by_one() -> None:
    """Also where their sizes differ."""
    sizes = [(320, 240)] * 11 + [(100, 80), (340, 256), (320, 240)]
    frames = {7 * number: noise(*size, seed=number) for number, size in enumerate(sizes)}
    for transform in (TrainTransform((240, 320), BOXES[0], 224, flip=True), eval_preprocessing(224)):
        at_once = list(transformed(frames.items(), transform))
        assert [number for number, _ in at_once] == list(frames)
        assert all(np.array_equal(frame, transform(frames[number][None])[0]) for number, frame in at_once)


def test_frames_of_the_right_size_are_not_resampled() -> None:
    image = noise(320, 240)
    transform = TrainTransform((240, 320), (8, 8, 232, 232), 224, flip=False)
    assert np.array_equal(transform(image[None])[0], image[8:232, 8:232])
    mirrored = TrainTransform((240, 320), (8, 8, 232, 232), 224, flip=True)
    assert np.array_equal(mirrored(image[None])[0], image[8:232, 8:232][:, ::-1])


def test_centre_crop() -> None:
    image = noise(320, 240)
    assert np.array_equal(eval_preprocessing(224)(image[None])[0], image[8:232, 48:272])


def test_full_res_centre_crop() -> None:
    image = noise(340, 256)
    assert np.array_equal(eval_preprocessing(224, full_res=True)(image[None])[0], image[:, 42:298])


@pytest.mark.parametrize("full_res", [True, False])
def test_three_crops_are_left_right_centre(full_res: bool) -> None:
    """As TSN's full-resolution crops: at quarters of the free room, rounded down."""
    size = 256 if full_res else 224
    step, top = (341 - size) // 4, 2 * ((256 - size) // 4)
    boxes = eval_preprocessing(224, 3, full_res).boxes(256, 341)
    assert boxes == [(left, top, left + size, top + size) for left in (0, 4 * step, 2 * step)]


def test_three_crops_of_a_tall_video_are_along_its_height() -> None:
    assert eval_preprocessing(224, 3, True).boxes(400, 256)[1] == (0, 144, 256, 400)


def test_sizes_scale_with_the_input_size() -> None:
    assert eval_preprocessing(112).describe() == "resize to 120 x 160, centre crop 112 x 112"
    assert eval_preprocessing(64, 3, True).crop_size == 64


@given(st.integers(0, 2**31), st.sampled_from([32, 64, 112, 224]))
def test_training_crops_are_tsns(seed: int, input_size: int) -> None:
    height, width = round(240 * input_size / 224), round(320 * input_size / 224)
    left, top, right, bottom = sample_crop(height, width, input_size, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    sides = [int(height * scale) for scale in CROP_SCALES]
    sides = [input_size if abs(side - input_size) < 3 else side for side in sides]
    assert abs(sides.index(right - left) - sides.index(bottom - top)) <= 1


def test_all_positions_and_sizes_occur() -> None:
    boxes = {sample_crop(240, 320, 224, np.random.default_rng(seed)) for seed in range(3000)}
    sizes = {(right - left, bottom - top) for left, top, right, bottom in boxes}
    assert len(sizes) == 10  # 4 x 4 pairs less the 6 that are two or three steps apart
    assert len({box for box in boxes if (box[2] - box[0], box[3] - box[1]) == (180, 180)}) == 13


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (37, 900), (500, 3)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    frames = noise(*size)[None]
    transform = TrainTransform.sample(64, np.random.default_rng(0), flip=True)
    assert transform(frames).shape == (1, 64, 64, 3)
    assert eval_preprocessing(64)(frames).shape == (1, 64, 64, 3)
    three = eval_preprocessing(64, 3, True)
    height, width = three.resized(frames).shape[1:3]
    assert min(height, width) == 64
    assert all(
        0 <= left < right <= width and 0 <= top < low <= height for left, top, right, low in three.boxes(height, width)
    )


def test_no_flip_unless_allowed() -> None:
    draws = [
        TrainTransform.sample(64, np.random.default_rng(seed), flip=allowed).flip
        for seed in range(200)
        for allowed in (True, False)
    ]
    assert not any(draws[1::2])
    assert 60 < sum(draws[::2]) < 140
