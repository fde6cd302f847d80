"""`model` and `step`: time and memory of the networks' evaluation and training step, and their ratios."""

import argparse
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch

from common.cli import number
from common.errors import InputError
from common.progress import track
from ops.blocks import ARCHS
from ops.flops import count_macs
from ops.models import build_model
from ops.runtime import keep_freed_memory
from scripts.benchmarking.memory import MIB, peak_resident_bytes, peak_tensor_bytes
from scripts.benchmarking.networks import CHANGES, NETWORKS, OURS, Setting, Variant, make_call
from scripts.benchmarking.report import print_table
from scripts.benchmarking.timing import Spread, alternate, ratios, seconds

# (training, on a GPU) -> variants, and those that the others are compared with
DEFAULTS = {
    (False, False): (
        "torchvision torchvision+channels_last naive tsn h2cn tsn+prepared tsm+prepared h2cn+prepared",
        "torchvision tsn+prepared",
    ),
    (True, False): ("torchvision torchvision+channels_last naive tsn tsm h2cn", "tsn naive"),
    (False, True): (
        "torchvision torchvision+channels_last+bf16 naive naive+bf16 tsn+prepared+bf16 h2cn+prepared+bf16 "
        "tsn+prepared+compiled+bf16 h2cn+prepared+compiled+bf16",
        "naive tsn+prepared+bf16 tsn+prepared+compiled+bf16",
    ),
    (True, True): (
        "torchvision+channels_last+bf16 naive naive+bf16 tsn+bf16 tsm+bf16 h2cn+bf16 tsn+compiled+bf16 "
        "h2cn+compiled+bf16",
        "naive naive+bf16 tsn+bf16 tsn+compiled+bf16",
    ),
}  # fmt: skip
CALLS = {"cpu": 1, "cuda": 10}  # a turn
WARMUP = {"cpu": 2, "cuda": 3}
MATRIX = {"cpu": 2048, "cuda": 8192}  # side of the product whose rate is the machine's peak


@dataclass
class Measured:
    """Of one variant: seconds a call and bytes above model, optimiser and input, a value for each round."""

    seconds: list[float] = field(default_factory=list)
    tensor_bytes: int = 0
    resident_bytes: list[int] = field(default_factory=list)


def add_options(parser: argparse.ArgumentParser) -> None:
    what = ", ".join(f"+{name}: {text}" for name, text in CHANGES.items())
    parser.add_argument(
        "--variants", nargs="+", type=Variant.parse, metavar="VARIANT",
        help=f"{', '.join(NETWORKS)}, and what is done to it: {what}; a choice that fits the device, if not given",
    )  # fmt: skip
    parser.add_argument("--base", nargs="+", type=Variant.parse, metavar="VARIANT", help="what the ratios are to")
    parser.add_argument("--arch", default="resnet50", choices=list(ARCHS), help="backbone")
    parser.add_argument("-b", "--batch_size", type=number(int, 1), default=2, help="clips a batch, N")
    parser.add_argument("--segments", type=number(int, 1), default=8, help="segments a clip, T")
    parser.add_argument("--size", type=number(int, 32), default=224, help="height and width in pixels")
    text = "where: the first GPU if there is one"
    parser.add_argument("--device", choices=list(CALLS), default=best_device(), help=text)
    parser.add_argument("--calls", type=number(int, 1), help="calls a turn; 1 on the CPU, 10 on a GPU, if not given")
    parser.add_argument(
        "--processes", action="store_true",
        help="every turn in a process of its own, with the peak of its resident memory (for settings of the allocator)",
    )  # fmt: skip


def best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def run(args: argparse.Namespace, *, training: bool) -> dict[str, Any]:
    """Measure and print; returns what the JSON file holds."""
    device = torch.device(args.device)
    setting = Setting(args.arch, args.batch_size, args.segments, args.size, device, training, malloc=args.malloc)
    default_variants, default_bases = (
        [Variant.parse(name) for name in names.split()] for names in DEFAULTS[training, args.device == "cuda"]
    )
    variants = list(dict.fromkeys([*(args.variants or default_variants), *(args.base or [])]))
    foreign = "prepared" if training else "svmix"
    if any(foreign in variant.changes for variant in variants):
        raise InputError(f"+{foreign} goes with {'model, an evaluation' if training else 'step, a training'}")
    bases = [base for base in args.base or default_bases if base in variants]
    calls = args.calls or CALLS[args.device]
    measure = measure_apart if args.processes else measure_together
    measured = measure(variants, setting, args.rounds, calls)
    print(
        f"\n{'Training step' if training else 'Evaluation'} of {args.arch}, batch {args.batch_size}, {args.segments} x "
        f"{args.size} x {args.size} pixels; median (quartiles) of {args.rounds} rounds; memory above model, optimiser "
        "and input."
    )
    macs = count_all(variants, setting)
    print_measured(measured, bases, setting, macs)
    peaks = {str(dtype).removeprefix("torch."): product_rate(setting.device, dtype) for dtype in dtypes_of(variants)}
    for dtype, rate in peaks.items():
        print(
            f"For comparison, a product of two {dtype} matrices of {MATRIX[args.device]}^2: {rate / 1e12:.3g} TFLOP/s."
        )
    rows = {
        str(v): {**asdict(m), "macs": macs[v], "ratio_to": ratios_of(measured, v, bases)} for v, m in measured.items()
    }
    return {"setting": {**asdict(setting), "device": args.device}, "variants": rows, "product_flops": peaks}


def measure_together(variants: Sequence[Variant], setting: Setting, rounds: int, calls: int) -> dict[Variant, Measured]:
    """All in this process."""
    ready = {str(variant): make_call(variant, setting) for variant in variants}
    kind = setting.device.type
    times = alternate(ready, rounds=rounds, warmup=WARMUP[kind], calls=calls, device=setting.device)
    return {v: Measured(times[str(v)], peak_tensor_bytes(ready[str(v)], setting.device)) for v in variants}


def measure_apart(variants: Sequence[Variant], setting: Setting, rounds: int, calls: int) -> dict[Variant, Measured]:
    """Every turn in a new process: nothing that one variant leaves behind helps or hinders another."""
    measured = {variant: Measured() for variant in variants}
    spawn, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    turns = [variant for _ in range(rounds) for variant in variants]
    for variant in track(turns, len(turns), "turn", 1):
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            turn = pool.submit(one_turn, variant, setting, calls, threads).result()
        measured[variant].seconds += turn.seconds
        measured[variant].resident_bytes += turn.resident_bytes
        measured[variant].tensor_bytes = turn.tensor_bytes
    return measured


def one_turn(variant: Variant, setting: Setting, calls: int, threads: int) -> Measured:
    """In a new process. Its first call shows the memory: a later one finds what the first one has left."""
    torch.set_num_threads(threads)
    if setting.malloc == "keep":
        keep_freed_memory()
    call, device = make_call(variant, setting), setting.device
    resident = peak_resident_bytes(call)
    for _ in range(WARMUP[device.type] - 1):
        call()
    took = seconds(call, calls, device)
    return Measured([took], peak_tensor_bytes(call, device), [] if resident is None else [resident])


def count_all(variants: Sequence[Variant], setting: Setting) -> dict[Variant, int]:
    """Multiply-adds of a call: of the batch, and in training three times those of forward."""
    factor = setting.batch_size * (3 if setting.training else 1)
    counted = {}
    for net in {net_of(variant) for variant in variants}:
        counted[net] = factor * count_macs(
            build_model(net, setting.arch, setting.num_class, setting.segments), setting.size
        )
    return {variant: counted[net_of(variant)] for variant in variants}


def net_of(variant: Variant) -> str:
    """The network of ours that computes the same."""
    return {**OURS, "naive": "H2CN", "torchvision": "TSN"}[variant.network]


def ratios_of(measured: Mapping[Variant, Measured], variant: Variant, bases: Sequence[Variant]) -> dict[str, Any]:
    """Of times, to each base."""
    return {str(base): asdict(ratios(measured[variant].seconds, measured[base].seconds)) for base in bases}


def print_measured(
    measured: Mapping[Variant, Measured], bases: Sequence[Variant], setting: Setting, macs: Mapping[Variant, int]
) -> None:
    apart = any(m.resident_bytes for m in measured.values())
    memory = ["tensors, MiB", *(["resident, MiB"] if apart else [])]
    heads = [f"time x {base}" for base in bases] + [f"tensors x {base}" for base in bases]
    rows = []
    for variant, own in measured.items():
        took = median(own.seconds)
        cells = [f"`{variant}`", Spread.of(own.seconds).text(1, 1000), f"{setting.batch_size / took:.3g}"]
        cells += [f"{2 * macs[variant] / took / 1e12:.3g}", f"{own.tensor_bytes / MIB:.0f}"]
        if apart:
            cells.append(Spread.of(own.resident_bytes).text(0, 1 / MIB) if own.resident_bytes else "-")
        cells += [ratios(own.seconds, measured[base].seconds).text() for base in bases]
        cells += [f"{own.tensor_bytes / max(measured[base].tensor_bytes, 1):.2f}" for base in bases]
        rows.append(cells)
    print_table(["variant", "ms", "clips/s", "TFLOP/s", *memory, *heads], rows)


def dtypes_of(variants: Sequence[Variant]) -> list[torch.dtype]:
    found = {torch.bfloat16 if "bf16" in variant.changes else torch.float32 for variant in variants}
    return sorted(found, key=str)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product: the most that the machine gives."""
    side = MATRIX[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / min(seconds(lambda: a @ b, device=device) for _ in range(6))
