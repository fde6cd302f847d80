"""train.py --mix: its output, resuming bit for bit, several processes, and what is refused."""

import json
import re
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from two_processes import run_program
from video_files import own_data_flags, write_dataset

import test_models_center_crop
import train
from common.errors import InputError
from ops.weights.file import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

NAME = "Tiny_mine_none_2f"
SIZES = ["--num_segments", "2", "--input_size", "32", "-b", "3", "-j", "0"]
SMALL = ["--net", "Tiny", *SIZES]


def tensors(content, prefix: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint by their path."""
    if isinstance(content, torch.Tensor):
        return {prefix: content}
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return {name: value for key, part in pairs for name, value in tensors(part, f"{prefix}/{key}").items()}


SVMIX = ["--mix", "svmix", "--mix_prob", "0.8", "--label_smoothing", "0.1", "--eval_teacher", "--epochs", "3", "--npb"]


def test_svmix_resumes_bit_for_bit_and_its_network_is_tested_like_any_other(run, monkeypatch, tmp_path, capsys) -> None:
    whole = run(*SVMIX, "--suffix", "whole", name=f"{NAME}_whole")
    real = train.learning_rate

    def stop_in_the_second_epoch(epoch: float, **options) -> float:
        if epoch >= 1.5:
            raise KeyboardInterrupt
        return real(epoch, **options)

    monkeypatch.setattr(train, "learning_rate", stop_in_the_second_epoch)
    with pytest.raises(SystemExit):
        run(*SVMIX)
    monkeypatch.setattr(train, "learning_rate", real)
    cut = run(*SVMIX, "--resume", "auto")
    one, other = (tensors(read_checkpoint(folder / "ckpt.pth.tar")) for folder in (whole, cut))
    assert {name.split("/")[1] for name in one} == {"state_dict", "optimizer", "mixing", "seen_clips"}
    assert {name.split("/")[2] for name in one if "/mixing/" in name} == {"teacher", "selector", "selector_optimizer"}
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)

    lines = [(folder / "log.jsonl").read_text().splitlines() for folder in (whole, cut)]
    figures = [[{k: v for k, v in json.loads(line).items() if "time" not in k} for line in of_run] for of_run in lines]
    assert figures[0] == figures[1]
    assert {"train/offline_loss", "train/mask_loss", "val/teacher_top1", "val/teacher_loss"} <= set(figures[0][-1])
    assert "train/offline_loss" not in figures[0][1]
    images = EventAccumulator(str(whole), size_guidance={"images": 0}).Reload().Images("train/mixed")
    assert [image.step for image in images] == [0, 2]  # both batches of epoch 1 were left unmixed

    capsys.readouterr()
    run("-e", "--npb", "--mix", "svmix", "--eval_teacher", "--resume", str(cut / "ckpt.pth.tar"))
    printed = capsys.readouterr().out
    assert f"loss {figures[0][-1]['val/teacher_loss']:.3f}" in printed.split("the teacher of")[1]
    best = read_checkpoint(cut / "ckpt.best.pth.tar")
    assert best["mixing"].keys() == {"teacher", "selector"}
    run("-e", "--npb", "--mix", "svmix", "--eval_teacher", "--resume", str(cut / "ckpt.best.pth.tar"))
    printed = capsys.readouterr().out
    assert f"top-1 {best['figures']['val/teacher_top1']:.1f} %" in printed.split("the teacher of")[1]
    with pytest.raises(InputError, match="has no valid optimizer, scaler"):
        run(*SVMIX, "--resume", str(cut / "ckpt.best.pth.tar"))
    run("-e", "--npb", "--resume", str(cut / "ckpt.pth.tar"))
    assert "holds the teacher and the selector of --mix svmix" in capsys.readouterr().out
    weights = str(cut / "ckpt.pth.tar")
    test_models_center_crop.main(["--weights", weights, "--output_dir", str(tmp_path / "scores"), "-j", "0"])
    assert (tmp_path / "scores" / "0_crop0.pkl").exists()


@pytest.mark.parametrize("mix", ["mixup", "cutmix", "videomix"])
def test_methods_without_parameters(run, mix: str) -> None:
    folder = run("--mix", mix, "--epochs", "1", "--accumulate", "2", "--amp", "bf16", "--log_images", "0")
    line = json.loads((folder / "log.jsonl").read_text())
    assert line["time/mixing"] > 0
    assert EventAccumulator(str(folder)).Reload().Tags()["images"] == ["val/confusion"]
    assert json.loads((folder / "options.json").read_text())["options"]["mix_prob"] == 1.0


def test_two_processes_mix_differently_and_share_one_selector(tiny_data, tmp_path: Path) -> None:
    program = """
import json
from ops.mixing.svmix import SvMix
made, pairs = [], []
real, real_pair = SvMix.__init__, SvMix._pair
SvMix.__init__ = lambda self, *a: (real(self, *a), made.append(self))[0]
SvMix._pair = lambda *a: (pairs.append(real_pair(*a)), pairs[-1])[1]

def work():
    run_script(lambda: train.main(sys.argv[1:]))
    state = [made[0].selector.query.weight.tolist(), made[0].teacher.fc.weight.tolist()]
    with open("rank" + os.environ["RANK"], "w") as file:
        json.dump([state, [ratio for _, ratio in pairs]], file)

print(in_two_processes(work))
"""
    flags = ["mine", *tiny_data, "--net", "TSM", "--arch", "resnet10", *SIZES, "--epochs", "1"]
    flags += ["--mix", "svmix", "--eval_teacher"]
    done = run_program(tmp_path, program, flags)
    assert done.stdout.splitlines()[-1:] == ["[0, 0]"], done.stderr
    assert "teacher's top-1" in done.stdout
    states, ratios = zip(*(json.loads((tmp_path / f"rank{rank}").read_text()) for rank in range(2)), strict=True)
    assert states[0] == states[1]
    assert all(a != b for a, b in zip(*ratios, strict=True)), ratios


BAD_FLAGS = [
    (["--mix", "mosaic"], SystemExit, "--mix.*choose from.*svmix"),
    (["--mix", "mixup", "--mix_prob", "1.5"], SystemExit, "--mix_prob.*at most 1"),
    (["--mix", "mixup", "--mix_alpha", "0"], SystemExit, "--mix_alpha.*above 0"),
    (["--mix_prob", "0.5"], InputError, "--mix_prob needs --mix, .*--mix none"),
    (["--mix_alpha", "0.5"], InputError, "--mix_alpha needs --mix"),
    (["--log_images", "2"], InputError, "--log_images needs --mix"),
    (["--mix", "cutmix", "--selector_lr", "0.1"], InputError, "--selector_lr needs --mix svmix, .*--mix cutmix"),
    (["--mix", "cutmix", "--mix_switch_prob", "0"], InputError, "--mix_switch_prob needs --mix svmix"),
    (["--mix", "mixup", "--teacher_decay", "0.9"], InputError, "--teacher_decay needs --mix svmix"),
    (["--mix", "svmix", "--teacher_decay", "2"], SystemExit, "--teacher_decay.*at most 1"),
    (["--eval_teacher"], InputError, "--eval_teacher needs --mix svmix"),
    (["--mix", "mixup,mixup"], SystemExit, "'mixup,mixup': choose from none, mixup.*several of mixup, cutmix"),
    (["--mix", "mixup,svmix"], SystemExit, "'mixup,svmix': choose from"),
    (["--mix", "mixup,cutmix", "--mix_alpha", "1,1,1"], InputError, "--mix_alpha has 3 numbers for mixup,cutmix"),
    (["--mix", "svmix", "--mix_alpha", "1,1"], InputError, "--mix_alpha has 2 numbers for svmix"),
    (["--mix_off_epochs", "1"], InputError, "--mix_off_epochs needs --mix"),
    (["--mix", "mixup", "--mix_off_epochs", "3"], InputError, "--mix_off_epochs 3 leaves none of --epochs 3"),
    (["--mix", "mixup", "-b", "1"], InputError, "--batch-size 1.*2 or more"),
]


@pytest.mark.parametrize(("flags", "error", "words"), BAD_FLAGS, ids=[" ".join(flags) for flags, _, _ in BAD_FLAGS])
def test_bad_flags(run, capsys, flags: list[str], error: type[BaseException], words: str) -> None:
    with pytest.raises(error) as raised:
        run("--epochs", "3", *flags)
    text = capsys.readouterr().err if error is SystemExit else str(raised.value)
    assert re.search(words, text, re.DOTALL), text
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("data_set", "words"),
    [({"train": 1}, "one clip for each process"), ({"classes": ("only one",)}, "one class only; leave --mix out")],
)
def test_data_that_cannot_be_mixed(tmp_path: Path, monkeypatch, data_set: dict, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_dataset(tmp_path / "data", val=1, **data_set)
    with pytest.raises(InputError, match=words):
        train.main(["mine", *own_data_flags(root), *SMALL, "--epochs", "1", "--mix", "cutmix"])
    assert not Path("runs").exists()


def test_svmix_does_not_resume_a_run_without_it(run) -> None:
    folder = run("--epochs", "1")
    with pytest.raises(InputError, match="trained without --mix svmix; start from it with --tune_from"):
        run("--epochs", "2", "--mix", "svmix", "--resume", str(folder / "ckpt.pth.tar"))
