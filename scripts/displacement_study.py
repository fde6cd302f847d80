#!/usr/bin/env python
"""How far can a network follow? Train networks on clips of a controlled displacement; draw accuracy against it."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

import torch

from common.cli import make_parser, number
from common.console import run_script
from common.files import make_folder
from datasets.loader import make_loader
from ops.blocks import ARCHS
from ops.models import ABLATIONS, build_model
from ops.scoring.metrics import spread_text
from ops.training.engine import evaluate
from scripts.studying.drifting import DIRECTIONS, Drift, DriftingClips
from scripts.studying.plot import plot_spread
from scripts.studying.study import claim_budget, complete, on_one_core, read_rows, train

# Arguments of build_model by the name in the table.
VARIANTS: dict[str, dict[str, Any]] = {net: {"net": net} for net in ("TSN", "TSM", "TDN", "H2CN")}
VARIANTS |= {f"H2CN-{part}": {"net": "H2CN", "ablate": [part]} for part in ABLATIONS}
VARIANTS |= {
    f"{name}-published": {**options, "hourglass_start": "published"}
    for name, options in VARIANTS.items()
    if name.startswith("H2CN")
}
VAL_SEED = 1_000_003  # of the clips that are tested on, the same for all


@dataclass(frozen=True)
class Budget:
    """What every network gets.

    Attributes:
        arch: backbone.
        num_segments: T.
        epochs: of the cosine schedule, each with new clips.
        clips: an epoch.
        batch_size: clips a step.
        lr: learning rate of SGD.
        val_clips: clips that are tested on.
    """

    arch: str
    num_segments: int
    epochs: int
    clips: int
    batch_size: int
    lr: float
    val_clips: int


@dataclass(frozen=True)
class Job:
    """One training: a network, a displacement in pixels a frame, a seed."""

    variant: str
    displacement: int
    seed: int


@dataclass(frozen=True)
class Row:
    """A line of the table: accuracies in percent, the last epoch's loss, seconds of one core."""

    variant: str
    displacement: int
    seed: int
    top1: float
    top1_reversed: float
    train_loss: float
    seconds: float

    @property
    def job(self) -> Job:
        return Job(self.variant, self.displacement, self.seed)


def train_and_test(job: Job, budget: Budget) -> Row:
    """One training from random weights, and its accuracy on clips that it has not seen."""
    start, runtime = time.perf_counter(), on_one_core()
    torch.manual_seed(job.seed)
    options = {"arch": budget.arch, "num_class": len(DIRECTIONS), "num_segments": budget.num_segments, "dropout": 0.0}
    model = build_model(**options, **VARIANTS[job.variant])
    model = runtime.place(model)
    drift = Drift(job.displacement, budget.num_segments, model.frames_per_segment)
    loader = partial(make_loader, batch_size=budget.batch_size, workers=0, seed=job.seed)
    train_loader = loader(DriftingClips(drift, budget.clips, job.seed), shuffle=True, drop_last=True)
    sums = train(model, train_loader, runtime, epochs=budget.epochs, lr=budget.lr, seed=job.seed)
    top1 = []
    for order in ("normal", "reversed"):
        videos = loader(DriftingClips(replace(drift, frame_order=order), budget.val_clips, VAL_SEED), shuffle=False)
        result = evaluate(model, videos, runtime, amp="off", title=order, print_freq=1)
        top1.append(result.averages()["top1"])
    return Row(**asdict(job), top1=top1[0], top1_reversed=top1[1], train_loss=sums.averages()["loss"],
               seconds=time.perf_counter() - start)  # fmt: skip


def draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Accuracy against displacement: the networks, and H2CN without its parts."""

    def lines(variants: Sequence[str]) -> dict[str, dict[float, list[float]]]:
        found: dict[str, dict[float, list[float]]] = {}
        chosen = [row for row in rows if row.variant in variants]
        for row in sorted(chosen, key=lambda row: (variants.index(row.variant), row.displacement)):
            found.setdefault(row.variant, {}).setdefault(row.displacement, []).append(row.top1)
        return found

    parts = [variant for variant in VARIANTS if variant.startswith("H2CN")]
    networks = [variant for variant in VARIANTS if "-" not in variant]
    panels = {"networks": lines(networks), "H2CN without a part": lines(parts)}
    panels = {heading: panel for heading, panel in panels.items() if panel}
    chance = 100 / len(DIRECTIONS)
    plot_spread(panels, path, title=title, x="displacement, pixels a frame", y="top-1, %", chance=chance)


def print_table(rows: Sequence[Row]) -> None:
    """Mean and sample standard deviation over the seeds, a row a network."""
    displacements = sorted({row.displacement for row in rows})
    print(f"{'top-1, %':<18}" + "".join(f"{f'{d} px':>14}" for d in displacements))
    for variant in VARIANTS:
        cells = []
        for displacement in displacements:
            top1 = [row.top1 for row in rows if (row.variant, row.displacement) == (variant, displacement)]
            cells.append(f"{spread_text(top1):>14}")
        if any(cell.strip() != "-" for cell in cells):
            print(f"{variant:<18}" + "".join(cells))


def study_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        __doc__, "A stopped study goes on where it was: rows that are in the table are not made again."
    )
    parser.add_argument(
        "--output_dir", type=Path, default=Path("runs/displacement"), help="for the table and the figure"
    )
    parser.add_argument(
        "--net", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="networks; H2CN-X is H2CN without X"
    )
    sizes = [1, 4, 8, 16, 24]
    parser.add_argument("--displacement", nargs="+", type=number(int, 1), default=sizes, help="pixels a frame, of 64")
    parser.add_argument("--seeds", nargs="+", type=number(int, 0), default=[0, 1, 2], help="of weights and clips")
    parser.add_argument("--arch", choices=list(ARCHS), default="resnet18", help="backbone")
    parser.add_argument("--num_segments", type=number(int, 1), default=4, help="segments a clip, T")
    parser.add_argument("--epochs", type=number(int, 1), default=5, help="of a cosine schedule")
    parser.add_argument("--clips", type=number(int, 1), default=320, help="new clips an epoch")
    parser.add_argument("--val_clips", type=number(int, 1), default=300, help="clips that are tested on")
    parser.add_argument("-b", "--batch_size", type=number(int, 1), default=16, help="clips a step")
    parser.add_argument("--lr", type=number(float, 0, open_low=True), default=0.02, help="learning rate")
    parser.add_argument("-j", "--workers", type=number(int, 1), default=2, help="trainings at a time, one core each")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = study_parser().parse_args(argv)
    budget = Budget(**{field.name: getattr(args, field.name) for field in fields(Budget)})
    for displacement in args.displacement:
        Drift(displacement, args.num_segments, 5)  # refuses what cannot be told before anything is trained
    folder = make_folder(args.output_dir, "--output_dir")
    table, settings = folder / "displacement.csv", folder / "settings.json"
    rows = read_rows(table, Row)
    claim_budget(settings, budget, new=not rows)
    jobs = [Job(net, d, seed) for seed in args.seeds for d in args.displacement for net in args.net]
    complete(table, rows, jobs, partial(train_and_test, budget=budget), args.workers)
    figure, seeds = folder / "displacement.png", Counter((row.variant, row.displacement) for row in rows).values()
    counts = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else str(min(seeds))
    draw(rows, figure, f"{args.arch}, {args.num_segments} segments, {args.epochs * args.clips} clips, {counts} seeds")
    print_table(rows)
    print(
        f"Mean and standard deviation over the seeds; chance is {100 / len(DIRECTIONS):.0f} %. Files: {table}, {figure}"
    )


if __name__ == "__main__":
    run_script(main)
