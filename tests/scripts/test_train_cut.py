"""A training that is cut at any step and resumed is bit for bit the uncut one."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo  # otherwise each forked process imports it at its first step
from processes import exit_statuses, start_processes
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from video_files import own_data_flags, write_dataset

from common.console import run_script
from datasets.clip_dataset import VideoDataset
from ops import runtime
from ops.training import engine, fit, saver
from ops.weights.file import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

NAME = "Tiny_mine_none_4f"
SMALL = ["--net", "Tiny", "--num_segments", "4", "--input_size", "32", "-b", "2", "-j", "0", "--epochs", "2", "-p", "3"]
SVMIX = ["--mix", "svmix", "--mix_prob", "0.7", "--eval_teacher", "--log_images", "0"]

TURNS = ["--mix", "mixup,cutmix", "--mix_off_epochs", "1", "--optimizer", "adamw", "--preset", "mae", "-b", "4"]
TURNS += ["--aug_repeats", "2", "--balanced_sampler", "--best_by", "mean_class"]


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """6 batches of 2 clips, and one that each epoch leaves out."""
    return own_data_flags(write_dataset(tmp_path_factory.mktemp("data"), train=13, val=3, num_frames=5))


def signal_in_step(monkeypatch, number: int = signal.SIGTERM, step: int = 1) -> None:
    """Let the process get a signal in this step after its start."""
    real, steps = engine.set_learning_rate, iter(range(1, 1000))

    def set_learning_rate(*arguments: Any) -> None:
        if next(steps) == step:
            signal.raise_signal(number)
        real(*arguments)

    monkeypatch.setattr(engine, "set_learning_rate", set_learning_rate)


def status_of(run: Callable[..., Path], *flags: str) -> int:
    try:
        run(*flags)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def content(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]], dict[str, Any]]:
    """The tensors of the last checkpoint, the log, and the curves within epochs."""

    def tensors(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, (dict, list)):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from tensors(item, f"{name}/{key}")

    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    lines = [{name: value for name, value in line.items() if not name.startswith("time/")} for line in lines]
    events = EventAccumulator(str(folder / "steps")).Reload()
    tags = {"step/loss", "step/top1", "step/hit1", "step/lr", "step/gradient_norm"} & {*events.Tags()["scalars"]}
    assert len(tags) == 4
    curves = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}
    return dict(tensors(read_checkpoint(folder / "ckpt.pth.tar"), "")), lines, curves


def require_same(one: Path, other: Path) -> None:
    (tensors, *log), (others, *other_log) = content(one), content(other)
    assert tensors.keys() == others.keys()
    assert [name for name, value in tensors.items() if not torch.equal(value, others[name])] == []
    assert log == other_log


@pytest.mark.parametrize(
    "flags",
    [
        ["--npb", "--gd", "1"],
        ["--accumulate", "4", "--amp", "bf16"],
        SVMIX,
        TURNS,
        ["--ema", "0.8", "--keep_best", "2", "--optimizer", "nadam", "--freeze", "conv"],
        ["--multi_label", "--mix", "mixup", "--mix_prob", "0.5"],
    ],
    ids=["sgd", "accumulate-bf16", "svmix", "turns-adamw-balanced", "ema-nadam", "multi-label"],
)
def test_a_run_that_is_cut_at_every_step_is_the_uncut_one(run, monkeypatch, flags: list[str]) -> None:
    whole = run(*flags, "--suffix", "whole", name=f"{NAME}_whole")
    cuts = 0
    while True:
        with monkeypatch.context() as patched:
            signal_in_step(patched)
            status = status_of(run, *flags, "--resume", "auto")
        if status == 0:
            break
        assert status == 75
        cuts += 1
    assert cuts == (4 if "--accumulate" in flags else 12)
    require_same(whole, whole.with_name(NAME))


def test_two_processes_go_on_exactly_when_one_is_asked_to_stop(run, monkeypatch) -> None:
    flags = [*SVMIX, "--accumulate", "2", "--epochs", "1", "--ema", "0.8"]
    assert exit_statuses(lambda _rank: run(*flags, "--suffix", "whole")) == [0, 0]

    def cut(rank: int) -> None:
        if rank == 1:
            signal_in_step(monkeypatch, signal.SIGUSR1)
        run(*flags, "--resume", "auto")

    assert exit_statuses(cut) == [75, 75]
    position = read_checkpoint(f"runs/{NAME}/ckpt.pth.tar")["position"]
    assert (position["clips"], len(position["processes"])) == (8, 2)
    assert exit_statuses(lambda _rank: run(*flags, "--resume", "auto")) == [0, 0]
    require_same(Path(f"runs/{NAME}_whole"), Path(f"runs/{NAME}"))


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_an_epoch_is_finished_by_another_number_of_processes(run, monkeypatch, capfd, before: int, after: int) -> None:
    """The clips that are left, each once; the sums of all processes count."""
    real = VideoDataset.read

    def read(dataset: VideoDataset, epoch: int, index: int, memory: torch.Tensor) -> Any:
        with open("read.txt", "a") as file:
            file.write(f"{epoch} {dataset.records[index].path}\n")
        return real(dataset, epoch, index, memory)

    monkeypatch.setattr(VideoDataset, "read", read)

    def cut(_rank: int) -> None:
        with monkeypatch.context() as patched:
            signal_in_step(patched, step=2)
            run("--resume", "auto", "--epochs", "1")

    assert exit_statuses(cut, before) == [75] * before
    done = read_checkpoint(f"runs/{NAME}/ckpt.pth.tar")["position"]
    assert (done["clips"], [part["sums"]["videos"] for part in done["processes"]]) == (4 * before, [4] * before)
    capfd.readouterr()
    assert exit_statuses(lambda _rank: run("--resume", "auto", "--epochs", "1"), after) == [0] * after
    assert f"processes: {before} -> {after}" in capfd.readouterr().out
    trained = [line for line in Path("read.txt").read_text().splitlines() if "train" in line]
    assert len(trained) == len(set(trained)) == 12
    figures = json.loads(Path(f"runs/{NAME}/log.jsonl").read_text())
    assert figures["train/loss"] * 12 > sum(part["sums"]["loss"] for part in done["processes"]) > 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGXCPU"])
def test_every_signal_finishes_the_step_and_says_how_to_continue(run, monkeypatch, capsys, name: str) -> None:
    signal_in_step(monkeypatch, getattr(signal, name), step=3)
    assert status_of(run) == (130 if name == "SIGINT" else 75)
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.match(rf"Stopped by {name}\. .* 50 % of epoch 1 is in runs/{NAME}\. .*--resume auto$", line)
    assert read_checkpoint(f"runs/{NAME}/ckpt.pth.tar")["position"]["clips"] == 6


def test_a_signal_in_a_validation_costs_only_that(run, monkeypatch) -> None:
    whole = run("--suffix", "whole", name=f"{NAME}_whole")
    real = fit.evaluate
    with monkeypatch.context() as patched:
        patched.setattr(fit, "evaluate", lambda *a, **k: (signal.raise_signal(signal.SIGTERM), real(*a, **k))[1])
        assert status_of(run) == 75
    assert read_checkpoint(f"runs/{NAME}/ckpt.pth.tar")["position"]["fraction"] == 1.0
    with monkeypatch.context() as patched:
        patched.setattr(engine, "make_step", lambda *_: pytest.fail("trained again"))
        run("--resume", "auto", "--epochs", "1")
    run("--resume", "auto")
    require_same(whole, whole.with_name(NAME))


def test_a_long_epoch_is_saved_before_its_validation(run, monkeypatch) -> None:
    monkeypatch.setattr(saver, "WORTH_SAVING", 0)
    monkeypatch.setattr(fit, "evaluate", lambda *_, **__: os._exit(9))  # a crash
    assert exit_statuses(lambda _rank: run(), 1) == [9]
    assert read_checkpoint(f"runs/{NAME}/ckpt.pth.tar")["position"]["fraction"] == 1.0


@pytest.mark.parametrize(("interval", "clips"), [("2", 8), ("0.0000001m", 10), ("30m", None)])
def test_a_crash_costs_the_steps_since_the_last_checkpoint(run, monkeypatch, interval: str, clips: int | None) -> None:
    whole = run("--suffix", "whole", name=f"{NAME}_whole")

    def crash(_rank: int) -> None:
        signal_in_step(monkeypatch, signal.SIGKILL, step=6)
        run("--save_every", interval)

    assert exit_statuses(crash, 1) == [-signal.SIGKILL]
    latest = Path(f"runs/{NAME}/ckpt.pth.tar")
    assert (read_checkpoint(latest)["position"]["clips"] if latest.exists() else None) == clips
    run("--resume", "auto")
    require_same(whole, whole.with_name(NAME))


@pytest.mark.skipif(torch.__version__ < "2.9", reason="gloo before torch 2.9 keeps the limit that it started with")
def test_a_process_that_hangs_ends_the_run_with_one_line(run, monkeypatch, capfd) -> None:
    monkeypatch.setattr(runtime, "STEP_TIMEOUT", runtime.timedelta(seconds=5))

    def work(rank: int) -> None:
        if rank == 1:
            signal_in_step(monkeypatch, signal.SIGSTOP, step=2)
        run_script(run)

    processes = start_processes(work)
    processes[0].join(60)
    processes[1].kill()
    assert processes[0].exitcode == 2
    errors = capfd.readouterr().err
    assert re.fullmatch(r"error: another process of this run has died or hangs .*--resume auto\n", errors)


def test_a_killed_process_of_two_costs_the_steps_since_the_last_checkpoint(run, monkeypatch, capfd) -> None:
    assert exit_statuses(lambda _rank: run("--suffix", "whole", "--epochs", "1")) == [0, 0]

    def work(rank: int) -> None:
        if rank == 1:
            signal_in_step(monkeypatch, signal.SIGKILL, step=3)
        run_script(lambda: run("--save_every", "1", "--epochs", "1"))

    assert exit_statuses(work) == [2, -signal.SIGKILL]
    assert "another process of this run has died or hangs" in capfd.readouterr().err
    assert read_checkpoint(f"runs/{NAME}/ckpt.pth.tar")["position"]["clips"] == 8
    assert exit_statuses(lambda _rank: run("--resume", "auto", "--epochs", "1")) == [0, 0]
    require_same(Path(f"runs/{NAME}_whole"), Path(f"runs/{NAME}"))


def test_torchrun_restarts_after_a_kill(run, monkeypatch) -> None:
    """torchrun's agent, in this process; its processes are forked."""
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    flags = ["--epochs", "1", "--save_every", "1"]
    config = LaunchConfig(1, 1, 2, rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork")
    config.max_restarts, config.monitor_interval = 1, 0.1

    def work() -> None:
        if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            signal_in_step(monkeypatch, signal.SIGKILL, step=3)
        run(*flags, "--resume", "auto")
        Path(f"done {os.environ['TORCHELASTIC_RESTART_COUNT']}").touch()

    elastic_launch(config, work)()
    assert [path.name for path in Path().glob("done *")] == ["done 1"]
    assert exit_statuses(lambda _rank: run(*flags, "--suffix", "whole")) == [0, 0]
    require_same(Path(f"runs/{NAME}_whole"), Path(f"runs/{NAME}"))


def test_a_killed_reader_worker_costs_the_steps_since_the_last_checkpoint(run, monkeypatch, capfd) -> None:
    whole = run("--suffix", "whole", name=f"{NAME}_whole")

    def work(_rank: int) -> None:
        signal_in_step(monkeypatch, signal.SIGKILL, step=4)
        monkeypatch.setattr(signal, "raise_signal", lambda number: os.kill(active_children()[0].pid, number))
        run_script(lambda: run("-j", "1", "--save_every", "2"))

    assert exit_statuses(work, 1) == [2]
    assert re.search(r"^error: .*DataLoader worker.*--resume auto$", capfd.readouterr().err, re.MULTILINE)
    assert read_checkpoint(f"runs/{NAME}/ckpt.pth.tar")["epoch"] == 0
    run("--resume", "auto")
    require_same(whole, whole.with_name(NAME))
