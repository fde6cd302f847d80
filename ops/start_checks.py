"""Checks at the start of a run: torchrun's variables, the GPU, the compiler; each fails with one line."""

import os
from collections.abc import Sequence
from typing import NoReturn

import torch

from common.errors import InputError


def require_torchrun() -> None:
    """Check the environment variables that identify this process."""
    wrong = [name for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK") if not os.environ.get(name, "").isdecimal()]
    wrong += [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if wrong:
        raise InputError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(wrong)} is not set or not a number; start "
            "several processes with torchrun --nproc_per_node N, or unset WORLD_SIZE to start one"
        )


def refuse_processes() -> NoReturn:
    """Stop a script that cannot share its work; only the first process of each machine says so."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        raise SystemExit(2)
    raise InputError(
        f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but this script runs in one process; start it without torchrun (or "
        "unset WORLD_SIZE). For several GPUs: --gpus 0 1. For several machines: other videos on each"
    )


def use_gpu(number: int) -> torch.device:
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


def require_compiler(device: torch.device, gpus: Sequence[int]) -> None:
    """Refuse --compile where it cannot work, before data and weights are loaded."""
    if len(gpus) > 1:
        raise InputError(
            "--compile takes one GPU per process; for several: torchrun --nproc_per_node N, without --gpus"
        )
    try:
        torch.compile(torch.exp)(torch.ones(16, device=device))
    except Exception as error:  # a missing or old compiler can raise almost anything
        needed = "a C++ compiler" if device.type == "cpu" else "Triton, a C compiler and Python's headers"
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"torch.compile fails here ({reason}); install {needed}, or leave --compile out") from error
