"""scripts/gpu_check.py: all checks that a CPU allows pass, and each check fails on the fault that it guards against."""

import json
import os
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from started_python import run_python
from torch import Tensor, nn
from torch.distributed import run as torchrun
from two_processes import run_program

import pkl_to_results
import test_models_center_crop as center_crop
import train
from common.errors import InputError
from datasets import shared_memory
from ops import h2cn_inference
from ops.runtime import Runtime
from ops.scoring.pickles import write_scores
from scripts import gpu_check
from scripts.benchmarking import model_and_step
from scripts.gpu_checks import bench as benches
from scripts.gpu_checks import numerics, speed
from scripts.gpu_checks.bench import Bench, Fact, Run, Skip

pytestmark = pytest.mark.slow

ROOT = Path(gpu_check.__file__).parents[1]
CPU = Runtime(torch.device("cpu"))
NEED_GPUS = {"parallel", "compiled", "accuracy", "speed_compiled"}


def verdict(name: str, bench: Bench) -> str:
    """The verdict with its reason."""
    result = gpu_check.run_check(name, bench)
    return f"{result.verdict} {result.reason}".strip()


# Scripts that may run in the process of the tests, where torch is already imported.
MAINS = {
    "train.py": train.main,
    "test_models_center_crop.py": center_crop.main,
    "test_models_three_crops.py": partial(center_crop.main, crops=3),
    "pkl_to_results.py": pkl_to_results.main,
}


def test_all_checks_that_a_cpu_allows_pass(tmp_path: Path, monkeypatch, quick_plots, capsys) -> None:
    """Of few networks. The scripts in this process; two processes as torchrun would start them, but forked."""

    def script(_bench: Bench, name: str, *arguments: object, launcher=(), cpu: bool = False) -> str:
        if launcher:
            launched = torchrun.parse_args([*launcher[2:], name])
            assert (launcher[:2], launched.nproc_per_node) == (("-m", torchrun.__name__), "2")
            program = "print(in_two_processes(lambda: run_script(lambda: train.main(sys.argv[1:]))))"
            done = run_program(tmp_path, program, list(map(str, arguments)))
            assert done.stdout.splitlines()[-1] == "[0, 0]", done.stderr
            return done.stdout + done.stderr
        with redirect_stdout(StringIO()) as output:
            MAINS[name](list(map(str, arguments)))
        return output.getvalue()

    monkeypatch.setattr(Bench, "script", script)
    monkeypatch.setattr(numerics, "FAMILY", ["H2CN"])
    monkeypatch.setattr(speed, "NETWORKS", ("h2cn", "naive"))
    monkeypatch.setitem(model_and_step.MATRIX, "cpu", 512)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpu_check.main(["--json", str(tmp_path / "a.json"), "--limit", "3600"])
    assert verdicts(tmp_path / "a.json") == {name: "SKIP" if name in NEED_GPUS else "PASS" for name in gpu_check.CHECKS}
    printed = capsys.readouterr().out
    assert "No GPU found" in printed
    assert all(f"| **{name}** |" in printed for name in gpu_check.CHECKS)


def verdicts(report: Path) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in json.loads(report.read_text())["checks"]}


def test_as_a_user_runs_it_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/gpu_check.py"), "--only", "device", "parallel"]
    files = ["--json", "a.json", "--markdown", "a.md"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = run_python([*command, *files], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdicts(tmp_path / "a.json") == {"device": "PASS", "parallel": "SKIP"}
    table = (tmp_path / "a.md").read_text()
    assert table in done.stdout
    assert "| **device** |" in table


# The runner


def test_a_broken_check_does_not_stop_the_others(tmp_path: Path, monkeypatch, capsys) -> None:
    def broken(_bench):
        yield Fact("a number", 1, high=2)
        raise RuntimeError("a long story\nout of memory")

    checks = {
        "broken": broken,
        "nan": lambda _: [Fact("x", float("nan"), high=1)],
        "good": lambda _: [],
    }
    monkeypatch.setattr(gpu_check, "CHECKS", checks)
    with pytest.raises(SystemExit) as ended:
        gpu_check.main(["--json", str(tmp_path / "a.json"), "--keep", str(tmp_path / "new")])
    assert ended.value.code == 1
    lines = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines() if line[:4] in ("PASS", "FAIL")]
    assert [line[:2] for line in lines] == [["FAIL", "broken"], ["FAIL", "nan"], ["PASS", "good"]]
    assert lines[0][4] == "RuntimeError: out of memory"
    first = json.loads((tmp_path / "a.json").read_text())["checks"][0]
    assert (first["facts"][0]["what"], first["facts"][0]["value"]) == ("a number", 1)
    with pytest.raises(InputError, match="--keep .*new.* give a new folder"):
        gpu_check.main(["--keep", str(tmp_path / "new")])


def test_no_check_starts_after_the_limit(capsys) -> None:
    gpu_check.main(["--limit", "0", "--only", "logits", "train"])
    assert capsys.readouterr().out.count("SKIP") == 4  # two verdicts, two rows


def test_a_check_that_ends_early_gives_the_reason(tmp_path: Path, monkeypatch) -> None:
    def cut(_bench):
        yield Fact("x", 1)
        raise Skip("time")

    monkeypatch.setattr(gpu_check, "CHECKS", {"cut": cut})
    assert verdict("cut", Bench(CPU, tmp_path)) == "PASS time"


def test_a_list_of_all_checks(capsys) -> None:
    gpu_check.main(["--list"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(gpu_check.CHECKS)


def test_a_script_that_fails_or_hangs(tmp_path: Path, monkeypatch) -> None:
    """The last line of output is the reason; no process of a hanging script is left."""
    bench = Bench(CPU, tmp_path)
    with pytest.raises(RuntimeError, match=r"predict\.py failed: .*error: .*--weights"):
        bench.script("predict.py", "nothing")
    assert "--weights" in (tmp_path / "commands.log").read_text()
    (tmp_path / "hang.py").write_text(
        "import os, pathlib, subprocess\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "child.wait()\n"
    )
    monkeypatch.setattr(benches, "PATIENCE", 2)
    with pytest.raises(RuntimeError, match="did not end within 2 s"):
        bench.script(str(tmp_path / "hang.py"))
    child = Path("/proc") / (tmp_path / "pid").read_text() / "stat"
    for _ in range(50):  # until its new parent has reaped it
        if not child.exists() or child.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the hanging script's child lives on")


# Numbers


@pytest.fixture
def small(tmp_path: Path, monkeypatch) -> Bench:
    """With H2CN only."""
    monkeypatch.setattr(numerics, "FAMILY", ["H2CN"])
    return Bench(CPU, tmp_path)


def test_a_device_that_does_not_compute_fails(small: Bench) -> None:
    small.device = torch.device("meta")
    assert verdict("device", small).startswith("FAIL")


def check_form(monkeypatch, small: Bench, form) -> str:
    monkeypatch.setattr(numerics, "FORMS", {"": form})
    return verdict("logits", small)


def test_tf32_in_place_of_float32_fails(small: Bench, monkeypatch) -> None:
    def rounded(model: nn.Module) -> nn.Module:
        for parameter in model.parameters():
            if parameter.dtype == torch.float32:
                parameter.data = (parameter.data.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)
        return model

    assert check_form(monkeypatch, small, rounded).startswith("FAIL H2CN float32: ")


def test_autocast_to_another_type_fails(small: Bench, monkeypatch) -> None:
    """As in the threads of torch's DataParallel, which `logits` checks on several GPUs."""

    class Float16(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, clip: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.float16, enabled=torch.is_autocast_enabled("cpu")):
                return self.model(clip)

    assert check_form(monkeypatch, small, Float16) == "FAIL TypeError: H2CN --amp bf16 gives torch.float16"


def test_a_wrong_bias_after_fusing_fails(small: Bench, monkeypatch) -> None:
    real = h2cn_inference.fuse_conv_bn_eval

    def wrong(*modules):
        fused = real(*modules)
        fused.bias.data += 0.01
        return fused

    monkeypatch.setattr(h2cn_inference, "fuse_conv_bn_eval", wrong)
    found = verdict("logits", small)
    assert found.startswith("FAIL ")
    assert "fused for inference, H2CN gives other scores" in found


class WrongGradient(Runtime):
    """A device whose backward pass is wrong in one place."""

    def wrap(self, model: nn.Module) -> nn.Module:
        model.layer2[0].conv1.weight.register_hook(lambda gradient: gradient + gradient.roll(1, 0))
        return model


def test_a_wrong_gradient_fails(small: Bench) -> None:
    small.runtime = WrongGradient(torch.device("cpu"))
    assert verdict("gradients", small).startswith("FAIL float64: ")


def test_a_group_that_changes_gradients_or_gathers_nothing_fails(small: Bench, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        wrong = lambda self, model: WrongGradient.wrap(self, model) if self.world_size > 1 else model  # noqa: E731
        patch.setattr(Runtime, "synchronise", wrong)
        assert verdict("group", small).startswith("FAIL gradient")
    monkeypatch.setattr(torch.distributed, "all_gather_object", lambda *_: None)
    assert verdict("group", small).startswith("FAIL processes gathered: 0")


@pytest.mark.usefixtures("forked_workers")
def test_memory_reused_too_early_fails(small: Bench, monkeypatch) -> None:
    slot: list[Tensor] = []  # the only one of a worker

    def only_slot(size: int) -> Tensor:
        slot.extend([] if slot else [shared_memory.shared_bytes(size + 1)])
        shared_memory._slots[:] = slot
        return slot[0]

    monkeypatch.setattr(shared_memory, "_free_slot", only_slot)
    assert verdict("pinned", small).startswith("FAIL batches with changed pixels: ")


# Trainings and tests, from recorded logs and scores


@dataclass
class Recorded(Bench):
    """Replays trainings that learned, unless `wrong` replaces fields of their `Run`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.wrong: dict[str, dict] = {}
        self.scaler = {"scale": 2.0**14, "_growth_tracker": 3}
        self.data = self.folder / "digit_pair"
        self.data.mkdir()
        (self.data / "train.txt").write_text(12 * "clip 6 0\n")

    def train(self, name: str, *_arguments: object, launcher=()) -> Run:
        lines = [{"epoch": epoch, "val/loss": 2 - 0.3 * epoch, "val/top1": 97.0} for epoch in range(3)]
        if name == "resume":
            lines = [lines[-1], {"epoch": 3, "val/loss": 0.6}]
        checkpoint = self.folder / f"{name}.pth.tar"
        torch.save({"scaler": self.scaler}, checkpoint)
        return Run(checkpoint, **{"lines": lines, "output": 3 * "train 3/3 \n", **self.wrong.get(name, {})})

    def script(self, *_arguments: object, **_options: object) -> str:
        return ""


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    bench = Recorded(CPU, tmp_path)
    logits, labels, videos = np.float32([[3, 1], [0, 2], [1, 2]]), [0, 1, 0], ["a", "b", "c"]
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.tensor(labels)).item()
    bench.wrong["plain"] = {"lines": [{"epoch": 2, "val/loss": loss}]}
    for folder, crops in (("scores1", 1), ("scores3", 3), ("scores1_cpu", 1), ("scores3_cpu", 3)):
        (tmp_path / folder).mkdir()
        for crop in range(crops):
            write_scores(tmp_path / folder / f"0_crop{crop}.pkl", logits, labels, videos)
    (tmp_path / "scores3" / "results.json").write_text(json.dumps({"top1": 200 / 3}))
    return bench


TRAININGS = ("train", "resume", "fp16", "svmix", "torchrun")
NOTHING_LEARNT = [{"epoch": 2, "val/loss": 2.48}, {"epoch": 3, "val/loss": 2.48, "val/top1": 20.0}]


@pytest.mark.parametrize("name", [*TRAININGS, "tests", "compiled", "parallel", "accuracy"])
def test_good_recordings_pass(name: str, recorded: Recorded) -> None:
    recorded.gpus = [] if name in TRAININGS else [0, 1]
    assert verdict(name, recorded) == "PASS"


@pytest.mark.parametrize("name", [*TRAININGS, "compiled", "parallel", "accuracy"])
def test_a_training_that_learns_nothing_fails(name: str, recorded: Recorded) -> None:
    recorded.gpus = [] if name in TRAININGS else [0, 1]
    recorded.wrong[{"train": "plain", "torchrun": "torchrun2"}.get(name, name)] = {"lines": NOTHING_LEARNT}
    assert verdict(name, recorded).startswith("FAIL top-1" if name == "accuracy" else "FAIL loss on the val list: 2.48")


def test_a_training_on_the_cpu_of_a_machine_with_gpus_fails(recorded: Recorded) -> None:
    recorded.gpus = [0]
    recorded.wrong["svmix"] = {"output": "No GPU found: running on the CPU."}
    assert verdict("svmix", recorded).startswith("FAIL lines about the CPU: 1")


def test_a_resumed_run_that_starts_over_fails(recorded: Recorded) -> None:
    """It learns as much, but from the first epoch on."""
    recorded.wrong["resume"] = {"lines": [{"epoch": epoch, "val/loss": 0.6} for epoch in range(4)]}
    assert verdict("resume", recorded).startswith("FAIL epochs trained again: 2")


@pytest.mark.parametrize(
    "scaler", [{"scale": 2.0**16, "_growth_tracker": 0}, {"scale": 1e-4, "_growth_tracker": 0}, {}]
)
def test_a_scaler_that_is_ignored_or_finds_no_scale_fails(scaler: dict, recorded: Recorded) -> None:
    recorded.scaler = scaler
    assert verdict("fp16", recorded).startswith("FAIL")


def test_processes_that_are_not_one_run_fail(recorded: Recorded) -> None:
    """Each of them trains on all clips."""
    recorded.wrong["torchrun2"] = {"output": 3 * "train 6/6 \n"}
    assert verdict("torchrun", recorded).startswith("FAIL 2 processes: epochs of 3 steps: 0")


def test_wrong_scores_fail(recorded: Recorded) -> None:
    shuffled = np.float32([[0, 2], [1, 2], [3, 1]])
    write_scores(recorded.folder / "scores1" / "0_crop0.pkl", shuffled, [0, 1, 0], ["a", "b", "c"])
    assert verdict("tests", recorded).startswith("FAIL test_models_center_crop.py: loss")
    recorded.gpus = [0]
    write_scores(recorded.folder / "scores3_cpu" / "0_crop2.pkl", shuffled, [0, 1, 0], ["a", "b", "c"])
    assert "; test_models_three_crops.py: probabilities, difference from the CPU: " in verdict("tests", recorded)


def test_a_wrong_merge_fails(recorded: Recorded) -> None:
    (recorded.folder / "scores3" / "results.json").write_text(json.dumps({"top1": 50.0}))
    assert verdict("tests", recorded).startswith("FAIL pkl_to_results.py: top-1, %: 50")


# Measurements


def test_a_network_that_needs_more_memory_than_the_naive_one_fails(small: Bench, monkeypatch) -> None:
    peaks = dict(zip(speed.NETWORKS, (3, 1, 1, 1, 2), strict=True))
    monkeypatch.setattr(speed, "make_call", lambda variant, _: lambda: variant.network)
    monkeypatch.setattr(speed, "peak_tensor_bytes", lambda call, _: peaks[call()])
    assert verdict("memory", small).startswith("FAIL h2cn, share of naive's: 1.5")


def test_a_network_that_is_faster_than_the_device_fails(small: Bench, monkeypatch) -> None:
    monkeypatch.setattr(speed, "NETWORKS", ("tsn",))
    monkeypatch.setattr(speed, "product_rate", lambda *_: 1e6)
    assert verdict("speed", small) == "PASS"  # on a CPU: no test depends on a time
    small.gpus = [0]
    assert verdict("speed", small).startswith("FAIL step tsn+bf16: ")


def test_networks_are_compiled_while_there_is_time(small: Bench, monkeypatch) -> None:
    """Network by network, none after the limit."""
    monkeypatch.setattr(speed, "product_rate", lambda *_: 1e15)
    monkeypatch.setattr(torch, "compile", lambda network: network)
    small.gpus, small.deadline = [0], time.monotonic() + 0.5 + speed.COMPILING
    monkeypatch.setattr(speed, "measure", lambda *_: time.sleep(0.3) or {})
    result = gpu_check.run_check("speed_compiled", small)
    assert (result.verdict, len(result.facts)) == ("PASS", 1)
    assert result.reason.startswith("time")
