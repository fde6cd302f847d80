"""Which frames of a video a clip takes. Pure functions; frame numbers are 0-based.

A clip has T segments of L adjacent frames. n is the video's number of frames. The semantics are the official ones
(TSN, TSM, TDN, H2CN) but for videos that are too short: the official code starts all their segments at the first
frame; here the starts are spread evenly over what there is.
"""

import zlib

import numpy as np

from common.errors import InputError

Rng = np.random.Generator
FRAME_ORDERS = ("normal", "reversed", "shuffled")


def train_starts(num_frames: int, num_segments: int, frames_per_segment: int, rng: Rng) -> np.ndarray:
    """Random segment starts for training: one in each of T equal parts of the video.

    Args:
        num_frames: n.
        num_segments: T.
        frames_per_segment: L.
        rng: source of the draw.

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
        (T,) sorted starts: int(tick/2 + tick*k) with tick = (n - L + 1) / T, where n > T + L - 1.
    """
    _require_positive(num_segments, frames_per_segment)
    if num_frames <= num_segments + frames_per_segment - 1:
        # As many different starts as possible; at the limit, n = T + L - 1, this meets the formula below.
        return _spread(max(num_frames - frames_per_segment + 1, min(num_frames, num_segments)), num_segments)
    tick = (num_frames - frames_per_segment + 1) / num_segments
    return np.array([int(tick / 2 + tick * k) for k in range(num_segments)])


def segment_indices(starts: np.ndarray, frames_per_segment: int, num_frames: int) -> np.ndarray:
    """The frames of the segments: (T,) starts -> (T, L), past the end the last frame again."""
    return np.minimum(starts[:, None] + np.arange(frames_per_segment), num_frames - 1)


def reorder(indices: np.ndarray, order: str, rng: Rng) -> np.ndarray:
    """The same frames in another order, to see whether a network uses time at all.

    Args:
        indices: (T, L).
        order: "normal"; "reversed": the clip played backwards; "shuffled": the segments, and the frames of each
            segment among themselves, in random order. Adjacent frames stay together, so that the differences that a
            network sees in a segment remain small.
        rng: source of the shuffle.

    Returns:
        (T, L).
    """
    if order == "reversed":
        return indices[::-1, ::-1]
    if order == "shuffled":
        return rng.permuted(rng.permutation(indices), axis=1)
    return indices


def sample_rng(seed: int, epoch: int, index: int) -> Rng:
    """The source of all draws of one training sample: it depends on these three alone, not on the worker."""
    return np.random.default_rng([seed, epoch, index])


def clip_rng(seed: int, video_id: str, clip: int) -> Rng:
    """The source of the random starts of clip number `clip` of a video, the same on any machine and in any order."""
    return np.random.default_rng([seed, zlib.crc32(video_id.encode()), clip])


def _spread(positions: int, num_segments: int) -> np.ndarray:
    """T starts spread evenly over 0 ... positions-1, sorted, with repeats where positions < T."""
    return (2 * np.arange(num_segments) + 1) * positions // (2 * num_segments)


def _require_positive(num_segments: int, frames_per_segment: int) -> None:
    if num_segments < 1 or frames_per_segment < 1:
        raise InputError(
            f"a clip of {num_segments} segments (--num_segments) of {frames_per_segment} frames is empty; "
            "both are 1 or more"
        )
