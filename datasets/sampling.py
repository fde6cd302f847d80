"""Samples the frame numbers of clips for training, validation and tests. Pure functions; frame numbers are 0-based.

A clip has T segments of L adjacent frames; n is the video's number of frames. The rules are the official ones (TSN,
TSM, TDN, H2CN), except for videos that are too short: the official code starts all their segments at the first frame;
here the starts are spread evenly.
"""

import zlib

import numpy as np

from common.errors import InputError

Rng = np.random.Generator
FRAME_ORDERS = ("normal", "reversed", "shuffled")


def train_starts(num_frames: int, num_segments: int, frames_per_segment: int, rng: Rng) -> np.ndarray:
    """Random segment starts for training: one in each of T equal parts of the video.

    Returns:
        (T,) sorted starts. With a = (n - L + 1) // T: segment k starts at k*a + randint(a) if a > 0, else the starts
        are T sorted draws from [0, n - L].
    """
    _require_positive(num_segments, frames_per_segment)
    part = (num_frames - frames_per_segment + 1) // num_segments
    if part > 0:
        return np.arange(num_segments) * part + rng.integers(part, size=num_segments)
    if num_frames < frames_per_segment:
        return _spread(num_frames, num_segments)
    return np.sort(rng.integers(num_frames - frames_per_segment + 1, size=num_segments))


def center_starts(num_frames: int, num_segments: int, frames_per_segment: int) -> np.ndarray:
    """Segment starts for validation and the one-clip test: the centre of each of T equal parts.

    Returns:
        (T,) sorted starts: int(tick/2 + tick*k) with tick = (n - L + 1) / T, if n > T + L - 1.
    """
    _require_positive(num_segments, frames_per_segment)
    if num_frames <= num_segments + frames_per_segment - 1:
        # As many different starts as possible; at the limit, n = T + L - 1, they equal those of the formula below.
        return _spread(max(num_frames - frames_per_segment + 1, min(num_frames, num_segments)), num_segments)
    tick = (num_frames - frames_per_segment + 1) / num_segments
    return np.array([int(tick / 2 + tick * k) for k in range(num_segments)])


def segment_indices(starts: np.ndarray, frames_per_segment: int, num_frames: int) -> np.ndarray:
    """The frames of the segments: (T,) starts -> (T, L). Past the end, the last frame is repeated."""
    return np.minimum(starts[:, None] + np.arange(frames_per_segment), num_frames - 1)


def reorder(indices: np.ndarray, order: str, rng: Rng) -> np.ndarray:
    """The same frames (T, L) in another order, to test whether a network uses time at all.

    Args:
        indices: (T, L).
        order: "normal"; "reversed": the clip played backwards; "shuffled": the segments, and the frames within each
            segment, in random order. Adjacent frames stay in one segment, so that the differences within it stay small.
        rng: for the shuffle.
    """
    if order == "reversed":
        return indices[::-1, ::-1]
    if order == "shuffled":
        return rng.permuted(rng.permutation(indices), axis=1)
    return indices


def sample_rng(seed: int, epoch: int, index: int) -> Rng:
    """The generator of one training sample: it depends on these three alone, not on the worker."""
    return np.random.default_rng([seed, epoch, index])


def clip_rng(seed: int, video_id: str, clip_index: int) -> Rng:
    """The generator of a test clip's random starts: the same on any machine and in any order."""
    return np.random.default_rng([seed, zlib.crc32(video_id.encode(errors="surrogatepass")), clip_index])


def _spread(positions: int, num_segments: int) -> np.ndarray:
    """T starts spread evenly over 0 ... positions-1, sorted, with repeats if positions < T."""
    return (2 * np.arange(num_segments) + 1) * positions // (2 * num_segments)


def _require_positive(num_segments: int, frames_per_segment: int) -> None:
    if num_segments < 1 or frames_per_segment < 1:
        raise InputError(
            f"a clip of {num_segments} segments (--num_segments) of {frames_per_segment} frames is empty; "
            "both must be 1 or more"
        )
