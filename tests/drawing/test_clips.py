"""Pictures of mixed clips."""

import numpy as np
import pytest
from video_files import CLASSES

from drawing.clips import OTHER, OWN, _warn_of_boxes, fonts_for, mask_picture, mixed_sheet
from ops.mixing.mixer import MixedExample


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def example(segments: int = 3, length: int = 5, size: int = 64, share: float = 0.25) -> MixedExample:
    """Each frame of one grey; the left half of the pixels is the clip's own."""
    levels = 20 + np.arange(segments * length).reshape(segments, length)
    frames = np.broadcast_to(levels[..., None, None, None], (segments, length, size, size, 3)).astype(np.uint8)
    own = np.zeros((segments, size, size), np.float32)
    own[:, :, : size // 2] = 1
    return MixedExample(frames, own, [0], [2], share)


def test_a_mask_runs_from_the_partners_colour_to_the_clips() -> None:
    picture = mask_picture(np.array([[0.0, 1.0, 0.5]]))
    assert [tuple(pixel) for pixel in picture[0, :2].tolist()] == [rgb(OTHER), rgb(OWN)]
    assert picture[0, 2] == pytest.approx((np.array(rgb(OTHER)) + np.array(rgb(OWN))) / 2, abs=0.51)


def test_a_sheet_shows_key_frames_and_masks() -> None:
    sheet = np.asarray(mixed_sheet([example(), example()], CLASSES)).reshape(-1, 3)
    colours, counts = np.unique(sheet, axis=0, return_counts=True)
    count = {tuple(colour): number for colour, number in zip(colours.tolist(), counts, strict=True)}
    greys = {colour[0] for colour, number in count.items() if number >= 64 * 64 and len(set(colour)) == 1}
    assert {20 + 5 * segment + 2 for segment in range(3)} <= greys
    assert not {20, 21, 23} & greys  # the middle frame of a segment alone
    assert count[rgb(OWN)] == pytest.approx(count[rgb(OTHER)], rel=0.05)  # half and half, and some text


def test_letters_without_a_font_are_reported_once(caplog) -> None:
    _warn_of_boxes.cache_clear()
    for text in ("\U0003fff0", "\U0003fff1"):  # no font has letters for these
        fonts_for(frozenset(text))
    assert len([line for line in caplog.messages if "No installed font" in line]) == 1
