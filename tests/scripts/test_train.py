"""train.py as a user runs it, on its own tiny data set: its output, resuming, and errors."""

import errno
import json
import re
import shutil
import sys
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from started_python import run_python
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX.event_file_writer import EventsWriter
from training_runs import stop_at
from two_processes import run_program
from video_files import own_data_flags, write_dataset

import train
from common.errors import InputError
from ops.scoring.plots import plot_confusion
from ops.training import fit
from ops.training.run_log import RunLog
from ops.weights.file import read_checkpoint, save_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

NAME = "Tiny_mine_none_2f"
SIZES = ["--num_segments", "2", "--input_size", "32", "-b", "3", "-j", "0", "--lr", "0.05"]
SMALL = ["--net", "Tiny", *SIZES]
H2CN = ["--net", "H2CN", "--arch", "resnet10"]
H2CN_NAME = "H2CN_mine_resnet10_2f"


@pytest.fixture(scope="module")
def first_run(tiny_network, tiny_data, tmp_path_factory) -> Path:
    """The folder of all runs after an epoch."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        train.main(["mine", *tiny_data, *SMALL, "--epochs", "1"])
    return folder / "runs"


@pytest.fixture
def trained(first_run: Path, tmp_path: Path) -> Path:
    """The folder of a finished run of one epoch, to continue from: a test's own copy."""
    shutil.copytree(first_run, tmp_path / "runs")
    return tmp_path / "runs" / NAME


def test_what_a_run_leaves_behind(run, monkeypatch) -> None:
    monkeypatch.setattr(fit, "plot_confusion", plot_confusion)
    flags = ["--npb", "--gd", "20", "--label_smoothing", "0.1", "--accumulate", "2"]
    folder = run(*H2CN, "--epochs", "2", *flags, name=H2CN_NAME)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    names = {"train/loss", "train/top1", "train/top5", "train/lr"}
    names |= {f"time/{part}" for part in ("waiting", "forward", "backward", "optimiser", "decoding")}
    names |= {"val/loss", "val/top1", "val/top5", "val/mean_class", "val/best_top1"}
    assert set(lines[0]) == names | {"epoch"}
    curves = EventAccumulator(str(folder)).Reload()
    assert set(curves.Tags()["scalars"]) == names
    assert curves.Tags()["images"] == ["val/confusion"]
    assert curves.Images("val/confusion")[0].width > 100
    assert b"val/best_top1" in curves.SummaryMetadata("_hparams_/experiment").plugin_data.content
    assert [event.value for event in curves.Scalars("val/loss")] == pytest.approx([line["val/loss"] for line in lines])
    options = json.loads((folder / "options.json").read_text())
    assert options["options"]["label_smoothing"] == 0.1
    assert {"git_revision", "torch", "command", "python"} <= set(options)
    checkpoint = read_checkpoint(folder / "ckpt.best.pth.tar")
    assert checkpoint["trained_on"]["class_names"][2] == "Turning something"
    assert checkpoint["trained_on"]["net"] == "H2CN"
    assert len(checkpoint["trained_on"]["train_list_hash"]) == 64


def test_a_compiled_run_has_the_same_numbers_and_names(run, monkeypatch) -> None:
    """Only the captured graph: compiling it would take too long here."""
    compiler = Mock(side_effect=partial(torch.compile, backend="eager"))
    monkeypatch.setattr(torch, "compile", compiler)
    runs = [run("--epochs", "1"), run("--epochs", "1", "--compile", name=f"{NAME}-2")]
    assert compiler.call_count == 2  # to see whether it works, and of the network
    losses = [json.loads((folder / "log.jsonl").read_text()) for folder in runs]
    for name in ("train/loss", "val/loss"):
        assert losses[1][name] == pytest.approx(losses[0][name], rel=1e-4)
    plain, compiled = (read_checkpoint(folder / "ckpt.pth.tar")["state_dict"] for folder in runs)
    assert plain.keys() == compiled.keys()


def test_ctrl_c_and_resume_give_bit_for_bit_the_uninterrupted_run(run, monkeypatch, capsys) -> None:
    """Dropout, shuffling, crops, momentum, schedule: all continue as if nothing had happened."""
    flags = [*H2CN, "--npb", "--lr_type", "cos", "--epochs", "2", "-p", "1"]
    whole = run(*flags, name=H2CN_NAME)
    stop_at(monkeypatch, 1.5)
    with pytest.raises(SystemExit) as stopped:
        run(*flags, "--suffix", "cut")
    assert stopped.value.code == 130
    printed = capsys.readouterr().out
    cut = whole.parent / f"{H2CN_NAME}_cut"
    assert f"The checkpoint after epoch 1 is in runs/{cut.name}" in printed
    assert "--resume auto" in printed
    assert read_checkpoint(cut / "ckpt.pth.tar")["epoch"] == 1

    run(*flags, "--suffix", "cut", "--resume", "auto")
    one, other = (read_checkpoint(folder / "ckpt.pth.tar") for folder in (whole, cut))
    assert one["epoch"] == other["epoch"] == 2
    assert all(torch.equal(one["state_dict"][k], other["state_dict"][k]) for k in one["state_dict"])
    momenta = [[s["momentum_buffer"] for s in c["optimizer"]["state"].values()] for c in (one, other)]
    assert all(torch.equal(a, b) for a, b in zip(*momenta, strict=True))
    lines = [(folder / "log.jsonl").read_text().splitlines() for folder in (whole, cut)]
    losses = [[json.loads(line)["val/loss"] for line in of_run] for of_run in lines]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2
    curves = [EventAccumulator(str(folder / "steps")).Reload().Scalars("step/loss") for folder in (whole, cut)]
    points = [[(event.step, event.value) for event in of_run] for of_run in curves]
    assert points[0] == points[1]
    assert [step for step, _ in points[0]] == [500, 1000, 1500, 2000]


def test_a_killed_process_says_how_to_continue(tiny_data, tmp_path: Path) -> None:
    """SIGTERM, as a scheduler sends it, to a real process in its second epoch, and to its worker."""
    checkpoint = tmp_path / "runs" / H2CN_NAME / "ckpt.pth.tar"
    program = f"""
import os, signal, sys, threading, time
sys.path.insert(0, {str(Path(train.__file__).parent)!r})
import train
from common.console import run_script

def stop():
    while not os.path.exists({str(checkpoint)!r}):
        time.sleep(0.02)
    os.killpg(0, signal.SIGTERM)

threading.Thread(target=stop, daemon=True).start()
run_script(train.main)
"""
    command = [sys.executable, "-c", program, "mine", *tiny_data, *H2CN, *SIZES, "--epochs", "500", "-j", "1"]
    done = run_python(command, cwd=tmp_path)
    assert done.returncode == 75, done.stderr
    assert "The checkpoint after" in done.stdout
    assert "--resume auto" in done.stdout
    assert "Traceback" not in done.stderr
    assert read_checkpoint(checkpoint)["epoch"] >= 1
    assert [path.name for path in checkpoint.parent.glob(".*")] == []


def test_a_log_that_cannot_be_written_costs_no_epoch(run, monkeypatch) -> None:
    """The epoch is in the checkpoint, and the resumed run adds its line to the log."""
    real, calls = EventsWriter.flush, []

    def flush(writer: EventsWriter) -> None:
        calls.extend([1] if "/steps/" not in writer._file_name else [])
        if len(calls) == 3:  # the first epoch flushes its figures and its confusion matrix
            raise OSError(errno.ENOSPC, "No space left on device")
        real(writer)

    monkeypatch.setattr(EventsWriter, "flush", flush)
    flags = ["--epochs", "2", "--lr", "0.001"]
    folder = Path("runs") / NAME
    with pytest.raises(InputError, match=r"the log to runs/Tiny\S+: No space left.*--root_log.*--resume auto"):
        run(*flags)
    assert read_checkpoint(folder / "ckpt.pth.tar")["epoch"] == 2
    assert [json.loads(line)["epoch"] for line in (folder / "log.jsonl").read_text().splitlines()] == [0]
    run(*flags, "--resume", "auto")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    curve = EventAccumulator(str(folder)).Reload().Scalars("val/loss")
    assert [(event.step, event.value) for event in curve][-2:] == [
        (line["epoch"], pytest.approx(line["val/loss"])) for line in lines
    ]


@pytest.mark.parametrize("line", [b"no json\n", b"\xff\n", b"[1]\n", b"{}\n", b'{"epoch": null}\n'])
def test_lines_that_do_not_belong_in_a_log(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(b'{"epoch": 0}\n' + line)
    with pytest.raises(InputError, match=r"line 2 of \S+log\.jsonl .*--root_log"):
        RunLog(tmp_path, 1)


def test_a_second_run_does_not_touch_the_first(run, trained: Path) -> None:
    before = (trained / "ckpt.pth.tar").read_bytes()
    second = run("--epochs", "1", name=f"{NAME}-2")
    assert (second / "ckpt.pth.tar").exists()
    assert (trained / "ckpt.pth.tar").read_bytes() == before


def test_resuming_a_named_checkpoint(run, tmp_path: Path) -> None:
    """The latest continues in its folder, one from elsewhere in a new folder; the best cannot be resumed."""
    folder = run("--epochs", "1", "--root_model", "runs")
    run("--epochs", "2", "--resume", f"runs/{NAME}/ckpt.pth.tar")
    assert read_checkpoint(folder / "ckpt.pth.tar")["epoch"] == 2
    assert len((folder / "log.jsonl").read_text().splitlines()) == 2
    latest = (folder / "ckpt.pth.tar").read_bytes()
    (tmp_path / "copy.pth.tar").write_bytes(latest)
    other = run("--epochs", "3", "--resume", "copy.pth.tar", name=f"{NAME}-2")
    assert (folder / "ckpt.pth.tar").read_bytes() == latest
    assert (other / "ckpt.best.pth.tar").exists()
    with pytest.raises(InputError, match=r"has no valid optimizer, scaler.*resume ckpt\.pth\.tar.*--tune_from"):
        run("--epochs", "3", "--resume", f"runs/{NAME}/ckpt.best.pth.tar")
    assert not (folder.parent / f"{NAME}-3").exists()


def test_evaluate_only(run, trained: Path, capsys) -> None:
    expected = json.loads((trained / "log.jsonl").read_text())["val/loss"]
    run("-e", "--resume", str(trained / "ckpt.pth.tar"))
    printed = capsys.readouterr().out
    assert "on 5 videos of" in printed
    assert f"loss {expected:.3f}" in printed


def test_evaluate_only_on_another_data_set_with_the_same_classes(run, trained: Path, tmp_path: Path, capsys) -> None:
    evaluate = ["-e", "--resume", str(trained / "ckpt.pth.tar")]
    same = own_data_flags(write_dataset(tmp_path / "same", train=3, val=2))
    train.main(["other", *same, *SMALL, *evaluate])
    assert "train list, val list, data set" in capsys.readouterr().out
    third = own_data_flags(write_dataset(tmp_path / "third", train=3, val=2, classes=("left", "right", "up")))
    with pytest.raises(InputError, match="class names .*--classes"):
        train.main(["other", *third, *SMALL, *evaluate])


def test_tune_from_another_data_set(run, trained: Path, tmp_path: Path, capsys) -> None:
    classes = tuple(f"class {i}" for i in range(4))
    other = own_data_flags(write_dataset(tmp_path / "other", train=3, val=2, classes=classes))
    train.main(["other", *other, *SMALL, "--epochs", "1", "--tune_from", str(trained / "ckpt.pth.tar")])
    assert "2 new" in capsys.readouterr().out


def test_partial_bn_and_bf16(run) -> None:
    before = run(*H2CN, "--epochs", "1", "--suffix", "a", name=f"{H2CN_NAME}_a")
    start = ["--tune_from", str(before / "ckpt.pth.tar")]
    after = run(*H2CN, *start, "--epochs", "1", "--amp", "bf16", "--suffix", "b", name=f"{H2CN_NAME}_b")
    one, two = (read_checkpoint(folder / "ckpt.pth.tar")["state_dict"] for folder in (before, after))
    frozen = "layer1.0.bn1.running_mean"
    assert torch.equal(one[frozen], two[frozen])
    assert not torch.equal(one["bn1.running_mean"], two["bn1.running_mean"])


def test_unreadable_frames_are_counted_and_named(run, tiny_data, tmp_path: Path, capsys) -> None:
    root = write_dataset(tmp_path / "damaged")
    for number in range(1, 7):
        (root / "frames" / "train 0" / f"{number:05d}.jpg").write_bytes(b"")
    train.main(["damaged", *own_data_flags(root), *SMALL, "--epochs", "1"])
    assert "nearest readable frame" in capsys.readouterr().out
    listed = (tmp_path / "runs" / "Tiny_damaged_none_2f" / "bad_frames.txt").read_text().splitlines()
    assert listed
    assert all("train 0" in line for line in listed)


def test_a_non_finite_loss_stops_the_run_and_keeps_the_last_checkpoint(run, monkeypatch) -> None:
    real, calls = train.F.cross_entropy, []

    def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        loss = real(logits, target)
        return loss * float("nan") if len(calls) > 5 else loss  # per epoch: 2 steps, 2 batches and all of the val list

    monkeypatch.setattr(train.F, "cross_entropy", cross_entropy)
    with pytest.raises(
        InputError, match=r"loss is nan in epoch 2, batch 1 of 2, learning rate 0.05, videos \['train \d'"
    ):
        run("--epochs", "3")
    assert read_checkpoint(Path("runs") / NAME / "ckpt.pth.tar")["epoch"] == 1


def test_two_processes_see_every_video_once(run, tiny_data, tmp_path: Path, capsys) -> None:
    """The evaluation is exact although 5 videos do not split evenly. More processes than clips are refused."""
    one = own_data_flags(write_dataset(tmp_path / "one", train=1, val=1))
    flags = [*H2CN, *SIZES, "--epochs", "1"]
    program = f"""
def train_on(*data):
    return in_two_processes(lambda: run_script(lambda: train.main(["mine", *data, *{flags}])))

assert 2 in train_on(*{one})  # the exit status of the first one
assert not os.path.exists("runs")
assert train_on(*{tiny_data}) == [0, 0]
"""
    done = run_program(tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert re.search(r"error: \S+train\.txt has 1 clip for 2 processes", done.stderr)
    folder = tmp_path / "runs" / H2CN_NAME
    assert len((folder / "log.jsonl").read_text().splitlines()) == 1
    assert len(list((folder / "steps").iterdir())) == 1  # of the main process
    run(*H2CN, "-e", "--resume", str(folder / "ckpt.pth.tar"))
    printed = capsys.readouterr().out
    logged = json.loads((folder / "log.jsonl").read_text())
    assert f"loss {logged['val/loss']:.3f}" in printed
    assert "on 5 videos" in printed


BAD_FLAGS = [
    (["--num_segments", "0"], SystemExit, "--num_segments.*out of range: 1 or more"),
    (["--net", "C3D"], SystemExit, "--net.*choose from.*H2CN"),
    (["--input_size", "100"], InputError, "not a multiple of 32.*96"),
    (["--resume", "gone.pth.tar"], InputError, r"no checkpoint at gone\.pth\.tar"),
    (["--tune_from", "gone.pth.tar"], InputError, r"no checkpoint at gone\.pth\.tar"),
    (["--pretrain", "gone.pth"], InputError, r"no checkpoint at gone\.pth"),
    (["-e"], InputError, "--resume CKPT"),
    (["--resume", "a", "--tune_from", "b"], InputError, "one of them"),
    (["--warmup", "9", "--epochs", "3"], InputError, "--warmup 9 is longer than --epochs 3"),
    (["--lr", "0"], SystemExit, "--lr.*above 0"),
    (["--root_model", "/proc/no"], InputError, "cannot write.*--root_model"),
    (["--root_log", "/proc/no"], InputError, "cannot write.*--root_log"),
    (["--train_list", "gone.txt"], InputError, r"gone\.txt.*--train_list"),
    (["--root_path", "gone"], InputError, "gone.*--root_path"),
]


@pytest.mark.parametrize(("flags", "error", "words"), BAD_FLAGS, ids=[" ".join(flags) for flags, _, _ in BAD_FLAGS])
def test_bad_flags(run, capsys, flags: list[str], error: type[BaseException], words: str) -> None:
    with pytest.raises(error) as raised:
        run("--epochs", "3", *flags)
    text = capsys.readouterr().err if error is SystemExit else str(raised.value)
    assert re.search(words, text, re.DOTALL), text


def test_resuming_from_an_unrelated_checkpoint(run, trained: Path, tmp_path: Path) -> None:
    path = trained / "ckpt.pth.tar"
    with pytest.raises(InputError, match="number of segments 2, but this run has 3"):
        run("--resume", str(path), "--num_segments", "3")
    checkpoint = read_checkpoint(path)
    checkpoint["trained_on"]["class_names"][1] = "another"
    save_checkpoint(tmp_path / "other.pth.tar", checkpoint)
    with pytest.raises(InputError, match="class names .1: 'another'., but this run has 1: 'Pushing"):
        run("--resume", str(tmp_path / "other.pth.tar"))
    save_checkpoint(tmp_path / "weights.pth.tar", {"state_dict": checkpoint["state_dict"]})
    for flags in ([], ["-e"]):
        with pytest.raises(
            InputError, match=r"no training state to resume.*test_models_center_crop\.py mine.*--tune_from"
        ):
            run("--resume", str(tmp_path / "weights.pth.tar"), *flags)


def test_resuming_from_a_damaged_checkpoint(run, tmp_path: Path) -> None:
    flags = ["--epochs", "1"]
    whole = read_checkpoint(run(*flags) / "ckpt.pth.tar")

    def refused(**changes) -> str:
        content = {name: value for name, value in {**whole, **changes}.items() if value is not None}
        save_checkpoint(tmp_path / "x.pth.tar", content)
        with pytest.raises(InputError) as raised:
            run(*flags, "--resume", str(tmp_path / "x.pth.tar"))
        return str(raised.value)

    for name in ("epoch", "scaler", "best_top1", "optimizer"):
        assert f"has no valid {name}, so no run can resume from it" in refused(**{name: None})
    state = {number: {"momentum_buffer": torch.zeros(2)} for number in whole["optimizer"]["state"]}
    assert "momentum_buffer of shape (2,)" in refused(optimizer={**whole["optimizer"], "state": state})
    for name, value in (("epoch", True), ("best_top1", float("nan")), ("figures", {"val/top1": "x"}), ("figures", 3)):
        assert f"has no valid {name}, so no run can resume from it" in refused(**{name: value})
    assert "--mix" in refused(mixing=torch.zeros(2))
    for optimizer in ({}, {"param_groups": []}, {"param_groups": [None], "state": {}}):
        assert "its optimiser or gradient scaler does not fit" in refused(optimizer=optimizer)


def test_an_evaluation_needs_no_flags_of_the_training(run, capsys) -> None:
    folder = run("--epochs", "1", "--npb", "--fc_lr5")
    run("-e", "--optimizer", "adamw", "--resume", str(folder / "ckpt.pth.tar"))
    assert "on 5 videos of" in capsys.readouterr().out


def test_an_unknown_data_set(run) -> None:
    with pytest.raises(InputError, match=r"'somethingv3' is not known; choose one of kinetics, .*somethingv1"):
        train.main(["somethingv3"])


def test_adamw_resumes_bit_for_bit_and_sgd_refuses_its_state(run, monkeypatch) -> None:
    flags = ["--optimizer", "adamw", "--lr", "0.001", "--wd", "0.05", "--epochs", "2"]
    whole = read_checkpoint(run(*flags, "--suffix", "whole", name=f"{NAME}_whole") / "ckpt.pth.tar")
    stop_at(monkeypatch, 1.0)
    with pytest.raises(SystemExit):
        run(*flags)
    stopped = read_checkpoint(run(*flags, "--resume", "auto") / "ckpt.pth.tar")
    assert stopped["epoch"] == 2
    assert all(torch.equal(stopped["state_dict"][name], value) for name, value in whole["state_dict"].items())
    for group in stopped["optimizer"]["param_groups"]:  # as torch before 2.7 writes it
        del group["decoupled_weight_decay"]
    save_checkpoint(Path("runs") / NAME / "ckpt.pth.tar", stopped)
    stopped = read_checkpoint(run(*flags[:-1], "3", "--resume", "auto") / "ckpt.pth.tar")
    assert stopped["epoch"] == 3
    assert all(group["decoupled_weight_decay"] for group in stopped["optimizer"]["param_groups"])
    with pytest.raises(InputError, match="different optimiser; resume with the same --optimizer"):
        run("--epochs", "4", "--resume", "auto")
