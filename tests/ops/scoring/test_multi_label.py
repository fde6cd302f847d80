"""Several labels per video: loss, figures, pickles, merged scores and tables, against calculations by hand."""

import csv
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as binary_cross_entropy

from common.errors import InputError
from ops.mixing.methods import mixed_target
from ops.runtime import Runtime
from ops.scoring.merge import merge
from ops.scoring.metrics import accuracies, average_precisions, intervals
from ops.scoring.pickles import Scores, multi_hot, read_scores, write_scores
from ops.scoring.predictions import write_multi_label_predictions, write_precisions
from ops.training.engine import TrainSettings, evaluate, train_one_epoch

CPU = Runtime(torch.device("cpu"))
LABELS = [[0, 2], [1], [0, 1], [2], [0]]
HOT = multi_hot(LABELS, 4)
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(5, 4)).astype(np.float32)
NAMES = ["left", "a, <b>", "c\nd", "never"]


def precision_by_hand(scores: np.ndarray, positive: np.ndarray) -> float:
    """Mean over the positives of the share of positives at or above their rank."""
    ranked = positive[np.argsort(-scores)]
    return float(np.mean([ranked[: rank + 1].mean() for rank in np.flatnonzero(ranked)]))


def map_by_hand(scores: np.ndarray, hot: np.ndarray) -> float:
    return 100 * float(np.mean([precision_by_hand(scores[:, k], hot[:, k]) for k in range(4) if hot[:, k].any()]))


def test_the_map_is_the_mean_over_classes_with_a_positive() -> None:
    found = average_precisions(SCORES, HOT)
    assert found[:3] == pytest.approx([100 * precision_by_hand(SCORES[:, k], HOT[:, k]) for k in range(3)])
    assert np.isnan(found[3])
    figures = accuracies(SCORES, HOT)
    assert figures["map"] == pytest.approx(map_by_hand(SCORES, HOT))
    assert figures["hit1"] == 20 * sum(SCORES[video].argmax() in own for video, own in enumerate(LABELS))
    assert intervals(figures, HOT).keys() == {"hit1"}
    assert accuracies(SCORES, np.zeros_like(HOT)) == {}


def test_targets_of_mixed_clips_are_mixed_as_the_clips() -> None:
    labels, partner = torch.from_numpy(HOT).float(), torch.arange(5).roll(1)
    target = mixed_target(labels, partner, torch.tensor([0.3, 1.0, 0.5, 0.9, 0.0]), 4)
    assert target[0].tolist() == pytest.approx([1.0, 0.0, 0.3, 0.0])  # labels 0 and 2, and 0 of its partner
    assert target[3].tolist() == pytest.approx([0.1, 0.1, 0.9, 0.0])


class Fixed(nn.Module):
    """Scores of a video by the number in its pixels."""

    frozen: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.from_numpy(SCORES))

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return self.scores[clip[:, 0, 0, 0, 0, 0].long()]


def batch_of(videos: Sequence[int]) -> SimpleNamespace:
    clip = torch.tensor(videos, dtype=torch.uint8).view(-1, 1, 1, 1, 1, 1).expand(-1, 1, 1, 4, 4, 3)
    hot = torch.from_numpy(HOT[list(videos)]).float()
    names = [f"v{k}" for k in videos]
    return SimpleNamespace(clip=clip, label=hot, index=torch.tensor(videos), video_ids=names, replaced=[], seconds=0.0)


def test_an_evaluation_counts_each_video_once_in_the_map() -> None:
    """As of two processes whose shares overlap, in another order."""

    class Others(Runtime):
        def gather(self, value):
            return [value, value]

    settings = TrainSettings(loss=binary_cross_entropy, multi_label=True)
    val = evaluate(Fixed(), [batch_of([4, 2]), batch_of([0, 1, 3])], Others(CPU.device), settings, title="val")
    loss = binary_cross_entropy(torch.from_numpy(SCORES), torch.from_numpy(HOT).float())
    expected = {"loss": loss.item(), "map": map_by_hand(SCORES, HOT), "hit1": accuracies(SCORES, HOT)["hit1"]}
    assert val.averages() == pytest.approx(expected, rel=1e-6)
    assert val.describe() == "loss {loss:.3f}  mAP {map:.1f} %  hit at 1 {hit1:.1f} %".format(**expected)


def test_training_shows_no_top_1(caplog) -> None:
    model = Fixed()
    optimiser = torch.optim.SGD([{"params": list(model.parameters()), "lr_mult": 1.0, "lr": 0.1}], lr=0.1)
    settings = TrainSettings(loss=binary_cross_entropy, multi_label=True, print_freq=1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    sums = train_one_epoch(
        model, [batch_of(range(5))], optimiser, scaler, CPU, settings, epoch=0, lr_at=lambda _epoch: 0.1
    )
    assert sums.averages().keys() == {"loss", "hit1"}
    assert "hit at 1" in caplog.text
    assert "top-1" not in caplog.text


def view(path: Path, logits: np.ndarray, labels: Sequence[int | list[int]]) -> Scores:
    write_scores(path, logits, labels, [f"v{k}" for k in range(len(labels))])
    return read_scores(path)


def test_pickles_hold_the_labels(tmp_path: Path) -> None:
    read = view(tmp_path / "0_crop0.pkl", SCORES, LABELS)
    assert np.array_equal(read.labels, HOT)
    assert (read.multi_label, read.has_labels) == (True, True)
    without = view(tmp_path / "1_crop0.pkl", SCORES, [[]] * 5)
    assert (without.multi_label, without.has_labels) == (True, False)
    assert not view(tmp_path / "2_crop0.pkl", SCORES, [0, 1, 2, 3, 0]).multi_label


@pytest.mark.parametrize("labels", [[[0], [4]], [[0], [-1]], [[0], 1], [0, [1]], [[0], [True]], [[0], ["a"]]])
def test_wrong_labels_in_a_pickle_are_refused(tmp_path: Path, labels: list) -> None:
    content = [[np.zeros((1, 4), np.float32), own, f"v{k}"] for k, own in enumerate(labels)]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"x\.pkl: a record is not"):
        read_scores(tmp_path / "x.pkl")


def test_models_are_merged_as_weighted_means_of_sigmoids(tmp_path: Path) -> None:
    logits = RNG.normal(size=(2, 2, 5, 4)).astype(np.float32)  # of two models with two clips
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


def test_the_tables(tmp_path: Path) -> None:
    shares = np.array([[0.9, 0.2, 0.5, 0.6], [0.1, 0.3, 0.2, 0.05], [0.2, 0.1, 0.3, 0.4]])
    hot = multi_hot([[0, 2], [1], [0]], 4)
    write_multi_label_predictions(tmp_path / "p.csv", shares, hot, ["x, y", "v1", "v2"], NAMES)
    rows = list(csv.reader((tmp_path / "p.csv").open(newline="")))
    assert rows[1:] == [
        ["x, y", "0", "left", "0.900000", "True", "True"],
        ["x, y", "3", "never", "0.600000", "True", "False"],
        ["x, y", "2", "c\nd", "0.500000", "False", "True"],
        ["v1", "1", "a, <b>", "0.300000", "False", "True"],  # the best class, although below a half
        ["v2", "3", "never", "0.400000", "False", "False"],
        ["v2", "0", "left", "0.200000", "False", "True"],
    ]
    write_multi_label_predictions(tmp_path / "p.csv", shares, np.zeros_like(hot), "123", NAMES)
    rows = list(csv.reader((tmp_path / "p.csv").open(newline="")))
    assert [row[0] + row[1] + row[-1] for row in rows[1:]] == ["10", "13", "21", "33"]
    write_precisions(tmp_path / "c.csv", shares, hot, NAMES)
    rows = list(csv.reader((tmp_path / "c.csv").open(newline="")))
    assert [row[2] for row in rows[1:]] == ["2", "1", "1", "0"]
    assert [row[3] for row in rows[1:]] == ["100.0", "100.0", "100.0", ""]
