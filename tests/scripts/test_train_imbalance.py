"""train.py on classes of different sizes: the best epoch, weights and the balanced order."""

import json
from argparse import Namespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from video_files import own_data_flags, write_dataset

from ops.runtime import Runtime
from ops.training import fit
from ops.training.progress import Sums
from ops.weights.file import read_checkpoint
from train_parts import weighted_loss

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

NAME = "Tiny_mine_none_4f"
SMALL = ["--net", "Tiny", "--num_segments", "4", "--input_size", "32", "-b", "2", "-j", "0"]


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Six clips: four of class 0, one of class 1, one of class 2."""
    root = write_dataset(tmp_path_factory.mktemp("data"))
    lines = [line.split()[:3] for line in (root / "train.txt").read_text().splitlines()]
    labels = (0, 0, 0, 0, 1, 2)
    (root / "train.txt").write_text("".join(f"{' '.join(line)} {k}\n" for line, k in zip(lines, labels, strict=True)))
    return own_data_flags(root)


@pytest.mark.parametrize(("best_by", "best"), [("top1", 1), ("mean_class", 2)])
def test_the_best_epoch_is_that_of_the_chosen_accuracy(run, monkeypatch, capsys, best_by: str, best: int) -> None:
    """Also after a resume. Epoch 1: 9 of 11 videos, all of one class. Epoch 2: 7, of all classes."""
    confusions = iter(np.array([matrix]) for matrix in ([[9, 0], [2, 0]], [[5, 4], [0, 2]], [[6, 3], [1, 1]]))

    def evaluate(*_arguments, **_options) -> Sums:
        [confusion] = next(confusions)
        return Sums(1.0, int(confusion.trace()), 11, 11, confusion=np.pad(confusion, (0, 1)))

    monkeypatch.setattr(fit, "evaluate", evaluate)
    run("--best_by", best_by, "--epochs", "2")
    folder = run("--best_by", best_by, "--epochs", "3", "--resume", "auto")
    checkpoint = read_checkpoint(folder / "ckpt.best.pth.tar")
    assert checkpoint["epoch"] == best
    assert ("best_mean_class" in checkpoint) == (best_by == "mean_class")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    means = [100 * (a + b) / 2 for a, b in ((1, 0), (5 / 9, 1), (6 / 9, 1 / 2))]
    assert [line["val/mean_class"] for line in lines] == pytest.approx(means)
    assert lines[2]["val/best_top1"] == pytest.approx(900 / 11)
    printed = capsys.readouterr().out
    assert ("mean class 58.33 % best 77.78 %" in printed) == (best_by == "mean_class")
    end = "Best mean class accuracy 77.78 %" if best_by == "mean_class" else "Best top-1 81.82 %"
    assert end in printed
    run("--best_by", {"top1": "mean_class"}.get(best_by, "top1"), "--epochs", "3", "--resume", "auto")
    assert "-1.00" not in capsys.readouterr().out  # a run with nothing left to train has no such best
    metric = EventAccumulator(str(folder)).Reload().SummaryMetadata("_hparams_/experiment").plugin_data.content
    assert f"val/best_{best_by}".encode() in metric


def first_steps(run, name: str, *flags: str) -> dict[str, float]:
    """The log of an epoch in which the network hardly learns."""
    still = ["--epochs", "1", "--lr", "1e-9", "--wd", "0", "--no_flip"]
    folder = run(*still, *flags, "--suffix", name, name=f"{NAME}_{name}")
    return json.loads((folder / "log.jsonl").read_text())


def test_class_weights_are_in_the_loss_of_training_alone(run) -> None:
    plain, weighted = first_steps(run, "plain"), first_steps(run, "weighted", "--class_weights", "inverse")
    assert plain["val/loss"] == pytest.approx(weighted["val/loss"], abs=1e-4)
    assert abs(plain["train/loss"] - weighted["train/loss"]) > 1e-3


def test_class_weights_are_placed_on_the_device_once() -> None:
    train_set = Namespace(records=Namespace(labels=np.array([0, 0, 1])), spec=Namespace(class_names=["a", "b"]))
    options = Namespace(class_weights="inverse", no_flip=True)
    loss = weighted_loss(options, train_set, Runtime(torch.device("meta")))
    assert loss.keywords["weights"].device.type == "meta"


def test_a_balanced_order_and_repeats_reach_the_network(run, monkeypatch) -> None:
    labels: list[int] = []
    real = Sums.add
    monkeypatch.setattr(
        Sums,
        "add",
        lambda self, logits, label, loss: (labels.extend(label.tolist()), real(self, logits, label, loss))[1],
    )
    first_steps(run, "balanced", "--balanced_sampler", "--aug_repeats", "3", "-ef", "9")
    trained = labels[: 3 * 6]
    assert [trained.count(label) for label in range(3)] == [6, 6, 6]
