"""Videos at another frame rate: the frames that torchvision takes, and those of files with uneven times."""

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.datasets.samplers import UniformClipSampler
from torchvision.datasets.video_utils import VideoClips
from video_files import write_frames, write_video

from common.errors import InputError
from datasets.lists import VideoRecord
from datasets.reading.readers import open_record
from datasets.reading.renumbered import at_rate, frames_at_rate
from datasets.reading.video_decoding import decode_video
from datasets.reading.video_file import VideoFile
from datasets.sampling import dense_starts
from datasets.windows import Window

RATES = {10: 10, 15: 15, 23.976: Fraction(24000, 1001), 25: 25, 29.97: Fraction(30000, 1001), 30: 30, 50: 50, 60: 60}


def times_of(rate: Fraction | int, num_frames: int) -> np.ndarray:
    return np.array([float(i / Fraction(rate)) for i in range(num_frames)])


@pytest.mark.parametrize(("target", "length", "clips"), [(15, 16, 5), (7.5, 16, 5), (15, 32, 12)])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("n", [299, 300, 301])
def test_the_clips_of_a_test_are_those_of_torchvision(
    rate: float, n: int, target: float, length: int, clips: int
) -> None:
    """R(2+1)D, MViTv2 and Video Swin as published: frame rate, frames per clip and clips per video."""
    metadata = {"video_paths": ["v"], "video_pts": [torch.arange(n)], "video_fps": [float(RATES[rate])]}
    theirs = VideoClips(["v"], length, 1, target, metadata)
    expected = [theirs.clips[0][index].tolist() for index in UniformClipSampler(theirs, clips)]
    numbers = frames_at_rate(times_of(RATES[rate], n), n, target)
    starts = (dense_starts(len(numbers), length, 1, 1, clip, clips) for clip in range(clips))
    assert [numbers[start].tolist() for start in starts] == expected


@given(st.integers(1, 400), st.sampled_from(list(RATES)), st.sampled_from([7.5, 15]))
def test_every_length_of_torchvisions_resampling(n: int, rate: float, target: float) -> None:
    with warnings.catch_warnings(action="ignore"):  # of videos without a clip
        theirs, _ = VideoClips.compute_clips_for_video(torch.arange(n), 1, 1, float(RATES[rate]), target)
    numbers = frames_at_rate(times_of(RATES[rate], n), n, target).tolist()
    assert numbers == theirs.flatten().tolist() or (numbers, len(theirs)) == ([0], 0)


@given(st.lists(st.floats(0.001, 2), max_size=40), st.floats(0.1, 100))
def test_uneven_times(gaps: list[float], rate: float) -> None:
    """At each moment the last frame that has begun."""
    times = np.cumsum([0.0, *gaps])
    numbers = frames_at_rate(times, len(times), rate)
    for i, number in enumerate(numbers):
        assert times[number] <= i / rate + 1e-6
        assert number == len(times) - 1 or times[number + 1] > i / rate
    shown = times[-1] + (times[-1] / len(gaps) if gaps else 0)
    assert abs(len(numbers) - shown * rate) <= 1 or len(numbers) == 1


def test_times_that_are_rounded_to_milliseconds() -> None:
    """As in WebM files: 0, 0.033, 0.067, ..."""
    times = np.round(np.arange(90) / 30, 3)
    assert frames_at_rate(times, 90, 15, tick=0.001).tolist() == list(range(0, 90, 2))


@pytest.mark.parametrize("n", [2, 3, 50])
def test_a_clock_that_counts_frames(n: int) -> None:
    for rate in (4.0, 15.0, 30.0):
        assert (
            frames_at_rate(np.arange(n) / 10, n, rate, 0.1).tolist()
            == frames_at_rate(np.arange(n) / 10, n, rate, 0.001).tolist()
        )


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "libx264"), ("a.avi", "mpeg4")]
)
def test_frames_of_a_video_file(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(tmp_path / name, 20, codec=codec, rate=10)
    decoded = list(decode_video(path))
    for rate, expected in ((4.0, [0, 2, 5, 7, 10, 12, 15, 17]), (20.0, sorted([*range(20), *range(20)]))):
        reader = at_rate(VideoFile(path), rate)
        assert reader.num_frames == len(expected)
        frames = dict(reader.frames(range(reader.num_frames)))
        assert all(np.array_equal(frames[i], decoded[number]) for i, number in enumerate(expected))


def test_a_file_that_breaks_off_keeps_its_promised_frames(tmp_path: Path) -> None:
    """In training the nearest readable frame takes the place of a missing one; a test stops."""
    path = write_video(tmp_path / "a.mp4", 40, codec="libx264", rate=10)
    reader = at_rate(VideoFile(path, 60), 5.0)
    assert reader.num_frames == 30
    replaced: list[str] = []
    assert sorted(number for number, _ in reader.frames([0, 29], replaced)) == [0, 29]
    assert replaced == [f"{path} frame 59"]
    with pytest.raises(InputError, match="frame 59 of 60 cannot be read"):
        list(reader.frames([0, 29]))


def test_a_listed_number_of_frames_limits_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 40, codec="libx264", rate=10)
    assert at_rate(VideoFile(path, 20), 5.0).num_frames == 10


def test_a_video_of_one_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 1, codec="libx264")
    assert [number for number, _ in at_rate(VideoFile(path), 15.0).frames([0])] == [0]


def test_wrong_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 3, codec="libx264", times=[0, 1, 10**8])
    with pytest.raises(InputError, match=r"a\.mkv: .* seconds, so their times are wrong"):
        at_rate(VideoFile(path), 15.0)


def test_images_have_no_times(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", 5)
    reader = open_record(tmp_path, VideoRecord("a", 5, 0), "{:05d}.jpg")
    assert at_rate(reader, 0) is reader
    with pytest.raises(InputError, match=r"a has images.*--fps 15\) and give --frame_rate 0"):
        at_rate(reader, 15.0)


def test_a_window_of_a_long_video() -> None:
    frames = [(time / 10, np.full((2, 2, 3), time)) for time in range(100)]
    reader = at_rate(Window(Path("v"), 5.0, 7.0, frames), 5.0)
    assert [int(image[0, 0, 0]) for _, image in reader.frames(range(reader.num_frames))] == list(range(50, 70, 2))
