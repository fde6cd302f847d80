"""Training and evaluation with several labels per video, against calculations by hand."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from multi_label_scores import HOT, SCORES, map_by_hand
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as binary_cross_entropy

from ops.runtime import Runtime
from ops.scoring.metrics import accuracies
from ops.training.engine import TrainSettings, evaluate, train_one_epoch

CPU = Runtime(torch.device("cpu"))


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
