"""`model` and `step`: time and memory of evaluations and training steps of the networks, and their ratios."""

import argparse
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from statistics import median
from typing import Any

import torch

from common.cli import number
from common.errors import InputError, counted
from common.progress import track
from ops.choices import ARCHS
from ops.flops import count_macs
from ops.malloc import keep_freed_memory
from ops.models import build_model
from scripts.benchmarking.measuring import MIB, Measured, Spread, measure, peak_resident_bytes, ratios, seconds
from scripts.benchmarking.networks import CHANGES, EQUIVALENT, NETWORKS, Setting, Variant, make_call
from scripts.benchmarking.report import print_table

# (training, on a GPU) -> variants, and the bases of the ratios
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
}
MATRIX = {"cpu": 2048, "cuda": 8192}  # side of the matrix product that gives the machine's peak rate


def add_options(parser: argparse.ArgumentParser) -> None:
    changes = "; ".join(f"+{name}: {text}" for name, (text, _) in CHANGES.items())
    text = f"{', '.join(NETWORKS)}, each with any of these changes: {changes}. If not given, a set for the device"
    parser.add_argument("--variants", nargs="+", type=Variant.parse, metavar="VARIANT", help=text)
    parser.add_argument("--base", nargs="+", type=Variant.parse, metavar="VARIANT", help="bases of the ratios")
    parser.add_argument("-b", "--batch_size", type=number(int, 1), default=2, help="clips per batch, N")
    parser.add_argument("--segments", type=number(int, 1), default=8, help="segments per clip, T")
    parser.add_argument("--size", type=number(int, 32), default=224, help="height and width in pixels")
    parser.add_argument("--calls", type=number(int, 1), help="calls per turn; if not given, 1 on the CPU, 10 on a GPU")
    text = "run every turn in a new process and report its peak resident memory (to compare allocator settings)"
    parser.add_argument("--processes", action="store_true", help=text)
    add_network_options(parser)


def add_network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arch", default="resnet50", choices=list(ARCHS), help="backbone")
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cpu", "cuda"], default=best, help="cuda: the first GPU")


def run(args: argparse.Namespace) -> dict[str, Any]:
    device, training = torch.device(args.device), args.command == "step"
    setting = Setting(args.arch, args.batch_size, args.segments, args.size, device, training, malloc=args.malloc)
    default_variants, default_bases = (
        [Variant.parse(name) for name in names.split()] for names in DEFAULTS[training, args.device == "cuda"]
    )
    variants = list(dict.fromkeys([*(args.variants or default_variants), *(args.base or [])]))
    foreign = {"prepared"} if training else {"svmix", "recomputed"}
    for change in foreign & set().union(*(variant.changes for variant in variants)):
        raise InputError(f"+{change} is only for {'model, an evaluation' if training else 'step, a training step'}")
    bases = [base for base in args.base or default_bases if base in variants]
    if args.processes:
        measured = measure_apart(variants, setting, args.rounds, args.calls)
    else:
        calls = {variant: make_call(variant, setting) for variant in variants}
        measured = measure(calls, device, args.rounds, args.calls)
    macs = count_all(variants, setting)
    print(
        f"\n{'Training step' if training else 'Evaluation'} of {args.arch}, batch {args.batch_size}, {args.segments} x "
        f"{args.size} x {args.size} pixels; median (quartiles) of {counted(args.rounds, 'round')}; memory above model, "
        "optimiser and input."
    )
    print_measured(measured, bases, setting, macs)
    dtypes = {torch.bfloat16 if "bf16" in variant.changes else torch.float32 for variant in variants}
    peaks = {str(dtype).removeprefix("torch."): product_rate(device, dtype) for dtype in sorted(dtypes, key=str)}
    for dtype, rate in peaks.items():
        side = MATRIX[args.device]
        print(f"For comparison, a product of two {dtype} matrices of {side}^2: {rate / 1e12:.3g} TFLOP/s.")
    rows = {}
    for variant, own in measured.items():
        to_base = {str(base): asdict(ratios(own.seconds, measured[base].seconds)) for base in bases}
        rows[str(variant)] = {**asdict(own), "macs": macs[variant], "ratio_to": to_base}
    return {"setting": {**asdict(setting), "device": args.device}, "variants": rows, "product_flops": peaks}


def measure_apart(
    variants: Sequence[Variant], setting: Setting, rounds: int, per_turn: int | None
) -> dict[Variant, Measured]:
    """Run every turn in a new process, so that no variant affects another."""
    measured = {variant: Measured() for variant in variants}
    spawn, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    turns = [variant for _ in range(rounds) for variant in variants]
    for variant in track(turns, len(turns), "turn", 1):
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            turn = pool.submit(one_turn, variant, setting, per_turn, threads).result()
        measured[variant].seconds += turn.seconds
        measured[variant].resident_bytes += turn.resident_bytes
        measured[variant].tensor_bytes = turn.tensor_bytes
    return measured


def one_turn(variant: Variant, setting: Setting, per_turn: int | None, threads: int) -> Measured:
    """One turn in a new process. Resident memory is measured in the first call, because later ones reuse its memory."""
    torch.set_num_threads(threads)
    if setting.malloc == "keep":
        keep_freed_memory()
    call = make_call(variant, setting)
    resident = peak_resident_bytes(call)
    turn = measure({variant: call}, setting.device, 1, per_turn)[variant]
    turn.resident_bytes = [resident] if resident else []
    return turn


def count_all(variants: Sequence[Variant], setting: Setting) -> dict[Variant, int]:
    """Multiply-adds per call for the whole batch; a training step counts three times its forward pass."""
    factor = setting.batch_size * (3 if setting.training else 1)
    macs = {}
    for net in {EQUIVALENT[variant.network] for variant in variants}:
        model = build_model(net, setting.arch, setting.num_class, setting.segments)
        macs[net] = factor * count_macs(model, setting.size)
    return {variant: macs[EQUIVALENT[variant.network]] for variant in variants}


def print_measured(
    measured: Mapping[Variant, Measured], bases: Sequence[Variant], setting: Setting, macs: Mapping[Variant, int]
) -> None:
    apart = any(m.resident_bytes for m in measured.values())
    head = ["variant", "ms", "clips/s", "TFLOP/s", "tensors, MiB", *(["resident, MiB"] if apart else [])]
    head += [f"time x {base}" for base in bases] + [f"tensors x {base}" for base in bases]
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
    print_table(head, rows)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product, the machine's practical peak."""
    side = MATRIX[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / min(seconds(lambda: a @ b) for _ in range(6))
