"""Checks in this process: networks on the device against float64 on the CPU, a process group, pinned memory."""

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.backends import cudnn

from datasets.catalogue import resolve
from datasets.clip_dataset import train_dataset
from datasets.loader import make_loader
from ops import runtime as runtimes
from ops.fuse import fuse_for_inference
from ops.models import FAMILY, build_model
from ops.network import VideoNet
from ops.runtime import AMP_DTYPES, Runtime
from scripts.gpu_checks.bench import PAIR, Bench, Fact

CPU = Runtime(torch.device("cpu"))
# Name -> type of the network, --amp, TF32 in convolutions, allowed difference from float64 relative to the largest
# logit. CPUs reach 1e-5 in float32, 0.04 in float16, 0.24 in bfloat16. TF32 has float16's mantissa, so it fails the
# bound of float32.
MODES = {
    "float64": (torch.float64, "off", False, 1e-10),
    "float32": (torch.float32, "off", False, 1e-4),
    "TF32": (torch.float32, "off", True, 0.1),
    "fp16": (torch.float16, "off", True, 0.1),
    "bf16": (torch.bfloat16, "off", True, 0.4),
    "--amp fp16": (torch.float32, "fp16", True, 0.1),
    "--amp bf16": (torch.float32, "bf16", True, 0.4),
}
FORMS: dict[str, Callable[[VideoNet], nn.Module]] = {"": lambda model: model, "fused, ": fuse_for_inference}


def device(bench: Bench) -> Iterator[Fact]:
    """Versions and devices, and whether the device computes."""
    yield Fact("GPUs", len(bench.gpus))
    if bench.gpus:
        card, driver = torch.cuda.get_device_properties(bench.device), Path("/proc/driver/nvidia/version")
        yield Fact("card", f"{card.name}, capability {card.major}.{card.minor}, {card.total_memory / 2**30:.0f} GiB")
        yield Fact("driver", driver.read_text().splitlines()[0] if driver.exists() else "unknown")
        yield Fact("CUDA, cuDNN, NCCL", f"{torch.version.cuda}, {cudnn.version()}, {torch.cuda.nccl.version()}")
        yield Fact("PyTorch is built for", " ".join(torch.cuda.get_arch_list()))
    a = torch.randn(256, 256, dtype=torch.float64)
    found = a.to(bench.device).square().sum(1).cpu()
    yield Fact("sums of squares, from the CPU's", difference(found, a.square().sum(1)), high=1e-12)


def logits(bench: Bench) -> Iterator[Fact]:
    """Every network, as built, fused and (on several GPUs) by DataParallel, in every precision.

    Logits are compared with float64 on the CPU.

    Raises:
        TypeError: logits have another type than the network or autocast should give.
    """
    on_all = {"on all cards, ": replace(bench.runtime, gpus=tuple(bench.gpus)).wrap} if len(bench.gpus) > 1 else {}
    for net in FAMILY:
        model, clip = network(net, bench)
        with torch.inference_mode():
            expected = model(clip)
        for (name, form), (mode, (dtype, amp, tf32, bound)) in product({**FORMS, **on_all}.items(), MODES.items()):
            if mode == "TF32" and not bench.gpus:
                continue
            placed = form(bench.runtime.place(copy.deepcopy(model).to(dtype)))
            with torch.inference_mode(), cudnn.flags(enabled=True, allow_tf32=tf32), bench.runtime.autocast(amp):
                found = placed(clip.to(bench.device))
            yield Fact(f"{net} {name}{mode}", difference(found.cpu(), expected), high=bound)
            if found.dtype != (AMP_DTYPES[amp] or dtype):
                raise TypeError(f"{net} {name}{mode} gives {found.dtype}")


def gradients(bench: Bench) -> Iterator[Fact]:
    """Gradients of H2CN in a training step, compared with float64 on the CPU."""
    model, clip = network("H2CN", bench)
    expected = gradient(model, clip, CPU)
    for mode, bound in (("float64", 1e-8), ("float32", 5e-2)):  # BatchNorm on small batches magnifies rounding errors
        found = gradient(model.to(MODES[mode][0]), clip, bench.runtime)
        yield Fact(mode, float((found - expected).norm() / expected.norm()), high=bound)


def group(bench: Bench) -> Iterator[Fact]:
    """NCCL (gloo on a CPU) and DistributedDataParallel in a group of one process."""
    model, clip = network("H2CN", bench)
    expected = gradient(model, clip, bench.runtime)
    names = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    with mock.patch.dict("os.environ", names):
        alone = replace(runtimes._start_process(), world_size=2)  # with 1 it would not use the group
    with alone.main_first(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about strides that slow DistributedDataParallel down a little
        found = gradient(model, clip, alone)
    alone.share_buffers(alone.place(model))
    yield Fact("gradient, from that without a group", difference(found, expected), high=1e-8)
    yield Fact("processes gathered", alone.gather("this").count("this"), 1, 1)
    alone.close()


def pinned(bench: Bench) -> Iterator[Fact]:
    """Batches are pinned, and copied to the device while workers reuse their memory, without a changed pixel."""
    spec = resolve(PAIR, data_root=str(bench.data.parent), need=("train",))
    videos = train_dataset(spec, num_segments=2, frames_per_segment=5, input_size=32, seed=0, flip=True)
    copies, not_pinned = [], 0
    for batch in make_loader(videos, batch_size=1, workers=2, shuffle=False, pin_memory=bool(bench.gpus)):
        copies.append(batch.clip.to(bench.device, non_blocking=True, copy=True))
        not_pinned += not batch.clip.is_pinned()
    expected = [batch.clip for batch in make_loader(videos, batch_size=1, workers=0, shuffle=False)]
    wrong = sum(not torch.equal(one.cpu(), other) for one, other in zip(copies, expected, strict=True))
    yield Fact(f"batches not pinned, of {len(copies)}", not_pinned, high=0 if bench.gpus else len(copies))
    yield Fact("batches with changed pixels", wrong, high=0)


def network(net: str, bench: Bench) -> tuple[VideoNet, Tensor]:
    """A float64 network on the CPU, and a clip (N, T, L, 3, H, W) uint8 in the loader's memory layout.

    As after a training, the BatchNorms have the statistics of the clip, and residual branches add little; otherwise
    rounding errors would grow from block to block.
    """
    setting = bench.setting
    torch.manual_seed(0)
    start = "published"  # hourglasses use all of their taps
    arch = setting.arch if bench.gpus else "resnet10"
    model: Any = build_model(net, arch, 12, setting.segments, dropout=0.0, hourglass_start=start).double()
    for name, norm in model.named_modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
            nn.init.normal_(norm.bias, std=0.1)
            nn.init.uniform_(norm.weight, *((0.1, 0.3) if name.endswith(("bn2", "bn3")) else (0.8, 1.2)))
    nn.init.normal_(model.fc.weight)
    side = setting.size // 2 if bench.gpus else setting.size  # because the CPU computes it as well
    shape = (max(2, len(bench.gpus)), setting.segments, model.frames_per_segment, side, side, 3)
    clip = torch.randint(256, shape, dtype=torch.uint8).movedim(-1, -3)
    with torch.no_grad():
        model.train()(clip)
    return model.eval(), clip


def gradient(model: VideoNet, clip: Tensor, runtime: Runtime) -> Tensor:
    """All gradients of a training step of a copy, concatenated, as float64 on the CPU."""
    placed = runtime.place(copy.deepcopy(model).train())
    label = torch.arange(len(clip), device=runtime.device)
    with cudnn.flags(enabled=True, allow_tf32=False):
        F.cross_entropy(runtime.wrap(placed)(clip.to(runtime.device)), label).backward()
    gradients = [parameter.grad for parameter in placed.parameters() if parameter.grad is not None]
    return torch.cat([gradient.flatten().double().cpu() for gradient in gradients])


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected value."""
    return float((found.double() - expected).abs().max() / expected.abs().max())
