"""Samples the frame numbers of clips for training, validation and tests. Pure functions; frame numbers are 0-based.

A clip has T segments of L adjacent frames; n is the video's number of frames. Segments are spread over the video, or
start at a fixed distance (dense clips). The rules are the official ones (TSN, TSM, TDN, H2CN; dense: TSM, torchvision),
except for spread segments in videos that are too short: the official code starts all of them at the first frame; here
they are spread evenly, or in training at random if the video has at least L frames.
"""

import zlib

import numpy as np

Rng = np.random.Generator
FRAME_ORDERS = ("normal", "reversed", "shuffled")
TRAIN_SAMPLINGS = ("random", "dense")
TEST_SAMPLINGS = ("auto", "centre", "random", "even", "dense")


def train_starts(num_frames: int, num_segments: int, frames_per_segment: int, rng: Rng) -> np.ndarray:
    """Random segment starts for training: one in each of T equal parts of the video.

    Returns:
        (T,) sorted starts. With a = (n - L + 1) // T: segment k starts at k*a + randint(a) if a > 0, else the starts
        are T sorted draws from [0, n - L], and if n < L spread evenly.
    """
    part = (num_frames - frames_per_segment + 1) // num_segments
    if part > 0:
        return np.arange(num_segments) * part + rng.integers(part, size=num_segments)
    if num_frames < frames_per_segment:
        return _spread(num_frames, num_segments)
    return np.sort(rng.integers(num_frames - frames_per_segment + 1, size=num_segments))


def centre_starts(num_frames: int, num_segments: int, frames_per_segment: int) -> np.ndarray:
    """Segment starts for validation and the one-clip test: the centre of each of T equal parts.

    Returns:
        (T,) sorted starts: int(tick/2 + tick*k) with tick = (n - L + 1) / T, if n > T + L - 1.
    """
    return even_starts(num_frames, num_segments, frames_per_segment, 1, 2)  # half-way into each part


def even_starts(num_frames: int, num_segments: int, frames_per_segment: int, clip: int, clips: int) -> np.ndarray:
    """Segment starts of test clip `clip` of `clips`: at the fraction clip / clips of each of T equal parts.

    Clip 0 starts at the first frame of every part. With two clips this is TSM's `twice_sample`; SV-Mix uses any number.

    Returns:
        (T,) sorted starts: int(tick*clip/clips + tick*k) with tick = (n - L + 1) / T, if n > T + L - 1.
    """
    if num_frames <= num_segments + frames_per_segment - 1:
        # As many different starts as possible; at the limit, n = T + L - 1, they equal those of the formula below.
        positions = max(num_frames - frames_per_segment + 1, min(num_frames, num_segments))
        return _spread(positions, num_segments, clip, clips)
    tick = (num_frames - frames_per_segment + 1) / num_segments
    return np.array([int(tick * clip / clips + tick * k) for k in range(num_segments)])


def dense_starts(
    num_frames: int, num_segments: int, frames_per_segment: int, stride: int, clip: int = 0, clips: int = 1,
    rng: Rng | None = None,
) -> np.ndarray:  # fmt: skip
    """Segment starts, S = `stride` frames apart, of dense clip `clip` of `clips`, or of one at a random place (`rng`).

    A clip covers W = (T - 1)*S + max(S, L) frames; for L <= S these are T*S, such as TSM's 64. The first of several
    clips begins with the video and the last ends with it: floor(clip * (n - W) / (clips - 1)); one is in the middle.

    Returns:
        (T,) starts. A video shorter than W starts again after its last frame, as in TSM: starts are modulo n.
    """
    last = max(num_frames - (num_segments - 1) * stride - max(stride, frames_per_segment), 0)
    first = last * clip // (clips - 1) if clips > 1 else last // 2
    if rng is not None:
        first = int(rng.integers(last + 1))
    return (first + np.arange(num_segments) * stride) % num_frames


def segment_indices(starts: np.ndarray, frames_per_segment: int, num_frames: int) -> np.ndarray:
    """The frames of the segments: (T,) starts -> (T, L). Past the end, the last frame is repeated."""
    return np.minimum(starts[:, None] + np.arange(frames_per_segment), num_frames - 1)


def reorder(indices: np.ndarray, order: str, rng: Rng) -> np.ndarray:
    """The same frames (T, L) in another order, to test whether a network uses time at all.

    `order`: "normal"; "reversed": the clip played backwards; "shuffled": the segments, and the frames within each
    segment, in random order. Adjacent frames stay in one segment, so that the differences within it stay small.
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


def _spread(positions: int, num_segments: int, clip: int = 1, clips: int = 2) -> np.ndarray:
    """T starts spread evenly over 0 ... positions-1, sorted, with repeats if positions < T."""
    return (clips * np.arange(num_segments) + clip) * positions // (clips * num_segments)
