"""Pictures of an explanation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawing.clips import save_animation
from drawing.explanation import ExplainedClip, explanation_frames, explanation_sheet, under_heat


def explained(segments: int = 4, length: int = 5, maps: int = 2, gates: int = 4, name: str = "left") -> ExplainedClip:
    rng = np.random.default_rng(0)
    heat = {f"map {number}": rng.random((segments, 32, 32)) for number in range(maps)}
    return ExplainedClip(
        rng.integers(0, 256, (segments, length, 32, 32, 3), np.uint8), name, [f"90.0 %  {name}", "10.0 %  right"], heat,
        {stage + 1: rng.random((segments, 8)) for stage in range(gates)},
    )  # fmt: skip


def test_heat_is_relative_to_the_whole_clip() -> None:
    frames = np.full((2, 3, 4, 4, 3), 100, np.uint8)
    heat = np.zeros((2, 4, 4))
    heat[0, 1, 1], heat[1] = 8.0, 0.08
    shown = under_heat(frames, heat)
    assert shown.shape == frames.shape
    assert np.array_equal(shown[0, :, 2:], frames[0, :, 2:])  # no heat, no change
    assert (shown[0, :, 1, 1] != 100).all()
    assert np.abs(shown[1].astype(int) - 100).max() <= 1  # a segment with a hundredth of the largest heat
    assert np.array_equal(under_heat(frames, 0 * heat), frames)


def test_a_sheet_has_a_row_for_everything() -> None:
    heights = [explanation_sheet(explained(maps=m, gates=g)).height for m, g in ((1, 0), (2, 0), (2, 4))]
    assert heights == sorted(set(heights))


def test_an_animation_shows_every_frame(tmp_path: Path) -> None:
    save_animation(explanation_frames(explained(3, 2)), tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3 * 2


@pytest.mark.filterwarnings("error:constrained_layout")
@pytest.mark.parametrize(("name", "segments"), [("x" * 500, 1), ("$a_{$ <b>\x1b[31m\n", 1), ("left " * 80, 16)])
def test_any_name_fits(name: str, segments: int) -> None:
    plain, odd = explained(segments, 1, 1, 1), explained(segments, 1, 1, 1, name)
    assert explanation_sheet(odd).width == explanation_sheet(plain).width
    assert next(explanation_frames(odd)).width == next(explanation_frames(plain)).width
