#!/usr/bin/env python
"""Measure how far networks can follow motion: train on clips of controlled displacement, plot the accuracies."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import number
from common.console import answer_help, run_script
from ops.choices import ABLATIONS
from ops.models import FAMILY, build_model
from scripts.studying.study import Study, study_parser

DIFFERENCE, PUBLISHED = "difference", "published"  # starts of H2CN's hourglasses
H2CN = {"net": "H2CN", "hourglass_start": DIFFERENCE}
# Name in the table -> arguments of build_model.
VARIANTS: dict[str, dict[str, Any]] = {net: {"net": net} for net in reversed(FAMILY)}
VARIANTS |= {"H2CN": H2CN} | {f"H2CN-{part}": {**H2CN, "ablate": [part]} for part in ABLATIONS}
VARIANTS |= {
    f"{name}-{PUBLISHED}": {**options, "hourglass_start": PUBLISHED}
    for name, options in VARIANTS.items()
    if name.startswith("H2CN")
}


def displacement_parser() -> ArgumentParser:
    parser = study_parser(__doc__, "runs/displacement", seeds=3, epochs=5, batch_size=16)
    text = "networks; H2CN-X is H2CN without X, -published starts its hourglasses as published"
    parser.add_argument("--net", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help=text)
    sizes = [1, 4, 8, 16, 24]
    text = "pixels per frame, in frames 64 pixels wide"
    parser.add_argument("--displacement", nargs="+", type=number(int, 1), default=sizes, help=text)
    parser.add_argument("--clips", type=number(int, 1), default=320, help="new training clips per epoch")
    parser.add_argument("--val_clips", type=number(int, 1), default=300, help="test clips")
    return parser


if __name__ == "__main__":
    answer_help(displacement_parser())  # before torch is loaded

import torch
from matplotlib.figure import Figure

from datasets.loader import make_loader
from ops.network import VideoNet
from ops.optimiser import make_optimiser, parameter_groups
from ops.runtime import Runtime
from ops.schedule import learning_rate
from ops.scoring.metrics import spread_text
from ops.training.engine import TrainSettings, evaluate, train_one_epoch
from ops.training.progress import Sums
from scripts.studying.drifting import DIRECTIONS, Drift, DriftingClips

BUDGET = ("arch", "num_segments", "epochs", "clips", "batch_size", "lr", "val_clips")  # options of all trainings
VAL_SEED = 1_000_003  # of the test clips, the same for all
CHANCE = 100 / len(DIRECTIONS)
CPU = Runtime(torch.device("cpu"))


class Row(NamedTuple):  # one training
    variant: str
    displacement: int  # pixels per frame
    seed: int
    top1: float  # in percent
    top1_reversed: float  # on the same clips played backwards
    train_loss: float  # of the last epoch
    seconds: float


def train_and_test(variant: str, displacement: int, seed: int, budget: Namespace) -> Row:
    """Train from random weights, then test on unseen clips."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    size = {"arch": budget.arch, "num_class": len(DIRECTIONS), "num_segments": budget.num_segments}
    model = CPU.place(build_model(**{**VARIANTS[variant], **size}, dropout=0.0))
    drift = Drift(displacement, budget.num_segments, model.frames_per_segment)
    loader: Any = partial(make_loader, batch_size=budget.batch_size, workers=0, seed=seed)
    sums = train(model, loader(DriftingClips(drift, budget.clips, seed), shuffle=True, drop_last=True), budget, seed)
    top1 = {}
    for order in ("normal", "reversed"):
        clips = DriftingClips(replace(drift, frame_order=order), budget.val_clips, VAL_SEED)
        result = evaluate(model, loader(clips, shuffle=False), CPU, TrainSettings(print_freq=1), title=order)
        top1[order] = result.averages()["top1"]
    return Row(
        variant, displacement, seed, top1=top1["normal"], top1_reversed=top1["reversed"],
        train_loss=sums.averages()["loss"], seconds=time.perf_counter() - start,
    )  # fmt: skip


def train(model: VideoNet, loader: Any, budget: Namespace, seed: int) -> Sums:
    """SGD with half a cosine after half an epoch of warm-up; the sums of the last epoch."""
    optimiser = make_optimiser("sgd", parameter_groups(model, budget.lr, 5e-4), budget.lr, 0.9)
    no_scaler = torch.amp.GradScaler("cpu", enabled=False)
    settings = TrainSettings(clip_gradient=20, seed=seed)
    lr_at = partial(learning_rate, lr=budget.lr, lr_type="cos", lr_steps=(), epochs=budget.epochs, warmup=0.5)
    sums = Sums()
    for epoch in range(budget.epochs):
        loader.sampler.set_epoch(epoch)
        sums = train_one_epoch(model, loader, optimiser, no_scaler, CPU, settings, epoch=epoch, lr_at=lr_at)
    return sums


def accuracies(rows: Sequence[Row]) -> dict[str, dict[int, list[float]]]:
    """Variant -> displacement -> top-1 of each seed."""
    found: dict[str, dict[int, list[float]]] = {variant: {} for variant in VARIANTS}
    for row in sorted(rows, key=lambda row: row.displacement):
        if row.variant in found:
            found[row.variant].setdefault(row.displacement, []).append(row.top1)
    return {variant: line for variant, line in found.items() if line}


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Plot accuracy against displacement as a PNG: the networks, and H2CN without its parts.

    Lines are means over the seeds, dots are single trainings.
    """
    lines = accuracies(rows)
    panels = {
        "networks": [name for name in lines if "-" not in name or name == f"H2CN-{PUBLISHED}"],
        "H2CN without a part": [name for name in lines if name.startswith("H2CN") and PUBLISHED not in name],
        "the same, published start": [name for name in lines if PUBLISHED in name],
    }
    panels = {heading: names for heading, names in panels.items() if names}
    figure = Figure(figsize=(6.2 * len(panels), 4.8), layout="constrained")
    styles: dict[str, tuple[str, str]] = {}  # a variant looks the same in all panels
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (heading, names) in zip(row, panels.items(), strict=True):
        axes.axhline(CHANCE, color="grey", linestyle=":", linewidth=1)
        for index, name in enumerate(names):
            line = lines[name]
            colour, marker = styles.setdefault(name, (f"C{len(styles) % 10}", "os^Dv<>PX*hp"[len(styles) % 12]))
            aside = 1 + 0.02 * (index - (len(names) - 1) / 2)  # keeps the dots of different lines apart
            means = [fmean(values) for values in line.values()]
            axes.plot([d * aside for d in line], means, color=colour, marker=marker, label=name)
            for d, values in line.items():
                axes.plot([d * aside] * len(values), values, ".", color=colour, alpha=0.5, markersize=5)
        displacements = sorted({d for name in names for d in lines[name]})
        axes.set_xscale("log", base=2)
        axes.set_xticks(displacements, [str(d) for d in displacements])
        axes.set_xlabel("displacement, pixels per frame")
        axes.set_title(heading, fontsize=11)
        axes.grid(color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(fontsize=9, framealpha=0.9)
    row[0].set_ylabel("top-1, %")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def print_table(rows: Sequence[Row]) -> None:
    """Mean and sample standard deviation over the seeds, one line per network."""
    displacements = sorted({row.displacement for row in rows})
    print(f"{'top-1, %':<28}" + "".join(f"{f'{d} px':>14}" for d in displacements))
    for variant, line in accuracies(rows).items():
        print(f"{variant:<28}" + "".join(f"{spread_text(line.get(d, [])):>14}" for d in displacements))


def main(argv: list[str] | None = None) -> None:
    args = displacement_parser().parse_args(argv)
    for displacement in args.displacement:
        Drift(displacement, args.num_segments, 5)  # refuses ambiguous displacements before any training
    budget = Namespace(**{name: getattr(args, name) for name in BUDGET})
    # "H2CN" meant the published start in older tables: they are refused.
    study = Study(args.output_dir, "displacement", Row, {**vars(budget), "hourglass_start": DIFFERENCE})
    jobs = [(net, d, seed) for seed in args.seeds for d in args.displacement for net in args.net]
    study.complete(jobs, partial(train_and_test, budget=budget), args.workers)
    seeds = sorted(Counter((row.variant, row.displacement) for row in study.rows).values())
    counts = f"{seeds[0]} to {seeds[-1]}" if seeds[0] < seeds[-1] else str(seeds[0])
    figure = study.table.with_suffix(".png")
    title = f"{args.arch}, {args.num_segments} segments, {args.epochs * args.clips} clips, {counts} seeds"
    draw(study.rows, figure, title)
    print_table(study.rows)
    print(f"Mean and standard deviation over seeds; chance is {CHANCE:.0f} %. Files: {study.table}, {figure}")


if __name__ == "__main__":
    run_script(main)
