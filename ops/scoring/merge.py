"""Reads the scored views of models, and merges them into one score per video.

That is the softmax of each view (its sigmoid with several labels per video), the mean over views, and the weighted mean
over models.
"""

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from common.errors import InputError, command, counted, few, quoted
from ops.scoring.metrics import accuracies, probabilities
from ops.scoring.pickles import Scores, pickle_path, read_scores
from ops.scoring.protocol import PROTOCOL, describe_protocol, read_protocol

_ROWS = 1024  # videos in memory as float64 at a time


class ScoredModel(NamedTuple):
    """The views of one model."""

    folder: Path
    clips: Sequence[Sequence[Scores]]  # for each clip its crops
    protocol: dict[str, Any]  # empty for files of the official code

    def describe(self) -> str:
        views = clips_by_crops(len(self.clips), len(self.clips[0]))
        if not self.protocol:
            return f"{self.folder}: {views}; protocol unknown (no {PROTOCOL})"
        return f"{self.folder}: {describe_protocol(self.protocol)}, {views}, weights {self.protocol['weights']}"


def clips_by_crops(clips: int, crops: int) -> str:
    return f"{counted(clips, 'clip')} x {counted(crops, 'crop')}"


def find_views(folder: Path) -> tuple[int, int]:
    """Return the numbers of clips and of crops of which a folder has pickles."""
    names = [re.fullmatch(r"(\d+)_crop(\d+)\.pkl", path.name) for path in folder.glob("*_crop*.pkl")]
    numbers = [(int(name[1]), int(name[2])) for name in names if name]
    if not numbers:
        fault = "has no score pickles" if folder.is_dir() else "is not a folder"
        raise InputError(f"{folder} {fault}; give the --output_dir of a test script")
    return 1 + max(clip for clip, _ in numbers), 1 + max(crop for _, crop in numbers)


def read_model(folder: Path, num_clips: int, crops: int) -> ScoredModel:
    """Read these views of a model; log it if the folder has more."""
    paths = [[pickle_path(folder, clip, crop) for crop in range(crops)] for clip in range(num_clips)]
    missing = [(clip, path) for clip, row in enumerate(paths) for path in row if not path.exists()]
    if missing:
        clips = ",".join(str(clip) for clip in sorted({clip for clip, _ in missing}))
        script = "test_models_center_crop.py" if crops == 1 else "test_models_three_crops.py"
        raise InputError(
            f"{len(missing)} of {num_clips * crops} views are missing, the first is {missing[0][1]}; create them with "
            f"{command(script, '--weights', 'CKPT', '--clip_index', clips, '--output_dir', folder)}, or lower "
            "--num_clips or --test_crops"
        )
    found = find_views(folder)
    if found[0] > num_clips or found[1] > crops:
        logging.info("%s: merging %s of %s", folder, clips_by_crops(num_clips, crops), clips_by_crops(*found))
    protocol = read_protocol(folder)
    views = [[read_scores(path) for path in row] for row in paths]
    known, scored = len(protocol.get("class_names", [])), views[0][0].logits.shape[1]
    if protocol and known != scored:
        raise InputError(
            f"{folder}: {PROTOCOL} has {counted(known, 'class name')}, but the scores have "
            f"{counted(scored, 'class')}; test the model again"
        )
    return ScoredModel(folder, views, protocol)


def require_same_data(models: Sequence[ScoredModel]) -> None:
    """Make sure that all models were tested on the same list with the same classes."""
    first = models[0]
    for other in models[1:]:
        for name, what in (("dataset", "data set"), ("class_names", "class names"), ("list_hash", "list of videos")):
            if first.protocol and other.protocol and first.protocol[name] != other.protocol[name]:
                raise InputError(
                    f"{first.folder} and {other.folder} differ in their {what}; test both models on the same list "
                    "before merging them"
                )


def warn_of_repeated_scores(models: Sequence[ScoredModel]) -> None:
    """Warn of views with the same scores, such as copies of a pickle: each is counted."""
    first: dict[bytes, Path] = {}
    repeated = []
    for view in (view for model in models for clip in model.clips for view in clip):
        other = first.setdefault(hashlib.sha256(view.logits.tobytes()).digest(), view.path)
        if other != view.path:
            repeated.append(f"{view.path} has the scores of {other}")
    if repeated:
        logging.warning("warning: repeated scores in %s: %s", counted(len(repeated), "view"), few(repeated, 1))


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

    `clips` has for each clip the views of its crops. Each mean is (M, K) float64, in the order of the videos of `like`.

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
    """(M,) indices of the first view's videos in another one: by id, or by position if a file has no ids."""
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
