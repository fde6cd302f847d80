"""Devices without a GPU, progress lines, and what the log keeps."""

import json
import os
import platform
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import torch.distributed as dist
from started_python import run_python
from tiny_net import TinyNet
from torch import nn

from common.errors import InputError
from common.progress import track
from ops import runtime
from ops.runtime import Runtime, start_runtime
from ops.training.run_log import RunLog, provenance
from opts import train_parser
from scripts.extract_frames import extract_parser


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="for machines without a GPU")
@pytest.mark.parametrize("gpus", [None, [0], [0, 1]])
def test_without_a_gpu_one_line_says_cpu(gpus, caplog) -> None:
    with caplog.at_level("INFO"):
        started = start_runtime(gpus)
    assert started.device.type == "cpu"
    assert len(caplog.records) == 1
    assert "on the CPU" in caplog.text


@pytest.fixture
def two_gpus(monkeypatch) -> Mock:
    """Two GPUs, as far as the choice of devices looks at them; returns what replaces `torch.cuda.set_device`."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", set_device := Mock())
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    return set_device


def test_the_first_gpu_of_a_run_is_the_process_s_current_one(two_gpus) -> None:
    """Events and pinned memory belong to the current device: with --gpus 1 they must not go to GPU 0."""
    assert start_runtime([1]) == Runtime(torch.device("cuda", 1), (1,))
    two_gpus.assert_called_once_with(1)
    with pytest.raises(InputError, match="--gpus 2: .* GPUs 0 to 1"):
        start_runtime([2])


def test_a_gpu_that_torch_cannot_use_is_one_clear_error(two_gpus) -> None:
    two_gpus.side_effect = RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nUpdate it")
    with pytest.raises(InputError, match=r"GPU 0 .*too old \(found version 11040\)\.\); .*CUDA_VISIBLE_DEVICES="):
        start_runtime(None)


def test_a_process_of_torchrun_has_its_gpu_before_the_group_is_made(two_gpus, monkeypatch) -> None:
    """NCCL binds to it, and no barrier guesses one."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(runtime.dist, "init_process_group", made := Mock(side_effect=lambda *_, **__: two_gpus(None)))
    monkeypatch.setattr(runtime.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(runtime.dist, "get_world_size", lambda: 2)
    assert runtime._start_process() == Runtime(torch.device("cuda", 1), (1,), 0, 2)
    made.assert_called_once_with("nccl", timeout=runtime.START_TIMEOUT, device_id=torch.device("cuda", 1))
    assert [call.args for call in two_gpus.call_args_list] == [(1,), (None,)]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="--nproc_per_node 2"):
        runtime._start_process()


@pytest.mark.parametrize(
    ("device", "has_units", "chosen"), [("cpu", True, "bf16"), ("cpu", False, "off"), ("cuda", True, "bf16")]
)
def test_amp_auto_follows_the_device(device: str, has_units: bool, chosen: str, monkeypatch, caplog) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_units and device == "cpu")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_units)
    runtime = Runtime(torch.device(device))
    assert runtime.chosen_amp("auto") == chosen
    assert f"--amp auto: {chosen}" in caplog.text
    assert runtime.chosen_amp("fp16") == "fp16"
    with monkeypatch.context() as other:  # a process whose device has no such units
        other.setattr(Runtime, "gather", lambda _, value: [value, False])
        assert runtime.chosen_amp("auto") == "off"


def test_several_gpus_autocast_to_the_type_of_the_run(monkeypatch) -> None:
    """Each GPU has a thread, and torch's own DataParallel autocasts to float16 in all of them."""
    found = []

    def in_threads(_self, modules, inputs, _kwargs) -> None:
        threads = [threading.Thread(target=module, args=args) for module, args in zip(modules, inputs, strict=True)]
        for thread in threads:
            thread.start()
            thread.join()

    monkeypatch.setattr(nn.DataParallel, "parallel_apply", in_threads)
    wrapped = Runtime(torch.device("cuda", 0), (0, 1)).wrap(nn.Identity())
    replica = lambda _clip: found.append(torch.get_autocast_dtype("cuda"))  # noqa: E731
    for dtype in (torch.bfloat16, torch.float16):
        before = torch.get_autocast_dtype("cuda")
        torch.set_autocast_dtype("cuda", dtype)  # what `Runtime.autocast` does where there is a GPU
        wrapped.parallel_apply([replica, replica], [(0,), (1,)], None)
        torch.set_autocast_dtype("cuda", before)
    assert found == 2 * [torch.bfloat16] + 2 * [torch.float16]


def test_batchnorms_of_all_processes_are_converted_in_place(monkeypatch) -> None:
    """With the names and the very parameters that the optimiser has."""
    model = TinyNet()
    names, parameters = list(model.state_dict()), list(model.parameters())
    wrapped = Runtime(torch.device("cpu"), sync_bn=True).wrap(model)
    assert isinstance(wrapped.bn, nn.SyncBatchNorm)
    assert list(wrapped.state_dict()) == names
    assert all(one is other for one, other in zip(wrapped.parameters(), parameters, strict=True))
    for variables in ({}, {"WORLD_SIZE": "2"}):
        monkeypatch.setattr(os, "environ", {**os.environ, **variables})
        monkeypatch.setattr(runtime, "require_torchrun", lambda: None)
        monkeypatch.setattr(runtime, "_start_process", lambda: Runtime(torch.device("cpu"), world_size=2))
        with pytest.raises(InputError, match="--sync_bn .*torchrun"):
            start_runtime([], distributed=True, sync_bn=True)


def test_accumulated_batches_exchange_gradients_once_per_step(monkeypatch) -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        model = Runtime(torch.device("cpu"), world_size=2).synchronise(nn.Linear(3, 2))
        exchanges: list[int] = []

        def count(_state: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
            exchanges.append(1)
            done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
            done.set_result(bucket.buffer())
            return done

        model.register_comm_hook(None, count)
        for share in (False, False, True):
            with Runtime(torch.device("cpu")).sharing_gradients(model, share):
                model(torch.ones(1, 3)).sum().backward()
        assert len(exchanges) == 1
        assert model.module.weight.grad.tolist() == [[3.0] * 3] * 2
    finally:
        dist.destroy_process_group()


def test_the_random_state_continues() -> None:
    alone = Runtime(torch.device("cpu"))
    states = alone.random_state()
    drawn = torch.rand(3)
    for given, same in (([], False), ([*states, states[0]], False), (states, True)):
        alone.set_random_state(given)  # those of another device change nothing
        assert torch.equal(torch.rand(3), drawn) == same


def test_compile_takes_one_gpu_a_process(monkeypatch) -> None:
    monkeypatch.setattr(runtime, "_choose_devices", lambda gpus: Runtime(torch.device("cpu"), tuple(gpus)))
    with pytest.raises(InputError, match="one GPU per process; .*torchrun"):
        start_runtime([0, 1], compiled=True)


def test_a_compiler_that_is_not_there_is_missed_at_the_start(monkeypatch) -> None:
    def fails(_function):
        raise RuntimeError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(InputError, match=r"fails here \(No working C\+\+ compiler found\); .*leave --compile out"):
        start_runtime([], compiled=True)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set.*torchrun"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "h", "MASTER_PORT": "1"},
            "but LOCAL_RANK is not set.*torchrun",
        ),
        ({"WORLD_SIZE": "many", "RANK": "0", "LOCAL_RANK": "-1"}, "many, but WORLD_SIZE, LOCAL_RANK, .*torchrun"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE"),
    ],
)
def test_several_processes_that_are_not_set_up(variables: dict[str, str], words: str, monkeypatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words):
        start_runtime([], distributed=True)


def test_a_script_that_cannot_share_its_work_runs_in_one_process(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(InputError, match="WORLD_SIZE is 2.*one process.*--gpus 0 1.*other videos"):
        start_runtime([])
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit, match="2"):  # one line on each machine
        start_runtime([])
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert start_runtime([]).world_size == 1


def test_a_process_without_a_gpu_of_its_own(monkeypatch) -> None:
    values = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="--nproc_per_node 2"):
        start_runtime(None, distributed=True)


def test_one_process_gathers_itself() -> None:
    alone = Runtime(torch.device("cpu"))
    assert alone.is_main
    assert alone.gather({"a": 1}) == [{"a": 1}]
    with alone.main_first():
        pass


def test_plain_progress_lines_where_there_is_no_terminal(caplog) -> None:
    with caplog.at_level("INFO"):
        assert list(track(range(5), 5, "epoch 1", 2, lambda: "loss 0.5")) == [0, 1, 2, 3, 4]
        assert list(track(range(3, 5), 5, "again", 2, lambda: "", 3)) == [3, 4]
    lines = [f"epoch 1 {n}/5 loss 0.5" for n in (2, 4, 5)] + ["again 4/5 ", "again 5/5 "]
    assert [record.getMessage() for record in caplog.records] == lines


def test_a_resumed_log_keeps_what_was_before_and_drops_what_is_repeated(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for epoch in range(3):
        log.write(epoch, {"train/loss": float(epoch)})
    log.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"epoch": 3, "tr')  # killed while it wrote
    log = RunLog(tmp_path, 2)
    log.write(2, {"train/loss": 9.0})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["train/loss"]) for line in lines] == [(0, 0.0), (1, 1.0), (2, 9.0)]


def test_provenance_is_plain_json() -> None:
    assert set(json.loads(json.dumps(provenance()))) >= {"command", "git_revision", "torch", "gpus"}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of the GNU C library")
def test_kept_memory_is_not_asked_for_twice() -> None:
    """Large tensors that are made again bring no page faults in the end; without the setting, one for each page."""
    script = (
        "import resource, sys, torch; from ops.runtime import start_runtime\n"
        "start_runtime([], malloc=sys.argv[1])\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    torch.ones(16 << 20); return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "print(min(faults() for _ in range(25)))"
    )
    root = Path(__file__).parents[2]
    faults = [
        int(run_python([sys.executable, "-c", script, malloc], cwd=root, check=True).stdout)
        for malloc in ("keep", "system")
    ]
    assert faults[0] < 100
    assert faults[1] > 20 * max(faults[0], 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a function of Linux")
def test_cores_are_those_that_this_process_may_use() -> None:
    """A job scheduler or taskset may leave it few of the machine's."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert Runtime(torch.device("cpu")).cores == 1
        assert train_parser().get_default("workers") == 1
        assert extract_parser().get_default("workers") == 1
    finally:
        os.sched_setaffinity(0, allowed)
