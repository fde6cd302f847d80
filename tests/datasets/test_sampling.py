"""Sampled frames: the official formulas, and every length of video."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.sampling import (
    centre_starts,
    clip_rng,
    dense_starts,
    even_starts,
    reorder,
    sample_rng,
    segment_indices,
    train_starts,
)

LENGTHS = st.integers(1, 400)
SEGMENTS = st.integers(1, 32)
FRAMES = st.sampled_from([1, 5])
STRIDES = st.integers(1, 40)
CLIPS = st.integers(1, 12).flatmap(lambda clips: st.tuples(st.integers(0, clips - 1), st.just(clips)))


@given(LENGTHS, SEGMENTS, FRAMES, st.integers(0, 100))
def test_every_length_gives_sorted_frames_in_range(n: int, segments: int, frames: int, seed: int) -> None:
    for starts in (train_starts(n, segments, frames, sample_rng(seed, 0, 0)), centre_starts(n, segments, frames)):
        indices = segment_indices(starts, frames, n)
        assert indices.shape == (segments, frames)
        assert indices.min() >= 0
        assert indices.max() < n
        assert (np.diff(indices, axis=0) >= 0).all()
        assert (np.diff(indices, axis=1) >= 0).all()


@given(LENGTHS, SEGMENTS, FRAMES)
def test_centre_starts_are_the_official_ones_if_the_video_is_long_enough(n: int, segments: int, frames: int) -> None:
    if n > segments + frames - 1:
        tick = (n - frames + 1) / float(segments)
        official = [int(tick / 2.0 + tick * x) for x in range(segments)]
        assert centre_starts(n, segments, frames).tolist() == official


@given(st.integers(40, 400), st.sampled_from([8, 16]), FRAMES, st.integers(0, 50))
def test_training_starts_are_one_in_each_part(n: int, segments: int, frames: int, seed: int) -> None:
    part = (n - frames + 1) // segments
    offsets = train_starts(n, segments, frames, sample_rng(seed, 1, 2)) - np.arange(segments) * part
    assert (offsets >= 0).all()
    assert (offsets < part).all()


def test_every_position_of_a_part_is_drawn() -> None:
    draws = {train_starts(28, 8, 5, sample_rng(0, epoch, 0))[2] for epoch in range(60)}
    assert draws == {6, 7, 8}  # a = 24 // 8 = 3


@pytest.mark.parametrize(
    ("n", "segments", "frames", "expected"),
    [
        (40, 8, 5, [2, 6, 11, 15, 20, 24, 29, 33]),
        (8, 8, 1, [0, 1, 2, 3, 4, 5, 6, 7]),
        (12, 8, 5, [0, 1, 2, 3, 4, 5, 6, 7]),
        (4, 8, 5, [0, 0, 1, 1, 2, 2, 3, 3]),
        (1, 3, 5, [0, 0, 0]),
    ],
)
def test_centre_starts_by_hand(n: int, segments: int, frames: int, expected: list[int]) -> None:
    assert centre_starts(n, segments, frames).tolist() == expected


def test_a_segment_past_the_end_repeats_the_last_frame() -> None:
    assert segment_indices(np.array([0, 2]), 3, 4).tolist() == [[0, 1, 2], [2, 3, 3]]


def test_short_training_videos_draw_sorted_starts_among_whole_segments() -> None:
    starts = np.concatenate([train_starts(9, 8, 5, sample_rng(0, epoch, 0)) for epoch in range(30)])
    assert set(starts.tolist()) == {0, 1, 2, 3, 4}


def test_random_clips_are_repeatable_and_differ() -> None:
    draw = [train_starts(300, 8, 5, clip_rng(0, "video", clip)).tolist() for clip in (0, 0, 1)]
    assert draw[0] == draw[1] != draw[2]
    assert draw[0] != train_starts(300, 8, 5, clip_rng(0, "other", 0)).tolist()
    assert draw[0] != train_starts(300, 8, 5, clip_rng(1, "video", 0)).tolist()
    clip_rng(0, "\udcff.mp4", 0)  # a file's name need not be valid text


def test_a_shuffle_moves_whole_segments_and_the_frames_in_them() -> None:
    indices = np.arange(40).reshape(8, 5)
    shuffled = reorder(indices, "shuffled", sample_rng(0, 0, 0))
    assert sorted(map(sorted, shuffled.tolist())) == indices.tolist()
    assert (shuffled // 5)[:, 0].tolist() != list(range(8))
    assert any(row.tolist() != sorted(row) for row in shuffled)
    assert reorder(indices, "reversed", sample_rng(0, 0, 0)).flatten().tolist() == list(range(39, -1, -1))


@given(LENGTHS, SEGMENTS, FRAMES, CLIPS)
def test_even_clips_of_every_length(n: int, segments: int, frames: int, clip: tuple[int, int]) -> None:
    starts = even_starts(n, segments, frames, *clip)
    assert starts.shape == (segments,)
    assert 0 <= starts.min() <= starts.max() < n
    assert (np.diff(starts) >= 0).all()
    if n > segments + frames - 1:
        part, share = (n - frames + 1) / segments, clip[0] / clip[1]
        assert np.abs(starts / part - np.arange(segments) - share).max() < 1 / part + 1e-9


@given(st.integers(20, 400), st.sampled_from([8, 16]))
def test_two_even_clips_are_those_of_tsm(n: int, segments: int) -> None:
    tick = n / segments
    twice = [[int(tick * x) for x in range(segments)], [int(tick / 2.0 + tick * x) for x in range(segments)]]
    assert [even_starts(n, segments, 1, clip, 2).tolist() for clip in (0, 1)] == twice
    assert even_starts(n, segments, 1, 1, 2).tolist() == centre_starts(n, segments, 1).tolist()


@given(LENGTHS, SEGMENTS, FRAMES, STRIDES, CLIPS, st.integers(0, 100))
def test_dense_clips_of_every_length(
    n: int, segments: int, frames: int, stride: int, clip: tuple[int, int], seed: int
) -> None:
    """All frames exist; the interval is exact where the video is long enough, and a shorter one begins again."""
    window = (segments - 1) * stride + max(stride, frames)
    for starts in (
        dense_starts(n, segments, frames, stride, *clip),
        dense_starts(n, segments, frames, stride, rng=sample_rng(seed, 0, 0)),
    ):
        indices = segment_indices(starts, frames, n)
        assert indices.shape == (segments, frames)
        assert 0 <= indices.min() <= indices.max() < n
        if n >= window:
            assert (np.diff(indices, axis=0) == stride).all()
            assert (np.diff(indices, axis=1) == 1).all()
        else:
            assert starts.tolist() == [k * stride % n for k in range(segments)]


@given(LENGTHS, SEGMENTS, FRAMES, STRIDES, st.integers(2, 12))
def test_dense_clips_reach_both_ends(n: int, segments: int, frames: int, stride: int, clips: int) -> None:
    first, last = (dense_starts(n, segments, frames, stride, clip, clips) for clip in (0, clips - 1))
    assert first[0] == 0
    if n >= (segments - 1) * stride + max(stride, frames):
        assert last[-1] + max(stride, frames) == n
    middle = dense_starts(n, segments, frames, stride, 0, 1)
    assert middle[0] == (first[0] + last[0]) // 2


@pytest.mark.parametrize("segments", [8, 16])
@given(n=LENGTHS)
def test_dense_clips_are_those_of_tsm(segments: int, n: int) -> None:
    """Ten starts of a window of 64 frames, by its formula."""
    positions, stride = max(1, 1 + n - 64), 64 // segments
    expected = [
        [(k * stride + start) % n for k in range(segments)] for start in np.linspace(0, positions - 1, 10, dtype=int)
    ]
    assert [dense_starts(n, segments, 1, stride, clip, 10).tolist() for clip in range(10)] == expected


def test_every_place_of_a_dense_clip_is_drawn() -> None:
    draws = {int(dense_starts(20, 4, 5, 4, rng=sample_rng(0, epoch, 0))[0]) for epoch in range(60)}
    assert draws == {0, 1, 2, 3}  # 3 * 4 + 5 = 17 frames of 20


def test_dense_clips_by_hand() -> None:
    """L = 5 frames that overlap at S = 2; a video of six frames, whose segments repeat its last frame."""
    starts = dense_starts(20, 3, 5, 2, 1, 2)
    assert starts.tolist() == [11, 13, 15]
    assert segment_indices(starts, 5, 20)[-1].tolist() == [15, 16, 17, 18, 19]
    short = segment_indices(dense_starts(6, 3, 5, 4, 0, 1), 5, 6)
    assert short.tolist() == [[0, 1, 2, 3, 4], [4, 5, 5, 5, 5], [2, 3, 4, 5, 5]]
