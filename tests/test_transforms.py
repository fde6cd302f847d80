"""Pixels: the family's order of resize, crop and resize, and nothing drawn twice in a clip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets.transforms import CROP_SCALES, TrainTransform, draw_crop, eval_preprocessing, lay_out
from errors import InputError


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def test_training_is_resize_crop_resize_flip() -> None:
    image = picture(200, 150)
    transform = TrainTransform((240, 320), (10, 20, 170, 190), 224, flip=True)
    expected = image.resize((320, 240), Image.Resampling.BILINEAR).crop((10, 20, 170, 190))
    expected = expected.resize((224, 224), Image.Resampling.BILINEAR).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert np.array_equal(transform(image)[0], np.asarray(expected))


def test_frames_of_the_right_size_are_not_resampled() -> None:
    image = picture(320, 240)
    transform = TrainTransform((240, 320), (8, 8, 232, 232), 224, flip=False)
    assert np.array_equal(transform(image)[0], np.asarray(image)[8:232, 8:232])


def test_centre_crop() -> None:
    image = picture(320, 240)
    assert np.array_equal(eval_preprocessing(224)(image)[0], np.asarray(image)[8:232, 48:272])


def test_full_res_centre_crop() -> None:
    image = picture(340, 256)
    assert np.array_equal(eval_preprocessing(224, full_res=True)(image)[0], np.asarray(image)[:, 42:298])


@pytest.mark.parametrize("full_res", [True, False])
def test_three_crops_are_left_right_centre(full_res: bool) -> None:
    """As TSN's full-resolution crops: at quarters of the free room, rounded down."""
    image = picture(341, 256)
    size = 256 if full_res else 224
    step, top = (341 - size) // 4, 2 * ((256 - size) // 4)
    views = eval_preprocessing(224, 3, full_res)(image)
    pixels = np.asarray(image)
    for view, left in zip(views, (0, 4 * step, 2 * step), strict=True):
        assert np.array_equal(view, pixels[top : top + size, left : left + size])


def test_three_crops_of_a_tall_video_lie_along_its_height() -> None:
    image = picture(256, 400)
    views = eval_preprocessing(224, 3, True)(image)
    assert np.array_equal(views[1], np.asarray(image)[144:400])


def test_sizes_scale_with_the_input_size() -> None:
    assert eval_preprocessing(112).describe() == "resize to 120 x 160, centre crop 112 x 112"
    assert eval_preprocessing(64, 3, True).crop_size == 73


@given(st.integers(0, 2**31), st.sampled_from([32, 64, 112, 224]))
def test_training_crops_are_tsns(seed: int, input_size: int) -> None:
    height, width = round(240 * input_size / 224), round(320 * input_size / 224)
    left, top, right, bottom = draw_crop(height, width, input_size, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    sides = [int(height * scale) for scale in CROP_SCALES]
    sides = [input_size if abs(side - input_size) < 3 else side for side in sides]
    assert abs(sides.index(right - left) - sides.index(bottom - top)) <= 1


def test_all_positions_and_sizes_occur() -> None:
    boxes = {draw_crop(240, 320, 224, np.random.default_rng(seed)) for seed in range(3000)}
    sizes = {(right - left, bottom - top) for left, top, right, bottom in boxes}
    assert len(sizes) == 10  # 4 x 4 pairs less the 6 that are two or three steps apart
    assert len({box for box in boxes if (box[2] - box[0], box[3] - box[1]) == (180, 180)}) == 13


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (37, 900), (500, 3)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    image = picture(*size)
    transform = TrainTransform.draw(64, np.random.default_rng(0), flip=True)
    assert transform(image).shape == (1, 64, 64, 3)
    assert eval_preprocessing(64)(image).shape == (1, 64, 64, 3)
    assert eval_preprocessing(64, 3, True)(image).shape == (3, 73, 73, 3)


def test_no_flip_where_it_is_not_allowed() -> None:
    draws = [
        TrainTransform.draw(64, np.random.default_rng(seed), flip=allowed).flip
        for seed in range(200)
        for allowed in (True, False)
    ]
    assert not any(draws[1::2])
    assert 60 < sum(draws[::2]) < 140


def test_clips_lie_channels_last_in_memory() -> None:
    frames = {number: np.full((2, 4, 6, 3), number, np.uint8) for number in (3, 5)}
    clip = lay_out(frames, np.array([[3, 5], [5, 5]]))
    assert clip.shape == (2, 2, 2, 3, 4, 6)
    assert clip[0, :, :, 0, 0, 0].tolist() == [[3, 5], [5, 5]]
    assert clip.permute(0, 1, 2, 4, 5, 3).is_contiguous()


def test_frames_of_several_sizes_in_one_video() -> None:
    frames = [np.zeros((1, 4, 6, 3), np.uint8), np.zeros((1, 4, 7, 3), np.uint8)]
    with pytest.raises(InputError, match="4 x 6 and 4 x 7"):
        lay_out(frames, np.array([[0, 1]]))
