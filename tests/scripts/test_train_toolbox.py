"""train.py with averaged weights, best epochs, a linear probe, recomputed blocks, deterministic algorithms."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from video_files import own_data_flags, write_dataset

import test_models_center_crop
from common.errors import InputError
from ops.scoring.pickles import read_scores
from ops.training import fit
from ops.training.progress import Sums
from ops.weights.file import read_checkpoint
from scripts import publish

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

NAME = "Tiny_mine_none_1f"
SMALL = ["--net", "Tiny", "--num_segments", "1", "--input_size", "32", "-b", "3", "-j", "0"]
SMALL += ["--epochs", "2", "--lr", "0.01"]


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return own_data_flags(write_dataset(tmp_path_factory.mktemp("data"), train=9, val=5, num_frames=3))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_confusion_matrix_is_that_of_the_averaged_weights(run, monkeypatch) -> None:
    """As the best epoch and the accuracy in its title."""
    plotted = []

    def evaluate(*_arguments, title: str, **_options) -> Sums:
        right = 4 if "ema" in title else 1
        return Sums(1.0, right, 5, 5, confusion=np.array([[right, 5 - right], [0, 0]]))

    def plot(matrix: np.ndarray, _names: object, path: Path, title: str) -> None:
        plotted.append((matrix.trace(), title))
        Image.new("RGB", (1, 1)).save(path)

    monkeypatch.setattr(fit, "evaluate", evaluate)
    monkeypatch.setattr(fit, "plot_confusion", plot)
    run("--ema", "0.5", "--epochs", "1")
    [(right, title)] = plotted
    assert right == 4
    assert "80.00 %" in title


def test_averaged_weights_are_evaluated_tested_and_published(run, capsys) -> None:
    folder = run("--ema", "0.5", "--best_by", "mean_class")
    printed, log = capsys.readouterr().out, lines(folder)
    best = str(folder / "ckpt.best.pth.tar")
    content = read_checkpoint(best)
    assert content["best_top1"] == max(line["val/ema_top1"] for line in log[: content["epoch"]])
    assert log[-1]["val/best_top1"] == max(line["val/ema_top1"] for line in log)
    assert (
        f"averaged weights' top-1 {log[-1]['val/ema_top1']:.2f} %  mean class {log[-1]['val/ema_mean_class']:.2f} %"
        in printed
    )
    assert f"of the averaged weights (--ema in tests) {content['best_mean_class']:.2f} %" in printed
    assert not torch.equal(content["state_dict"]["fc.weight"], content["state_dict_ema"]["fc.weight"])

    run("-e", "--ema", "0.5", "--resume", best)
    assert f"loss {content['figures']['val/ema_loss']:.3f}" in capsys.readouterr().out.split("the ema of")[1]
    run("-e", "--resume", best)
    assert "averaged weights of --ema, which this run ignores" in capsys.readouterr().out

    test = ["--weights", best, "--output_dir", "scores", "-j", "0"]
    test_models_center_crop.main([*test, "--ema"])
    scores = read_scores(Path("scores/0_crop0.pkl"))
    loss = torch.nn.functional.cross_entropy(torch.tensor(scores.logits), torch.tensor(scores.labels))
    assert loss.item() == pytest.approx(content["figures"]["val/ema_loss"], rel=1e-4)
    with pytest.raises(InputError, match="weights_sha256"):
        test_models_center_crop.main(test)
    assert "--ema uses them" in capsys.readouterr().out

    publish.main([best, "--ema", "--output_dir", "published"])
    assert f"top-1 {content['best_top1']:.2f} %" in capsys.readouterr().out
    (path,) = Path("published").iterdir()
    published = read_checkpoint(path)["state_dict"]
    assert all(torch.equal(value, published[name]) for name, value in content["state_dict_ema"].items())
    with pytest.raises(InputError, match="has no averaged weights.*leave --ema out"):
        publish.main([str(path), "--ema"])


def test_a_run_without_averages_cannot_resume_with_them(run) -> None:
    latest = str(run("--epochs", "1") / "ckpt.pth.tar")
    assert "state_dict_ema" not in read_checkpoint(latest)
    with pytest.raises(InputError, match=r"ckpt\.pth\.tar has no averaged weights.*leave --ema out"):
        run("--ema", "0.5", "--resume", latest)


def test_the_best_epochs_are_kept(run, monkeypatch) -> None:
    top1 = iter([30.0, 10.0, 20.0, 40.0])
    real = fit._evaluate

    def evaluate(*arguments: Any) -> Any:
        val, figures = real(*arguments)
        return replace(val, top1=next(top1) * val.videos / 100), figures

    monkeypatch.setattr(fit, "_evaluate", evaluate)
    folder = run("--keep_best", "2", "--epochs", "3")
    assert {path.name for path in folder.glob("ckpt.epoch_*")} == {"ckpt.epoch_1.pth.tar", "ckpt.epoch_3.pth.tar"}
    third = read_checkpoint(folder / "ckpt.epoch_3.pth.tar")
    assert (third["epoch"], third["best_epochs"]) == (3, {1: 30.0, 3: 20.0})
    assert third.keys() == read_checkpoint(folder / "ckpt.best.pth.tar").keys()
    run("--keep_best", "2", "--epochs", "4", "--resume", "auto")
    assert {path.name for path in folder.glob("ckpt.epoch_*")} == {"ckpt.epoch_1.pth.tar", "ckpt.epoch_4.pth.tar"}
    assert read_checkpoint(folder / "ckpt.best.pth.tar")["epoch"] == 4


def test_a_linear_probe_and_drop_path(run, capsys) -> None:
    start = run("--epochs", "1", "--npb")
    probe = run("--linear_probe", "--tune_from", str(start / "ckpt.pth.tar"), name=f"{NAME}-2")
    before, after = (read_checkpoint(folder / "ckpt.pth.tar")["state_dict"] for folder in (start, probe))
    changed = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert changed == ["fc.weight", "fc.bias"]
    assert "random weights" not in "".join(capsys.readouterr())
    with pytest.raises(InputError, match=r"--drop_path 0\.1: Tiny has no stochastic depth"):
        run("--drop_path", "0.1")


def test_resuming_with_another_optimiser_or_other_groups(run) -> None:
    latest = str(run("--epochs", "1", "--optimizer", "adam") / "ckpt.pth.tar")
    for flags, message in (
        (["--optimizer", "adamw"], "a different optimiser; resume with the same --optimizer adam$"),
        (["--optimizer", "adam", "--layer_decay", "0.5"], "different parameter groups.*--layer_decay"),
    ):
        with pytest.raises(InputError, match=message):
            run(*flags, "--resume", latest)
    run("--optimizer", "adam", "--resume", latest)


def test_adafactor_resumes(run) -> None:
    latest = str(run("--epochs", "1", "--optimizer", "adafactor", "--optimizer_args", "d=2.0") / "ckpt.pth.tar")
    run("--optimizer", "adafactor", "--resume", latest)


def test_recomputed_blocks_and_deterministic_algorithms_change_nothing_on_the_cpu(run, request) -> None:
    request.addfinalizer(lambda: torch.use_deterministic_algorithms(False))
    tsn = ["--net", "TSN", "--arch", "resnet10", "--epochs", "1"]
    plain = run(*tsn, name="TSN_mine_resnet10_1f")
    other = run(*tsn, "--checkpoint_activations", "--deterministic", name="TSN_mine_resnet10_1f-2")
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    one, two = (read_checkpoint(folder / "ckpt.pth.tar")["state_dict"] for folder in (plain, other))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_the_rate_is_scaled_to_the_clips_of_a_step(run, capsys) -> None:
    folder = run("--scale_lr", "12", "--accumulate", "2", "--lr_type", "cos", "--min_lr", "0.001", "--epochs", "1")
    assert lines(folder)[0]["train/lr"] == pytest.approx(0.005)
    assert re.search(r"lr 0\.005 ", capsys.readouterr().out)
