"""`growth`: time and memory against segments, pixels, batch size and workers; superlinear growth is marked."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import log
from multiprocessing import active_children
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
from scripts.benchmarking.loading import BATCH_SIZE, worker_counts
from scripts.benchmarking.material import Size, find_videos
from scripts.benchmarking.memory import MIB, peak_tensor_bytes, resident_bytes
from scripts.benchmarking.model_and_step import CALLS, WARMUP, add_network_options
from scripts.benchmarking.networks import Setting, Variant, make_call
from scripts.benchmarking.report import print_table
from scripts.benchmarking.timing import Spread, alternate, ratios

TOLERATED = 1.05  # exponents above it are marked
VIDEO = (48, Size(320, 240))  # number and size of frames in the videos that the loader reads
AXES = {"segments": "T", "size": "pixels", "batch_size": "N"}  # field of Setting -> the quantity that varies with it


@dataclass(frozen=True)
class Growth:
    """The exponent p of y ~ x^p between two settings, for time and for the memory of tensors; 1 is linear."""

    time: Spread  # over the rounds
    memory: float

    def is_superlinear(self) -> bool:
        """Whether time (in three quarters of the rounds) or memory grows faster than linearly."""
        return self.time.low > TOLERATED or self.memory > TOLERATED

    def text(self) -> tuple[str, str]:
        return self.time.text(), f"{self.memory:.2f}" + (" **faster than linear**" if self.is_superlinear() else "")


def add_options(parser: argparse.ArgumentParser) -> None:
    whole = number(int, 1)
    parser.add_argument("--variant", type=Variant.parse, default="h2cn", help="network, as in `model` and `step`")
    add_network_options(parser)
    text = "T; the first value of each axis is used while another axis varies"
    parser.add_argument("--segments", type=whole, nargs="+", default=[8, 16, 32], help=text)
    sizes = [224, 112, 160, 320]
    parser.add_argument("--sizes", type=number(int, 32), nargs="+", default=sizes, help="H = W in pixels")
    parser.add_argument("--batch_sizes", type=whole, nargs="+", default=[1, 2, 4, 8], help="N")
    parser.add_argument("--clips", type=whole, default=24, help="number of videos for the loader")
    text = "the loader is measured with 0, 1, 2, 4, ... and this many worker processes"
    parser.add_argument("-j", "--workers", type=number(int, 0), default=min(4, cpu_count()), help=text)
    parser.set_defaults(dataset=BUILT_IN)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns the content of the JSON file."""
    values = {"segments": args.segments, "size": args.sizes, "batch_size": args.batch_sizes}
    first = {name: axis[0] for name, axis in values.items()}
    loader = along_workers(args)  # before the networks, whose memory would be counted
    tables = []
    for training in (False, True):
        if training and "prepared" in args.variant.changes:
            continue  # cannot be trained
        base = Setting(args.arch, **first, device=torch.device(args.device), training=training)
        for name, axis in values.items():
            settings = [replace(base, **{name: value}) for value in sorted(set(axis))]
            if len(settings) > 1:
                tables.append(along(name, settings, args.variant, args.rounds))
    return {"variant": str(args.variant), "tables": tables, "loader": loader}


def along(name: str, settings: Sequence[Setting], variant: Variant, rounds: int) -> dict[str, Any]:
    """One network along one axis."""
    device, training = settings[0].device, settings[0].training
    values = [getattr(setting, name) for setting in settings]
    calls = {str(value): make_call(variant, setting) for value, setting in zip(values, settings, strict=True)}
    times = alternate(calls, rounds=rounds, warmup=WARMUP[device.type], calls=CALLS[device.type], device=device)
    peaks = [peak_tensor_bytes(call, device) for call in calls.values()]
    amounts = [value**2 if name == "size" else value for value in values]
    growths = [growth(*steps) for steps in zip(*map(pairwise, (amounts, times.values(), peaks)), strict=True)]
    fixed = ", ".join(f"{axis} {getattr(settings[0], axis)}" for axis in AXES if axis != name)
    print(f"\n{'Training step' if training else 'Evaluation'} of {variant} {settings[0].arch}; {fixed}")
    rows = [
        [value, Spread.of(times[value]).text(1, 1000), f"{peak / MIB:.0f}", *step]
        for value, peak, step in zip(times, peaks, [("-", "-"), *(step.text() for step in growths)], strict=True)
    ]
    print_table([name, "ms", "tensors, MiB", f"time ~ {AXES[name]}^", f"memory ~ {AXES[name]}^"], rows)
    return {
        "training": training, "axis": name, "values": values, "seconds": list(times.values()), "tensor_bytes": peaks,
        "growth": [asdict(step) for step in growths],
    }  # fmt: skip


def growth(amounts: Sequence[int], times: Sequence[Sequence[float]], peaks: Sequence[int]) -> Growth:
    """Growth from the first to the second of two settings."""
    by = log(amounts[1] / amounts[0])
    ratio = ratios(times[1], times[0])
    time = Spread(*(log(value) / by for value in (ratio.median, ratio.low, ratio.high)))
    return Growth(time, log(max(peaks[1], 1) / max(peaks[0], 1)) / by)


def along_workers(args: argparse.Namespace) -> dict[str, Any]:
    """The loader with 0, 1, 2, 4, ... workers."""
    counts = worker_counts(args.workers)
    with TemporaryDirectory() as folder:
        videos = train_dataset(
            find_videos(args, Path(folder), *VIDEO, "train"),
            num_segments=args.segments[0], frames_per_segment=5, input_size=args.sizes[0], seed=0, flip=True,
        )  # fmt: skip

        def loader_of(workers: int) -> DataLoader:
            return make_loader(videos, batch_size=BATCH_SIZE, workers=workers, shuffle=True)

        memory = {workers: loader_bytes(loader_of(workers)) for workers in counts}
        times = alternate({str(workers): read_all(loader_of(workers)) for workers in counts}, rounds=args.rounds)
    print(f"\nLoader, {args.segments[0]} x 5 frames of {len(videos)} videos, {args.sizes[0]} px")
    rows = []
    for workers, seconds in zip(counts, times.values(), strict=True):
        own, none = memory[workers], memory[0]
        held = "-" if own is None else f"{own / MIB:.0f}"
        more = f"{(own - none) / MIB / workers:.0f}" if own and none and workers else "-"
        speed = Spread.of([len(videos) / taken for taken in seconds])
        rows.append([str(workers), speed.text(1), ratios(times["0"], seconds).text(), held, more])
    print_table(["workers", "clips/s", "x none", "all processes, MiB", "more than none, MiB per worker"], rows)
    return {"workers": counts, "clips": len(videos), "seconds": list(times.values()), "bytes": list(memory.values())}


def read_all(loader: DataLoader) -> Callable[[], int]:
    return lambda: sum(1 for _ in loader)


def loader_bytes(loader: DataLoader) -> int | None:
    """Peak memory of this process and the loader's workers together, sampled at every batch; None without /proc."""
    others = active_children()
    peak = 0
    for _ in loader:
        workers = [child.pid for child in active_children() if child not in others]
        sizes = [resident_bytes(pid) for pid in (os.getpid(), *workers) if pid is not None]
        if None in sizes:
            return None
        peak = max(peak, sum(filter(None, sizes)))
    return peak
