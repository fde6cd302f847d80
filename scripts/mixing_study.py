#!/usr/bin/env python
"""What does mixing bring on a small data set? Train with each method over several seeds; a table of the accuracies."""

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

import numpy as np
import torch

from common.cli import make_parser, number
from common.console import run_script
from common.files import make_folder
from common.option_groups import add_augmentation_options, add_data_options
from datasets.catalogue import BUILT_IN, DatasetSpec, resolve
from datasets.clip_dataset import train_dataset, val_dataset
from datasets.lists import format_line, list_hash, read_list
from datasets.loader import make_loader
from ops.blocks import ARCHS
from ops.mixing.methods import MIXES
from ops.mixing.mixer import Mixer, mix_method
from ops.mixing.svmix import SvMixSettings
from ops.models import NETS, build_model, require_stride
from ops.scoring.metrics import spread_text
from ops.training.engine import evaluate
from opts import data_options
from scripts.studying.study import claim_budget, complete, on_one_core, read_rows, train


@dataclass(frozen=True)
class Budget:
    """What every method gets.

    Attributes:
        dataset: its name.
        train_list: hash of the list that the clips are drawn from.
        val_list: hash of the list that is tested on.
        clips_per_class: clips of each class, drawn anew for each seed, the same for all methods.
        net: network.
        arch: backbone.
        num_segments: T.
        input_size: pixels.
        epochs: of the cosine schedule.
        batch_size: clips a step.
        lr: learning rate of SGD.
        selector_lr: of SV-Mix's selector.
        teacher_decay: of SV-Mix's teacher.
        label_smoothing: share spread over all classes.
        dropout: before the classifier.
        no_flip: no mirrored clips.
    """

    dataset: str
    train_list: str
    val_list: str
    clips_per_class: int
    net: str
    arch: str
    num_segments: int
    input_size: int
    epochs: int
    batch_size: int
    lr: float
    selector_lr: float
    teacher_decay: float
    label_smoothing: float
    dropout: float
    no_flip: bool


@dataclass(frozen=True)
class Job:
    """One training: a method, a seed."""

    mix: str
    seed: int


@dataclass(frozen=True)
class Row:
    """A line of the table: accuracies in percent after the last epoch, its loss, seconds of one core."""

    mix: str
    seed: int
    top1: float
    teacher_top1: float  # nan: there is no teacher
    train_loss: float
    epoch_seconds: float

    @property
    def job(self) -> Job:
        return Job(self.mix, self.seed)


def draw_split(spec: DatasetSpec, clips_per_class: int, seed: int, folder: Path) -> DatasetSpec:
    """The data set with a train list of few clips of each class, drawn with a seed, written into `folder`."""
    records = list(dict.fromkeys(read_list(spec.lists["train"], spec.num_class, may_repeat=True)))
    rng = np.random.default_rng(seed)
    of_class: dict[int, int] = {}
    chosen = []
    for index in rng.permutation(len(records)).tolist():
        label = records[index].label
        if of_class.setdefault(label, 0) < clips_per_class:
            of_class[label] += 1
            chosen.append(index)
    path = folder / f"train_seed{seed}.txt"
    path.write_text("".join(format_line(records[index]) for index in sorted(chosen)), encoding="utf-8")
    return replace(spec, lists={**spec.lists, "train": path})


def train_and_test(job: Job, budget: Budget, splits: Mapping[int, DatasetSpec]) -> Row:
    """One training from random weights on its seed's split, and its accuracy on the val list."""
    runtime = on_one_core()
    torch.manual_seed(job.seed)
    spec = splits[job.seed]
    model = build_model(budget.net, budget.arch, spec.num_class, budget.num_segments, dropout=budget.dropout)
    model = runtime.place(model)
    clips = {"num_segments": budget.num_segments, "frames_per_segment": model.frames_per_segment}
    train_set = train_dataset(spec, **clips, input_size=budget.input_size, seed=job.seed, flip=not budget.no_flip)
    loader = partial(make_loader, batch_size=budget.batch_size, workers=0, seed=job.seed)
    train_loader = loader(train_set, shuffle=True, drop_last=True)
    smoothing, mixer = {"label_smoothing": budget.label_smoothing}, None
    if job.mix != "none":
        rates = {"selector_lr": budget.selector_lr, "network_lr": budget.lr, "teacher_decay": budget.teacher_decay}
        settings = SvMixSettings(**rates)
        method = mix_method(job.mix, model, budget.input_size, runtime, settings)
        mixer = Mixer(method, spec.num_class, seed=job.seed)
    start = time.perf_counter()
    sums = train(
        model, train_loader, runtime, epochs=budget.epochs, lr=budget.lr, seed=job.seed, mixer=mixer, **smoothing
    )
    epoch_seconds = (time.perf_counter() - start) / budget.epochs
    val_loader = loader(val_dataset(spec, **clips, input_size=budget.input_size), shuffle=False)
    top1 = [math.nan, math.nan]
    for place, network in enumerate([model, mixer.method.teacher if mixer is not None else None]):
        if network is not None:
            result = evaluate(network, val_loader, runtime, amp="off", title="val", print_freq=1)
            top1[place] = result.averages()["top1"]
    return Row(**asdict(job), top1=top1[0], teacher_top1=top1[1], train_loss=sums.averages()["loss"],
               epoch_seconds=epoch_seconds)  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """The table: mean and sample standard deviation over the seeds; the gain is over `none` of the same seeds."""
    plain = {row.seed: row.top1 for row in rows if row.mix == "none"}
    lines = ["| method | seeds | top-1, % | gain over none, same seeds | seconds an epoch |", "|---|---|---|---|---|"]
    for mix in MIXES:
        own = [row for row in rows if row.mix == mix]
        seconds = spread_text([row.epoch_seconds for row in own], 2)
        for name, figure in ((mix, "top1"), (f"{mix}, the teacher", "teacher_top1")):
            found = {row.seed: getattr(row, figure) for row in own if not math.isnan(getattr(row, figure))}
            if found:
                gains = [top1 - plain[seed] for seed, top1 in found.items() if seed in plain and name != "none"]
                cells = [name, str(len(found)), spread_text(list(found.values())), spread_text(gains), seconds]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def study_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        __doc__, "A stopped study goes on where it was: rows that are in the table are not made again."
    )
    positive = number(int, 1)
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; a wrong one lists the known ones")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/mixing"), help="for the tables and the lists")
    parser.add_argument("--mix", nargs="+", choices=MIXES, default=list(MIXES), help="methods to compare")
    parser.add_argument("--seeds", nargs="+", type=number(int, 0), default=[0, 1, 2, 3, 4], help="of split and weights")
    parser.add_argument("--clips_per_class", type=positive, default=10, help="clips of each class that are trained on")
    parser.add_argument("--net", choices=NETS, default="TSM", help="network")
    parser.add_argument("--arch", choices=list(ARCHS), default="resnet18", help="backbone, where there is a choice")
    parser.add_argument("--num_segments", type=positive, default=4, help="segments a clip, T")
    parser.add_argument("--epochs", type=positive, default=15, help="of a cosine schedule")
    parser.add_argument("-b", "--batch_size", type=number(int, 2), default=8, help="clips a step")
    above_zero = number(float, 0, open_low=True)
    parser.add_argument("--lr", type=above_zero, default=0.02, help="learning rate")
    parser.add_argument("--selector_lr", type=above_zero, default=0.04, help="learning rate of SV-Mix's selector")
    text = "SV-Mix's teacher; published is 0.999, with some 15,000 steps, and here are a few hundred"
    parser.add_argument("--teacher_decay", type=number(float, 0, 1), default=0.95, help=text)
    parser.add_argument(
        "--label_smoothing", type=number(float, 0, 1), default=0.1, help="share spread over all classes"
    )
    parser.add_argument("--dropout", type=number(float, 0, 1), default=0.2, help="dropout before the classifier")
    parser.add_argument("-j", "--workers", type=positive, default=2, help="trainings at a time, one core each")
    add_data_options(parser, ("train", "val"), workers=False)
    add_augmentation_options(parser)
    parser.set_defaults(input_size=64)  # SV-Mix chooses among 2 x 2 places then; at 32 there is one
    return parser


def main(argv: list[str] | None = None) -> None:
    args = study_parser().parse_args(argv)
    require_stride(args.net, args.input_size)
    spec = resolve(args.dataset, **data_options(args), need=("train", "val"))
    hashes = {f"{which}_list": list_hash(spec.lists[which]) for which in ("train", "val")}
    given = {field.name: getattr(args, field.name) for field in fields(Budget)}
    budget = Budget(**{**given, **hashes, "dataset": spec.name})
    folder = make_folder(args.output_dir, "--output_dir")
    table = folder / "mixing.csv"
    rows = read_rows(table, Row)
    claim_budget(folder / "settings.json", budget, new=not rows)
    jobs = [Job(mix, seed) for seed in args.seeds for mix in args.mix]
    splits = {seed: draw_split(spec, args.clips_per_class, seed, folder) for seed in args.seeds}
    complete(table, rows, jobs, partial(train_and_test, budget=budget, splits=splits), args.workers)
    text = markdown(rows)
    (folder / "mixing.md").write_text(text, encoding="utf-8")
    print(text)
    print(
        f"Mean and standard deviation over the seeds; chance is {100 / spec.num_class:.1f} %. Files: {folder}/mixing.*"
    )


if __name__ == "__main__":
    run_script(main)
