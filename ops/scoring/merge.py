"""Merges views into one score per video: softmax of each view, mean over views, weighted mean over models.

With several labels per video: the sigmoid of each view instead.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from common.errors import InputError, quoted
from ops.scoring.metrics import accuracies
from ops.scoring.multi_label import probabilities
from ops.scoring.pickles import Scores

_ROWS = 1024  # videos in memory as float64 at a time


class Merged(NamedTuple):
    """The merged views of a model, or of several models."""

    probabilities: np.ndarray  # (M, K)
    by_clips: list[dict[str, float]]  # accuracies with the first clip, the first two, ...; empty without labels


def merge(models: Sequence[Sequence[Sequence[Scores]]], coeff: Sequence[float]) -> list[Merged]:
    """Merge each model and, if there are several, all of them weighted by `coeff`, which come last.

    `models` has for each model its clips, and for each clip its crops. The first view's order of videos is used.
    """
    first = models[0][0][0]
    by_clips = []
    for own in zip(*(merge_clips(clips, first) for clips in models), strict=True):
        merged = [*own, merge_models(own, coeff)] if len(own) > 1 else own
        by_clips.append([accuracies(probabilities, first.labels) for probabilities in merged])
    return [Merged(own, list(rows)) for own, rows in zip(merged, zip(*by_clips, strict=True), strict=True)]


def merge_clips(clips: Sequence[Sequence[Scores]], like: Scores) -> Iterator[np.ndarray]:
    """Mean of one model's class probabilities over the views of its first clip, of its first two clips, and so on.

    Args:
        clips: for each clip the views of its crops.
        like: the view whose order of videos is used.

    Yields:
        (M, K) float64 probabilities.

    Raises:
        InputError: videos, labels or class counts differ; the message names the file.
    """
    total, count = np.zeros(like.logits.shape), 0
    for clip in clips:
        for view in clip:
            order = order_like(like, view)
            for start in range(0, len(order), _ROWS):
                rows = slice(start, start + _ROWS)
                logits = torch.from_numpy(view.logits[order[rows]])
                total[rows] += probabilities(logits, multi_label=like.multi_label).numpy()
        count += len(clip)
        yield total / count


def merge_models(models: Sequence[np.ndarray], coeff: Sequence[float]) -> np.ndarray:
    """Weighted mean of the models' probabilities, (M, K) each; `coeff` are relative weights."""
    weights = np.asarray(coeff, np.float64) / np.sum(coeff)
    return sum(weight * model for weight, model in zip(weights, models, strict=True))


def order_like(first: Scores, other: Scores) -> np.ndarray:
    """(M,) indices of the first view's videos in another one: by id, or by position if a file has no ids.

    Raises:
        InputError: they have different videos, labels or class counts.
    """
    pair = f"{other.path} and {first.path}"
    num_class, others = first.logits.shape[1], other.logits.shape[1]
    if num_class != others:
        raise InputError(f"{pair} differ in the number of classes, {others} and {num_class}: not the same data set")
    if len(other.labels) != len(first.labels):
        raise InputError(f"{pair} differ in the number of videos, {len(other.labels)} and {len(first.labels)}")
    if other.multi_label != first.multi_label:
        raise InputError(f"{pair}: one has several labels per video and one has a single label; merge them separately")
    if other.has_labels != first.has_labels:
        raise InputError(f"of {pair}, one has labels and one has none; score both again with the same list")
    order = np.arange(len(first.labels))
    if first.video_ids is not None and other.video_ids is not None:
        index = {video: i for i, video in enumerate(other.video_ids)}
        missing = [video for video in first.video_ids if video not in index]
        if missing:
            raise InputError(f"{pair} have different videos: {quoted(missing[0])} is in the second only")
        order = np.array([index[video] for video in first.video_ids])
    labels = other.labels[order]
    for i in np.flatnonzero((labels != first.labels).reshape(len(order), -1).any(1))[:1]:
        video = first.video_ids[i] if first.video_ids else f"number {i + 1}"
        both = [np.flatnonzero(own[i]).tolist() if own.ndim == 2 else own[i] for own in (labels, first.labels)]
        raise InputError(
            f"{pair} have different labels for video {video}, {both[0]} and {both[1]}; score both again "
            "with the same list"
        )
    return order
