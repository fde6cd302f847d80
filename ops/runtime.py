"""The devices of a run: one, several GPUs (DataParallel), or several processes (torchrun)."""

import gc
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from joblib import cpu_count
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from common.errors import InputError
from ops.choices import AMP
from ops.malloc import keep_freed_memory
from ops.network import VideoNet

START_TIMEOUT = timedelta(hours=2)  # that processes wait for one another: the main one may prepare or check the data
STEP_TIMEOUT = timedelta(minutes=10)  # the same in training, where the main one may write a large checkpoint
AMP_DTYPES = dict(zip(AMP, (None, torch.bfloat16, torch.float16), strict=True))


@dataclass(frozen=True)
class Runtime:
    """The devices and processes of a run."""

    device: torch.device
    gpus: tuple[int, ...] = ()  # of this process
    rank: int = 0
    world_size: int = 1
    compiled: bool = False  # whether networks run through torch.compile
    sync_bn: bool = False  # whether BatchNorms normalise over the batches of all processes together

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    @property
    def cores(self) -> int:
        """CPU cores available to each process of this run."""
        return max(cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 1)

    def place(self, model: VideoNet) -> VideoNet:
        """Move a model to the device, in its memory format; before an optimiser loads its state, which follows it."""
        return model.to(self.device, memory_format=model.memory_format)  # type: ignore[call-overload]

    def wrap(self, model: nn.Module) -> nn.Module:
        """Wrap a placed model for all devices: not at all, in DataParallel, or in DistributedDataParallel."""
        if self.sync_bn:
            nn.SyncBatchNorm.convert_sync_batchnorm(model)  # in place; with the same parameters and names
        return self.synchronise(self.wrap_frozen(model))

    def wrap_frozen(self, model: nn.Module) -> nn.Module:
        """Wrap a placed model that gets no gradients: each process has its own copy; several GPUs share the batch."""
        if self.compiled:
            model.compile(dynamic=False)  # once per batch size: the last batch of a list is smaller
        return _SameAutocast(model, list(self.gpus)) if len(self.gpus) > 1 else model

    def synchronise(self, module: nn.Module) -> nn.Module:
        """Wrap a module that runs on one device per process: its gradients are averaged over the processes."""
        if self.world_size == 1:
            return module
        return DistributedDataParallel(module, device_ids=list(self.gpus) or None, gradient_as_bucket_view=True)

    def sharing_gradients(self, model: nn.Module, share: bool) -> AbstractContextManager:
        """A block whose backward passes average a wrapped model's gradients over the processes, or only add them up."""
        return nullcontext() if share or not isinstance(model, DistributedDataParallel) else model.no_sync()

    def share_buffers(self, model: nn.Module) -> None:
        """Copy the main process's BatchNorm statistics to all; they differ, as each process has seen other batches."""
        if self.world_size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def autocast(self, amp: str) -> torch.autocast:
        """Mixed precision: `amp` is one of `AMP`."""
        return torch.autocast(self.device.type, AMP_DTYPES[amp], enabled=amp != "off")

    def chosen_amp(self, amp: str) -> str:
        """`amp`, or for "auto" the one that suits the devices of all processes, which must call this together."""
        if amp != "auto":
            return amp
        if self.device.type == "cuda":
            name, found = "GPU", torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            name, found = "processor", torch.cpu._is_avx512_bf16_supported()  # so has every processor with AMX
        amp = "bf16" if all(self.gather(found)) else "off"
        logging.info("--amp auto: %s (this %s %s bfloat16 units)", amp, name, "has" if found else "has no")
        return amp

    def gather(self, value: Any) -> list[Any]:
        """`value` of every process, in rank order, on every process."""
        if self.world_size == 1:
            return [value]
        values = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def limit_waiting(self) -> None:
        """From now on wait for other processes for `STEP_TIMEOUT` at most; gloo does so from torch 2.9 on."""
        if self.world_size > 1:
            set_timeout = getattr(dist, "set_timeout", None) or dist.distributed_c10d._set_pg_timeout
            set_timeout(STEP_TIMEOUT)

    def highest(self, value: int) -> int:
        """The highest value of all processes, which must call this together."""
        if self.world_size == 1:
            return value
        values = torch.tensor(value, device=self.device)
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return int(values)

    def random_state(self) -> list[Tensor]:
        """States of this process's generators: the CPU's, then those of its GPUs."""
        return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self.gpus)]

    def set_random_state(self, states: Sequence[Tensor]) -> None:
        """Continue from `random_state`; states of other devices, or none, change nothing."""
        if len(states) == 1 + len(self.gpus):
            torch.set_rng_state(states[0])
            for gpu, state in zip(self.gpus, states[1:], strict=True):
                torch.cuda.set_rng_state(state, gpu)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process runs the body first, then the others: for files that are made on first use."""
        if self.world_size > 1 and not self.is_main:
            dist.barrier()
        yield
        if self.world_size > 1 and self.is_main:
            dist.barrier()

    def close(self) -> None:
        """Leave the process group after a successful run; without this a process may abort on exit."""
        if self.world_size > 1:
            gc.collect()  # a wrapped model refers to the group
            dist.barrier()
            dist.destroy_process_group()


class _SameAutocast(DataParallel):
    """DataParallel whose threads autocast to the caller's type; torch's use float16 even under bfloat16."""

    def parallel_apply(self, replicas: Sequence[Any], inputs: Sequence[Any], kwargs: Any) -> list[Any]:
        dtype = torch.get_autocast_dtype("cuda")  # which is set per thread

        def run(replica: nn.Module, *args: Any, **named: Any) -> Any:
            torch.set_autocast_dtype("cuda", dtype)
            return replica(*args, **named)

        return super().parallel_apply([partial(run, replica) for replica in replicas], inputs, kwargs)


def unwrap(model: nn.Module) -> Any:
    """The network inside DataParallel or DistributedDataParallel."""
    return model.module if isinstance(model, (DataParallel, DistributedDataParallel)) else model


def start_runtime(
    gpus: Sequence[int] | None,
    *,
    malloc: str = "keep",
    compiled: bool = False,
    distributed: bool = False,
    sync_bn: bool = False,
    deterministic: bool = False,
) -> Runtime:
    """Choose the devices.

    Args:
        gpus: CUDA device numbers; [] for the CPU; None for the first GPU, if any. Under torchrun each process uses the
            GPU of its LOCAL_RANK.
        malloc: one of `MALLOC`, for runs on the CPU.
        compiled: run networks through torch.compile.
        distributed: whether the script can share its work among the processes of torchrun.
        sync_bn: let BatchNorms normalise over the batches of all processes together.
        deterministic: let torch use algorithms with bit-identical results on the same devices, or fail.

    Raises:
        InputError: this machine has no such GPU; there are several processes, not set up, or useless to the script;
            torch.compile does not work here; or `sync_bn` without several processes with a GPU each.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if several:
        _require_torchrun() if distributed else _refuse_processes()
    runtime = replace(_start_process() if several else _choose_devices(gpus), compiled=compiled, sync_bn=sync_bn)
    if sync_bn and (not several or runtime.device.type == "cpu"):
        raise InputError("--sync_bn is for several processes with a GPU each: torchrun --nproc_per_node N train.py ...")
    torch.backends.cudnn.benchmark = not deterministic  # all clips of a run have one size
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # which torch asks for; read when cuBLAS starts
        torch.use_deterministic_algorithms(True)
    if runtime.device.type == "cpu" and malloc == "keep":
        keep_freed_memory()
    if compiled:
        _require_compiler(runtime)
    return runtime


def _require_compiler(runtime: Runtime) -> None:
    """Fail now, not after data and weights are loaded."""
    if len(runtime.gpus) > 1:
        raise InputError(
            "--compile takes one GPU per process; for several: torchrun --nproc_per_node N, without --gpus"
        )
    try:
        torch.compile(torch.exp)(torch.ones(16, device=runtime.device))
    except Exception as error:  # a missing or old compiler can raise almost anything
        needed = "a C++ compiler" if runtime.device.type == "cpu" else "Triton, a C compiler and Python's headers"
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"torch.compile fails here ({reason}); install {needed}, or leave --compile out") from error


def _require_torchrun() -> None:
    """Check the environment variables that identify this process."""
    wrong = [name for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK") if not os.environ.get(name, "").isdecimal()]
    wrong += [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if wrong:
        raise InputError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(wrong)} is not set or not a number; start "
            "several processes with torchrun --nproc_per_node N, or unset WORLD_SIZE to start one"
        )


def _refuse_processes() -> NoReturn:
    if os.environ.get("LOCAL_RANK", "0") != "0":
        raise SystemExit(2)  # the machine's first process reports the error
    raise InputError(
        f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but this script runs in one process; start it without torchrun (or "
        "unset WORLD_SIZE). For several GPUs: --gpus 0 1. For several machines: other videos on each"
    )


def _choose_devices(gpus: Sequence[int] | None) -> Runtime:
    available = torch.cuda.device_count()
    if available == 0:
        ignored = f"--gpus {' '.join(map(str, gpus))} is ignored; " if gpus else ""
        logging.info("No GPU found: %srunning on the CPU.", ignored)
        return Runtime(torch.device("cpu"))
    chosen = (0,) if gpus is None else tuple(gpus)
    for gpu in chosen:
        if not 0 <= gpu < available:
            raise InputError(f"--gpus {gpu}: this machine has GPUs 0 to {available - 1}")
    return Runtime(_use_gpu(chosen[0]) if chosen else torch.device("cpu"), chosen)


def _use_gpu(number: int) -> torch.device:
    """Make a GPU the current one of this process, which timing events, pinned memory and NCCL use."""
    try:
        torch.cuda.set_device(number)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"GPU {number} cannot be used ({reason}); install a PyTorch build that fits the driver, or hide the GPUs "
            "to run on the CPU: CUDA_VISIBLE_DEVICES= python ..."
        ) from error
    return torch.device("cuda", number)


def _start_process() -> Runtime:
    available, local_rank = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if available and local_rank >= available:
        raise InputError(f"process {local_rank} of this machine has no GPU: torchrun --nproc_per_node {available}")
    device = _use_gpu(local_rank) if available else None
    try:
        dist.init_process_group("nccl" if device else "gloo", timeout=START_TIMEOUT, device_id=device)
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"the processes cannot connect ({reason}); start them with torchrun") from error
    if dist.get_rank() > 0:
        logging.getLogger().setLevel(logging.WARNING)  # only one process logs
    gpus = (local_rank,) if device else ()
    return Runtime(device or torch.device("cpu"), gpus, dist.get_rank(), dist.get_world_size())
