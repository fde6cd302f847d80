"""The video with its classes drawn in."""

from pathlib import Path

import av
import numpy as np
import pytest

from common.errors import InputError
from drawing.annotated_video import annotated, overlay

TOP = [("wave", 0.75), ("clap", 0.25)]


def grey(count: int, height: int, width: int) -> list[tuple[float, np.ndarray]]:
    return [(number / 10, np.full((height, width, 3), 128, np.uint8)) for number in range(count)]


def read(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_classes_are_drawn_at_the_lower_left_and_times_stay(tmp_path: Path) -> None:
    """Odd sizes lose a line; a frame of another size gets that of the first; a repeated time comes a tick later."""
    frames = [*grey(3, 121, 201), (0.2, grey(1, 60, 80)[0][1]), (1.7, grey(1, 121, 201)[0][1])]
    handed_on = list(annotated(frames, tmp_path / "o.mp4", lambda time: TOP if time < 1 else []))
    assert [image.shape for _, image in handed_on] == [image.shape for _, image in frames]
    assert all((image == 128).all() for _, image in handed_on)
    found = read(tmp_path / "o.mp4")
    assert [round(time, 3) for time, _ in found] == [0.0, 0.1, 0.2, 0.201, 1.7]
    assert {image.shape for _, image in found} == {(120, 200, 3)}
    assert np.abs(found[0][1][:60].astype(int) - 128).max() < 20
    assert np.abs(found[0][1][105:, :40].astype(int) - 128).max() > 60
    assert np.abs(found[-1][1].astype(int) - 128).max() < 20


def test_a_pixel_becomes_the_smallest_video(tmp_path: Path) -> None:
    list(annotated(grey(2, 1, 1), tmp_path / "o.mp4", lambda _: TOP))
    assert [image.shape for _, image in read(tmp_path / "o.mp4")] == 2 * [(2, 2, 3)]


def test_a_closed_stream_leaves_a_whole_video(tmp_path: Path) -> None:
    frames = annotated(grey(9, 64, 64), tmp_path / "o.mp4", lambda _: TOP)
    for _ in range(4):
        next(frames)
    assert not (tmp_path / "o.mp4").exists()
    frames.close()
    assert len(read(tmp_path / "o.mp4")) == 4


def test_a_stream_that_breaks_off_leaves_a_whole_video(tmp_path: Path) -> None:
    def unplugged():
        yield from grey(5, 64, 64)
        raise InputError("unplugged")

    with pytest.raises(InputError, match="unplugged"):
        list(annotated(unplugged(), tmp_path / "o.mp4", lambda _: TOP))
    assert len(read(tmp_path / "o.mp4")) == 5


def test_no_frames_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"o\.mp4 is not written: there are no frames"):
        list(annotated([], tmp_path / "o.mp4", lambda _: TOP))
    with pytest.raises(InputError, match=r"cannot write .*o\.mp4: No such file"):
        list(annotated(grey(1, 8, 8), tmp_path / "none" / "o.mp4", lambda _: TOP))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(64, 48), (1920, 1080), (10, 300), (2, 2)])
def test_the_box_fits_into_half_of_the_frame(size: tuple[int, int]) -> None:
    name = "Pretending to put something \x1b[31m on a surface 日本 " * 3
    box = overlay(tuple((name, 1 / k) for k in range(1, 20)), size)
    assert box.width <= size[0]
    assert box.height <= max(size[1] / 2, 9)
