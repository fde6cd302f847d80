"""train.py started again: it lists what changed, and refuses what has diverged or is finished."""

import json
import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import stop_at
from video_files import own_data_flags, write_dataset

import train
from common.errors import InputError
from ops.training.run_history import differences, record_start
from ops.weights.file import read_checkpoint, save_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

NAME = "Tiny_mine_none_1f"
SMALL = ["--net", "Tiny", "--num_segments", "1", "--input_size", "32", "-b", "3", "-j", "0"]
SMALL += ["--epochs", "2", "--lr", "0.001"]


@pytest.fixture(scope="module")
def trained(tiny_network, tiny_data, tmp_path_factory) -> dict[str, Any]:
    """A checkpoint after one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    train.main(
        ["mine", "RGB", *tiny_data, *SMALL, "--epochs", "1", "--root_model", str(folder), "--root_log", str(folder)]
    )
    return read_checkpoint(folder / NAME / "ckpt.pth.tar")


def put(content: dict[str, Any], name: str = NAME) -> Path:
    """A run's folder with this checkpoint as its latest."""
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    save_checkpoint(folder / "ckpt.pth.tar", content)
    return folder / "ckpt.pth.tar"


def test_differences_are_listed_in_one_block_and_options_keep_a_history(run, trained, capsys) -> None:
    lists = {"train_list_hash": "0", "val_list_hash": "0"}
    environment = {**trained["environment"], "processes": 4, "train clips": 7}
    seen = {name: clips[1:] for name, clips in trained["seen_clips"].items()}
    put({**trained, "environment": environment, "seen_clips": seen, "trained_on": {**trained["trained_on"], **lists}})
    changed = ["--lr", "0.002", "--wd", "0.001", "--momentum", "0.8", "--seed", "3", "-b", "2", "--accumulate", "2"]
    changed += ["--dropout", "0.1", "--amp", "bf16", "--mix", "mixup", "--label_smoothing", "0.1", "--lr_type", "cos"]
    folder = run(*changed, "--resume", "auto", "--data_root", "elsewhere", "-p", "7")
    printed = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(printed) if "differs" in line) + 1
    block = [line.strip() for line in takewhile(lambda line: line.startswith("  "), printed[start:])]
    assert {"--lr: 0.001 -> 0.002", "--data_root: data -> elsewhere", "processes: 4 -> 1"} < set(block)
    assert [line for line in block if re.match("train list: changed, 1 new clip;.*differ|val list: .*comparable", line)]
    assert "train clips: 7 -> 6" in block
    names = "accumulate amp batch_size data_root dropout epochs label_smoothing lr lr_type mix mix_off_epochs mix_prob "
    names += "momentum seed"
    flags = [*(f"--{name}" for name in names.split()), "--wd"]
    assert [line.split(":")[0] for line in block] == ["train list", "val list", *flags, "processes", "train clips"]
    first = json.loads((folder / "options.json").read_text())
    assert (first["history"], first["epochs_done"]) == ([], 1)
    run("--epochs", "3", "--resume", "auto")
    options = json.loads((folder / "options.json").read_text())
    assert options["epochs_done"] == 2
    assert options["options"]["lr"] == 0.001
    assert [start["options"]["lr"] for start in options["history"]] == [0.002]
    assert options["history"][0]["command"]


def test_the_same_command_lists_no_differences(run, trained, capsys) -> None:
    put({**trained, "options": {**trained["options"], "epochs": 2, "workers": 9, "resume": "x"}})
    run("--resume", "auto")
    assert "differs" not in capsys.readouterr().out


def test_a_damaged_history_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    for text in ("[]", "{", '{"history": 3}', "[" * 100_000, "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=r"options\.json cannot be read.*move it away"):
            record_start(path, {}, 0)
        assert path.read_text(encoding="latin-1") == text


def test_values_known_to_one_start_only_are_not_compared() -> None:
    now = {"options": {"lr": 1.0, "new": 1, "gpus": [0]}, "environment": {"threads": 1}}
    assert differences({}, now) == []
    assert differences({"options": {"lr": 1.0, "old": 1, "gpus": None}}, now) == []
    before = {"options": {"lr": torch.zeros(2), "new": None}, "environment": {"threads": 2}}
    assert [line.split(":")[0] for line in differences(before, now)] == ["--lr", "--new", "threads"]


def test_a_run_that_has_done_all_its_epochs_says_so(run, trained, capsys) -> None:
    put({**trained, "epoch": 5})
    with pytest.raises(InputError, match=rf"--epochs 2, but runs/{NAME}/ckpt\.pth\.tar has already trained for 5;"):
        run("--resume", "auto")
    put({**trained, "epoch": 2}, f"{NAME}-2")
    run("--resume", "auto")  # as a recipe that is started again
    printed = capsys.readouterr().out
    assert "2 epochs done" in printed
    assert printed.endswith(f"run: runs/{NAME}-2\n")
    save_checkpoint(Path("elsewhere.pth.tar"), {**trained, "epoch": 2})
    with pytest.raises(InputError, match="--epochs 2, but elsewhere.* has already trained for 2;"):
        run("--resume", "elsewhere.pth.tar")


def test_a_run_that_is_stopped_before_its_first_checkpoint_stays_in_its_folder(run, monkeypatch, capsys) -> None:
    for _ in range(2):
        stop_at(monkeypatch, 0.5)
        with pytest.raises(SystemExit):
            run("--resume", "auto")
    assert "There is no checkpoint" in capsys.readouterr().out
    folder = run("--resume", "auto")
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"run: runs/{NAME}"
    assert [path.name for path in folder.parent.iterdir()] == [NAME]
    assert len(json.loads((folder / "options.json").read_text())["history"]) == 2
    assert ["left)" in line for line in printed if line.startswith("epoch") and "best" in line] == [True, False]


def test_a_run_whose_folder_is_deleted_stops(run, monkeypatch) -> None:
    real = train.learning_rate

    def learning_rate(epoch: float, **options) -> float:
        folder = Path("runs") / NAME
        if folder.exists():
            folder.rename("moved")
        return real(epoch, **options)

    monkeypatch.setattr(train, "learning_rate", learning_rate)
    with pytest.raises(InputError, match=rf"runs/{NAME} was deleted, moved or replaced"):
        run()
    assert not Path("runs", NAME).exists()


def with_nan(content: dict[str, Any], name: str) -> dict[str, Any]:
    state = {key: value.clone() for key, value in content["state_dict"].items()}
    state[name].view(-1)[0] = float("nan")
    return {**content, "state_dict": state}


@pytest.mark.parametrize("name", ["bn.running_var", "fc.bias"])
@pytest.mark.parametrize(
    "flags", [["-e", "--resume"], ["--resume"], ["--tune_from"]], ids=lambda flags: " ".join(flags)
)
def test_a_non_finite_network_is_refused(run, trained, name: str, flags: list[str]) -> None:
    save_checkpoint(Path("nan.pth.tar"), with_nan(trained, name))
    with pytest.raises(InputError, match=rf"nan\.pth\.tar: (state_dict\.)?{name.replace('.', '[.]')} has values"):
        run(*flags, "nan.pth.tar")
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_a_non_finite_optimiser_is_refused(run, trained) -> None:
    state = {number: {"momentum_buffer": torch.full_like(values["momentum_buffer"], float("inf"))}
             for number, values in trained["optimizer"]["state"].items()}  # fmt: skip
    path = put({**trained, "optimizer": {**trained["optimizer"], "state": state}})
    with pytest.raises(InputError, match=r"optimizer\.state\.0\.momentum_buffer has values that are not finite"):
        run("--resume", "auto")
    run("-e", "-b", "1", "--npb", "--resume", str(path))  # its weights are fine; one clip is enough here


@pytest.mark.parametrize(("flags", "where"), [([], "epoch 2 val: .* 5 of 5 videos"), (["-ef", "9"], "after epoch 2")])
def test_a_network_that_becomes_non_finite_is_not_saved(run, monkeypatch, flags: list[str], where: str) -> None:
    """A running variance does so unnoticed: in training, BatchNorm does not read it."""
    real = train.TrainState.__init__
    made = []
    monkeypatch.setattr(train.TrainState, "__init__", lambda self, *a, **k: (real(self, *a, **k), made.append(self))[0])
    rate = train.learning_rate

    def learning_rate(epoch: float, **options) -> float:
        if epoch >= 1:
            made[0].model.bn.running_var[0] = float("nan")
        return rate(epoch, **options)

    monkeypatch.setattr(train, "learning_rate", learning_rate)
    with pytest.raises(InputError, match=rf"(?s){where}.*"):
        run("--npb", "--epochs", "3", *flags)
    folder = Path("runs") / NAME
    assert read_checkpoint(folder / "ckpt.pth.tar")["epoch"] == 1
    best = folder / "ckpt.best.pth.tar"
    assert not best.exists() or read_checkpoint(best)["epoch"] == 1


def test_the_best_checkpoint_has_no_optimiser_and_is_evaluated(run, capsys) -> None:
    folder = run()
    best, latest = (read_checkpoint(folder / f"ckpt.{name}pth.tar") for name in ("best.", ""))
    assert latest.keys() - best.keys() == {"optimizer", "scaler"}
    run("-e", "--resume", str(folder / "ckpt.best.pth.tar"))
    assert f"top-1 {best['figures']['val/top1']:.1f} %" in capsys.readouterr().out


def test_batchnorm_over_one_value_is_refused_before_anything_is_written(run, tmp_path: Path) -> None:
    tsn = ["--net", "TSN", "--arch", "resnet10", "--npb"]
    with pytest.raises(InputError, match=r"BatchNorm of TSN.*--batch-size"):
        run(*tsn, "-b", "1")
    one = own_data_flags(write_dataset(tmp_path / "one", train=1, val=1))
    with pytest.raises(InputError, match=r"BatchNorm of TSN.*--batch-size"):
        train.main(["one", *one, *SMALL, *tsn])
    assert not Path("runs").exists()
