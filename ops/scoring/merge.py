"""Views -> one score a video: softmax of each view, mean over the views of a model, weighted mean over models."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from common.errors import InputError, quoted
from ops.scoring.pickles import Scores


def merge_views(views: Sequence[Scores]) -> np.ndarray:
    """Mean of the views' class probabilities.

    Args:
        views: of one model, in any order of videos.

    Returns:
        (M, K) float64 probabilities in the first view's order of videos.

    Raises:
        InputError: videos, labels or class counts differ; the message names the file.
    """
    return next(merge_clips([views], views[0]))


def merge_clips(clips: Sequence[Sequence[Scores]], like: Scores) -> Iterator[np.ndarray]:
    """Mean of the class probabilities over the views of the first clip, of the first two clips, and so on.

    Args:
        clips: of one model: for each clip its crops.
        like: the view whose order of videos is kept.

    Yields:
        (M, K) float64 probabilities.

    Raises:
        InputError: as `merge_views`.
    """
    first, count = clips[0][0], 0
    order = order_like(like, first)
    total = np.zeros(like.logits.shape)
    for clip in clips:
        for view in clip:
            places = order_like(first, view)[order]
            for start in range(0, len(total), _ROWS):
                rows = slice(start, start + _ROWS)
                total[rows] += torch.from_numpy(view.logits[places[rows]]).double().softmax(-1).numpy()
        count += len(clip)
        yield total / count


_ROWS = 1024  # videos at a time


def merge_models(models: Sequence[np.ndarray], coeff: Sequence[float]) -> np.ndarray:
    """Weighted mean of the models' probabilities.

    Args:
        models: (M, K) each, of the same videos in the same order.
        coeff: one weight each; they are divided by their sum.
    """
    weights = np.asarray(coeff, np.float64) / np.sum(coeff)
    merged = weights[0] * models[0]
    for weight, model in zip(weights[1:], models[1:], strict=True):
        merged += weight * model
    return merged


def order_like(first: Scores, other: Scores) -> np.ndarray:
    """Places (M,) of the first view's videos in another one: by id, or by position where a file has no ids.

    Raises:
        InputError: the two are not of the same videos.
    """
    pair = f"{other.path} and {first.path}"
    if other.logits.shape[1] != first.logits.shape[1]:
        counts = f"{other.logits.shape[1]} and {first.logits.shape[1]}"
        raise InputError(f"{pair} differ in the number of classes, {counts}: they are of different data sets")
    if len(other.labels) != len(first.labels):
        raise InputError(f"{pair} differ in the number of videos, {len(other.labels)} and {len(first.labels)}")
    order = np.arange(len(first.labels))
    if first.video_ids is not None and other.video_ids is not None:
        places = {video: place for place, video in enumerate(other.video_ids)}
        missing = [video for video in first.video_ids if video not in places]
        if missing:
            raise InputError(f"{pair} are of different videos: {quoted(missing[0])} is in the second only")
        order = np.array([places[video] for video in first.video_ids])
    differ = np.flatnonzero(other.labels[order] != first.labels)
    if differ.size:
        video = first.video_ids[differ[0]] if first.video_ids else f"in record {differ[0]}"
        labels = f"{other.labels[order][differ[0]]} and {first.labels[differ[0]]}"
        raise InputError(f"{pair} give video {video} different labels, {labels}: they were made with different lists")
    return order
