"""`growth`: time and memory against segments, pixels, batch size and workers; superlinear growth is marked."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace
from itertools import pairwise
from math import log
from multiprocessing import active_children
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from joblib import cpu_count

from common.cli import number
from datasets.catalogue import BUILT_IN
from datasets.clip_dataset import VideoDataset, train_dataset
from datasets.loader import make_loader
from scripts.benchmarking.loading import BATCH_SIZE, one_pass, worker_counts
from scripts.benchmarking.material import Size, find_videos
from scripts.benchmarking.measuring import MIB, Measured, Spread, alternate, measure, ratios, resident_bytes
from scripts.benchmarking.model_and_step import add_network_options
from scripts.benchmarking.networks import Setting, Variant, make_call
from scripts.benchmarking.report import print_table

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
    values = {"segments": args.segments, "size": args.sizes, "batch_size": args.batch_sizes}
    first = {name: axis[0] for name, axis in values.items()}
    loader = along_workers(args)  # before the networks, whose memory would be counted
    tables = []
    for training in [False] if "prepared" in args.variant.changes else [False, True]:  # those cannot be trained
        base = Setting(args.arch, **first, device=torch.device(args.device), training=training)
        for name, axis in values.items():
            settings = {value: replace(base, **{name: value}) for value in sorted(set(axis))}
            if len(settings) > 1:
                tables.append(along(name, settings, args.variant, args.rounds))
    return {"variant": str(args.variant), "tables": tables, "loader": loader}


def along(name: str, settings: Mapping[int, Setting], variant: Variant, rounds: int) -> dict[str, Any]:
    setting = next(iter(settings.values()))
    calls = {value: make_call(variant, each) for value, each in settings.items()}
    measured = measure(calls, setting.device, rounds)
    fixed = ", ".join(f"{axis} {getattr(setting, axis)}" for axis in AXES if axis != name)
    print(f"\n{'Training step' if setting.training else 'Evaluation'} of {variant} {setting.arch}; {fixed}")
    rows = [
        [value, Spread.of(own.seconds).text(1, 1000), f"{own.tensor_bytes / MIB:.0f}"]
        for value, own in measured.items()
    ]
    rows[0] += ["-", "-"]
    steps = []
    for row, (smaller, larger) in zip(rows[1:], pairwise(settings), strict=True):
        factor = (larger / smaller) ** (2 if name == "size" else 1)
        steps.append(step := growth(factor, measured[smaller], measured[larger]))
        row += [step.time.text(), f"{step.memory:.2f}" + " **faster than linear**" * step.is_superlinear()]
    print_table([name, "ms", "tensors, MiB", f"time ~ {AXES[name]}^", f"memory ~ {AXES[name]}^"], rows)
    return {
        "training": setting.training, "axis": name, "values": list(settings),
        "seconds": [own.seconds for own in measured.values()],
        "tensor_bytes": [own.tensor_bytes for own in measured.values()], "growth": [asdict(step) for step in steps],
    }  # fmt: skip


def growth(factor: float, before: Measured, after: Measured) -> Growth:
    """Growth between two measurements, the second with `factor` times the amount."""
    time = Spread(*(log(ratio, factor) for ratio in astuple(ratios(after.seconds, before.seconds))))
    return Growth(time, log(after.tensor_bytes / before.tensor_bytes, factor))


def along_workers(args: argparse.Namespace) -> dict[str, Any]:
    """The loader with 0, 1, 2, 4, ... workers."""
    counts = worker_counts(args.workers)
    with TemporaryDirectory() as folder:
        videos = train_dataset(
            find_videos(args, Path(folder), *VIDEO, "train"),
            num_segments=args.segments[0], frames_per_segment=5, input_size=args.sizes[0], seed=0, flip=True,
        )  # fmt: skip
        memory = {workers: loader_bytes(videos, workers) for workers in counts}
        times = alternate({workers: one_pass(videos, workers, []) for workers in counts}, rounds=args.rounds)
    print(f"\nLoader, {args.segments[0]} x 5 frames of {len(videos)} videos, {args.sizes[0]} px")
    rows = []
    for workers, seconds in times.items():
        speed = Spread.of([len(videos) / taken for taken in seconds])
        total, base = memory[workers], memory[0]
        cells = ["not known", "not known"]
        if total and base:
            cells = [f"{total / MIB:.0f}", f"{(total - base) / MIB / workers:.0f}" if workers else "-"]
        rows.append([workers, speed.text(1), ratios(times[0], seconds).text(), *cells])
    print_table(["workers", "clips/s", "x none", "all processes, MiB", "more than none, MiB per worker"], rows)
    return {"workers": counts, "clips": len(videos), "seconds": list(times.values()), "bytes": list(memory.values())}


def loader_bytes(videos: VideoDataset, workers: int) -> int | None:
    """Peak memory of this process and a loader's workers together, sampled at every batch; None without /proc."""
    others = active_children()
    peak = 0
    for _ in make_loader(videos, batch_size=BATCH_SIZE, workers=workers, shuffle=True):
        readers = [child.pid for child in active_children() if child not in others]
        peak = max(peak, sum(resident_bytes(pid) for pid in (os.getpid(), *readers) if pid is not None))
    return peak or None
