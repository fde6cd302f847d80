"""Views and models merged: softmax or sigmoid first, then means, matched by video."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from multi_label_scores import HOT, LABELS, SCORES, map_by_hand

from common.errors import InputError
from ops.scoring.merge import merge, merge_clips, merge_models
from ops.scoring.pickles import Scores, multi_hot, read_scores, write_scores

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.25, 0.0]], np.float32)


def scores(logits=LOGITS, labels=(0, 1), ids=("a", "b"), name: str = "0_crop0.pkl") -> Scores:
    return Scores(Path(name), np.asarray(logits, np.float32), np.asarray(labels), None if ids is None else tuple(ids))


def merge_views(views: list[Scores]) -> np.ndarray:
    return next(merge_clips([views], views[0]))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x.astype(np.float64))
    return e / e.sum(1, keepdims=True)


def test_views_are_averaged_after_softmax() -> None:
    other = np.array([[0.0, 3.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    merged = merge_views([scores(), scores(other)])
    assert np.allclose(merged, (softmax(LOGITS) + softmax(other)) / 2, atol=1e-12)


def test_views_are_matched_by_video_id() -> None:
    shuffled = scores(LOGITS[::-1], (1, 0), ("b", "a"))
    assert np.allclose(merge_views([scores(), shuffled]), softmax(LOGITS), atol=1e-12)
    assert np.allclose(merge_views([scores(), scores(ids=None)]), softmax(LOGITS), atol=1e-12)


def test_models_are_weighted() -> None:
    a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert merge_models([a, b], [3, 1]).tolist() == [[0.75, 0.25]]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (scores(LOGITS[:1], (0,), ("a",), "1_crop0.pkl"), "number of videos.* 1 and 2"),
        (scores(LOGITS[:, :2], (0, 1), ("a", "b"), "1_crop0.pkl"), "number of classes.* 2 and 3"),
        (scores(LOGITS, (0, 2), ("a", "b"), "1_crop0.pkl"), "labels.*video b.* 2 and 1"),
        (scores(LOGITS, (-1, -1), ("a", "b"), "1_crop0.pkl"), "one has labels and one has none"),
        (scores(LOGITS, (0, 1), ("a", "c"), "1_crop0.pkl"), "different videos: 'b'"),
        (scores(LOGITS, (0, 2), None, "1_crop0.pkl"), "different labels"),
    ],
)
def test_views_of_different_videos(other: Scores, words: str) -> None:
    with pytest.raises(InputError, match=rf"1_crop0\.pkl and 0_crop0\.pkl.*{words}"):
        merge_views([scores(), other])


def view(path: Path, logits: np.ndarray, labels: Sequence[int | list[int]]) -> Scores:
    write_scores(path, logits, labels, [f"v{k}" for k in range(len(labels))])
    return read_scores(path)


def test_models_are_merged_as_weighted_means_of_sigmoids(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(2, 2, 5, 4)).astype(np.float32)  # of two models with two clips
    models = [[[view(tmp_path / f"{m}{c}.pkl", logits[m, c], LABELS)] for c in range(2)] for m in range(2)]
    *own, both = merge(models, [1, 3])
    sigmoids = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert own[0].probabilities == pytest.approx(sigmoids[0].mean(0))
    assert both.probabilities == pytest.approx((sigmoids[0].mean(0) + 3 * sigmoids[1].mean(0)) / 4)
    assert both.by_clips[1]["map"] == pytest.approx(map_by_hand(both.probabilities, HOT))


def test_only_views_with_the_same_labels_are_merged(tmp_path: Path) -> None:
    several = view(tmp_path / "a.pkl", SCORES, LABELS)
    single = view(tmp_path / "b.pkl", SCORES, [0, 1, 0, 2, 0])
    with pytest.raises(InputError, match=r"b\.pkl and .*a\.pkl.*several labels"):
        merge([[[several]], [[single]]], [1, 1])
    other = replace(several, path=tmp_path / "c.pkl", labels=multi_hot([*LABELS[:4], [0, 3]], 4))
    with pytest.raises(InputError, match=r"labels for video v4, \[0, 3\] and \[0\]"):
        merge([[[several]], [[other]]], [1, 1])
