"""`growth`: how time and memory grow with segments, pixels, batch and workers, and what grows faster than linearly."""

import argparse
import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from joblib import cpu_count
from torch.utils.data import DataLoader

from common.cli import number
from datasets.catalogue import BUILT_IN
from datasets.clip_dataset import train_dataset
from datasets.loader import make_loader
from ops.blocks import ARCHS
from scripts.benchmarking.loading import BATCH_SIZE, worker_counts
from scripts.benchmarking.material import find_videos
from scripts.benchmarking.memory import MIB, peak_tensor_bytes, resident_bytes
from scripts.benchmarking.model_and_step import CALLS, WARMUP, best_device
from scripts.benchmarking.networks import Setting, Variant, make_call
from scripts.benchmarking.report import print_table
from scripts.benchmarking.timing import Spread, alternate, ratios

TOLERATED = 1.05  # an exponent above it is named: 1 is linear
VIDEO = (48, (320, 240))  # frames and their (W, H) in pixels, of what the loader reads
AXES = {"segments": "T", "size": "pixels", "batch_size": "N"}  # field of Setting -> what time should be linear in


@dataclass(frozen=True)
class Growth:
    """Of one step along an axis: the exponent p in y ~ x^p; 1: linear.

    Attributes:
        time: median and quartiles over the rounds.
        memory: of the tensors.
    """

    time: Spread
    memory: float

    def faster_than_linear(self) -> bool:
        """Whether time (three quarters of the rounds agree) or memory grows so."""
        return self.time.low > TOLERATED or self.memory > TOLERATED

    def text(self) -> tuple[str, str]:
        return self.time.text(), f"{self.memory:.2f}" + (" **faster than linear**" if self.faster_than_linear() else "")


def exponent(ratio: float, by: float) -> float:
    """p such that by^p = ratio: y has become `ratio` times as large where x became `by` times as large."""
    return log(ratio) / log(by)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--variant", type=Variant.parse, default="h2cn", help="the network, as in `model` and `step`")
    parser.add_argument("--arch", default="resnet50", choices=list(ARCHS), help="backbone")
    parser.add_argument("--device", choices=list(CALLS), default=best_device(), help="the first GPU if there is one")
    whole, text = number(int, 1), "the other axes stay at their first value while one is varied"
    parser.add_argument("--segments", type=whole, nargs="+", default=[8, 16, 32], help=f"T; {text}")
    parser.add_argument(
        "--sizes", type=number(int, 32), nargs="+", default=[224, 112, 160, 320], help="H = W in pixels"
    )
    parser.add_argument("--batch_sizes", type=whole, nargs="+", default=[1, 2, 4, 8], help="N")
    parser.add_argument("--clips", type=whole, default=24, help="videos that the loader reads")
    text = "the loader is measured with 0, 1, 2, 4, ... and as many worker processes"
    parser.add_argument("-j", "--workers", type=number(int, 0), default=min(4, cpu_count()), help=text)
    parser.set_defaults(dataset=BUILT_IN)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the JSON file holds."""
    values = {"segments": args.segments, "size": args.sizes, "batch_size": args.batch_sizes}
    first = {name: axis[0] for name, axis in values.items()}
    loader = along_workers(args)  # first: the memory of a process holds what its networks have used, too
    tables = []
    for training in (False, True):
        if training and "prepared" in args.variant.changes:
            continue  # has no training
        base = Setting(args.arch, **first, device=torch.device(args.device), training=training)
        for name, axis in values.items():
            settings = [replace(base, **{name: value}) for value in sorted(set(axis))]
            if len(settings) > 1:
                tables.append(along(name, settings, args.variant, args.rounds))
    return {"variant": str(args.variant), "tables": tables, "loader": loader}


def along(name: str, settings: Sequence[Setting], variant: Variant, rounds: int) -> dict[str, Any]:
    """One network along one axis."""
    device = settings[0].device
    calls = {str(getattr(setting, name)): make_call(variant, setting) for setting in settings}
    times = alternate(calls, rounds=rounds, warmup=WARMUP[device.type], calls=CALLS[device.type], device=device)
    peaks = [peak_tensor_bytes(call, device) for call in calls.values()]
    amounts = [getattr(setting, name) ** (2 if name == "size" else 1) for setting in settings]
    growths = [None, *(
        growth(amounts[i : i + 2], list(times.values())[i : i + 2], peaks[i : i + 2]) for i in range(len(settings) - 1)
    )]  # fmt: skip
    what, fixed = "Training step" if settings[0].training else "Evaluation", [f for f in AXES if f != name]
    print(f"\n{what} of {variant} {settings[0].arch}; " + ", ".join(f"{f} {getattr(settings[0], f)}" for f in fixed))
    rows = [
        [value, Spread.of(times[value]).text(1, 1000), f"{peak / MIB:.0f}", *(step.text() if step else ("-", "-"))]
        for value, peak, step in zip(times, peaks, growths, strict=True)
    ]
    print_table([name, "ms", "tensors, MiB", f"time ~ {AXES[name]}^", f"memory ~ {AXES[name]}^"], rows)
    return {
        "training": settings[0].training, "axis": name, "values": [getattr(setting, name) for setting in settings],
        "seconds": list(times.values()), "tensor_bytes": peaks,
        "growth": [asdict(step) for step in growths if step],
    }  # fmt: skip


def growth(amounts: Sequence[int], times: Sequence[Sequence[float]], peaks: Sequence[int]) -> Growth:
    """From the first to the second of two settings."""
    by = amounts[1] / amounts[0]
    ratio = ratios(times[1], times[0])
    spread = Spread(*(exponent(value, by) for value in (ratio.median, ratio.low, ratio.high)))
    return Growth(spread, exponent(max(peaks[1], 1) / max(peaks[0], 1), by))


def along_workers(args: argparse.Namespace) -> dict[str, Any]:
    """The loader with 0, 1, 2, 4, ... workers."""
    counts = worker_counts(args.workers)
    with TemporaryDirectory() as folder:
        videos = train_dataset(
            find_videos(args, Path(folder), *VIDEO, "train"),
            num_segments=args.segments[0], frames_per_segment=5, input_size=args.sizes[0], seed=0, flip=True,
        )  # fmt: skip
        memory = {workers: loader_bytes(loader_of(videos, workers)) for workers in counts}
        loaders = {workers: loader_of(videos, workers) for workers in counts}
        times = alternate({str(w): reading(loader) for w, loader in loaders.items()}, rounds=args.rounds)
    print(f"\nLoader, {args.segments[0]} x 5 frames of {len(videos)} videos, {args.sizes[0]} px")
    rows = []
    for workers in counts:
        own, none = memory[workers], memory[0]
        held = "-" if own is None else f"{own / MIB:.0f}"
        more = f"{(own - none) / MIB / workers:.0f}" if own and none and workers else "-"
        speed = Spread.of([len(videos) / taken for taken in times[str(workers)]])
        rows.append([str(workers), speed.text(1), ratios(times["0"], times[str(workers)]).text()])
        rows[-1] += [held, more]
    print_table(["workers", "clips/s", "x none", "all processes, MiB", "more than none, MiB a worker"], rows)
    return {"workers": counts, "clips": len(videos), "seconds": list(times.values()), "bytes": list(memory.values())}


def loader_of(videos: Any, workers: int) -> DataLoader:
    return make_loader(videos, batch_size=BATCH_SIZE, workers=workers, shuffle=True)


def reading(loader: DataLoader) -> Callable[[], int]:
    """A function that reads all."""
    return lambda: sum(1 for _ in loader)


def loader_bytes(loader: DataLoader) -> int | None:
    """The most memory that this process and the loader's workers hold together while it reads, looked up each batch."""
    before = children()
    peak = 0
    for _ in loader:
        workers = children() - before
        held = [resident_bytes(pid) for pid in (os.getpid(), *workers)]
        known = [size for size in held if size is not None]
        if len(known) < len(held):
            return None
        peak = max(peak, sum(known))
    return peak


def children() -> set[int]:
    """Processes that this one has started."""
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}
