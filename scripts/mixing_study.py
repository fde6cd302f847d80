#!/usr/bin/env python
"""Measure the gain of mixing on a small data set: run train.py with each method and seed, tabulate the accuracies."""

import argparse
import json
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import number
from common.console import answer_help, log_lines_to, run_script
from common.files import file_hash
from datasets.catalogue import BUILT_IN, DatasetSpec, resolve
from ops.choices import MIXES, TORCHVISION_NETS
from ops.models import NETS
from options.groups import add_crop_options, add_data_options, data_options
from scripts.studying.study import Study, study_parser


def mixing_parser() -> argparse.ArgumentParser:
    parser = study_parser(__doc__, "runs/mixing", seeds=5, epochs=15, batch_size=8)
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; a wrong one lists the known ones")
    parser.add_argument("--mix", nargs="+", choices=MIXES, default=list(MIXES), help="methods to compare")
    parser.add_argument("--clips_per_class", type=number(int, 1), default=10, help="training clips per class")
    parser.add_argument("--net", choices=NETS, default="TSM", help="network")
    text = "learning rate of SV-Mix's selector"
    parser.add_argument("--selector_lr", type=number(float, 0, open_low=True), default=0.04, help=text)
    text = "SV-Mix's teacher; the paper's 0.999 is for some 15,000 steps, a study has a few hundred"
    parser.add_argument("--teacher_decay", type=number(float, 0, 1), default=0.95, help=text)
    text = "share of the target spread over all classes"
    parser.add_argument("--label_smoothing", type=number(float, 0, 1), default=0.1, help=text)
    parser.add_argument("--dropout", type=number(float, 0, 1), default=0.2, help="dropout before the classifier")
    add_data_options(parser, ("train", "val"), workers=False)
    add_crop_options(parser)
    parser.set_defaults(input_size=64)  # gives SV-Mix 2 x 2 regions to choose from; 32 gives one
    return parser


if __name__ == "__main__":
    answer_help(mixing_parser())  # before torch is loaded

import numpy as np

import train
from datasets.lists import format_line, read_list
from ops.scoring.metrics import spread_text
from ops.training.run_log import LINES
from opts import parse_train
from scripts.benchmarking.report import table

# Options passed on to train.py.
OPTIONS = ("net", "arch", "num_segments", "input_size", "epochs", "batch_size", "lr", "label_smoothing", "dropout")
SVMIX_OPTIONS = ("selector_lr", "teacher_decay")
SCHEDULE = ["--lr_type", "cos", "--warmup", "0.5", "--gd", "20", "--npb"]


class Row(NamedTuple):  # one training
    mix: str
    seed: int
    top1: float  # in percent, after the last epoch
    teacher_top1: float  # nan without a teacher
    train_loss: float  # of the last epoch
    epoch_seconds: float  # of one core, with the start and the final evaluation


def draw_split(spec: DatasetSpec, clips_per_class: int, seed: int, folder: Path) -> DatasetSpec:
    """The data set with a random train list of a few clips per class, which is written into `folder`."""
    records = list(dict.fromkeys(read_list(spec.lists["train"], spec.num_class, may_repeat=True)))
    chosen, drawn = [], Counter[int]()
    for index in np.random.default_rng(seed).permutation(len(records)).tolist():
        drawn[records[index].label] += 1
        if drawn[records[index].label] <= clips_per_class:
            chosen.append(index)
    path = folder / f"train_seed{seed}.txt"
    path.write_text("".join(format_line(records[index]) for index in sorted(chosen)), encoding="utf-8")
    return replace(spec, lists={**spec.lists, "train": path})


def train_flags(args: argparse.Namespace, spec: DatasetSpec, classes: Path, mix: str) -> list[str]:
    """Flags of train.py for a method with all seeds."""
    options = {name: getattr(args, name) for name in OPTIONS if name != "arch" or args.net not in TORCHVISION_NETS}
    options |= {"root_path": spec.root_path, "val_list": spec.lists["val"], "classes": classes}
    options |= {"image_tmpl": spec.image_tmpl, "eval_freq": args.epochs, "workers": 0, "mix": mix}
    switches = ["--no_flip"] if args.no_flip else []
    if mix == "svmix":
        options |= {name: getattr(args, name) for name in SVMIX_OPTIONS}
        switches.append("--eval_teacher")
    return [spec.name, *(f"--{name}={value}" for name, value in options.items()), *SCHEDULE, *switches]


def train_and_test(mix: str, seed: int, flags: Mapping[str, Sequence[str]], folder: Path) -> Row:
    """Run train.py on the split of a seed, with the `flags` of its method.

    Its output and log stay in `folder`, its checkpoints do not.
    """
    log_folder = folder / "runs" / f"{mix}_seed{seed}"
    shutil.rmtree(log_folder, ignore_errors=True)  # of an interrupted training
    log_folder.mkdir(parents=True)
    own = [f"--train_list={folder}/train_seed{seed}.txt", f"--seed={seed}", f"--root_log={log_folder}"]
    start = time.perf_counter()
    with ExitStack() as stack:
        checkpoints = stack.enter_context(TemporaryDirectory())
        output = stack.enter_context((log_folder / "output.txt").open("w", encoding="utf-8"))
        stack.enter_context(redirect_stdout(output))
        stack.enter_context(redirect_stderr(output))
        log_lines_to(output)
        train.main([*flags[mix], *own, f"--root_model={checkpoints}"])
    (log,) = log_folder.glob(f"*/{LINES}")
    last = json.loads(log.read_text().splitlines()[-1])
    seconds = (time.perf_counter() - start) / (last["epoch"] + 1)
    return Row(mix, seed, last["val/top1"], last.get("val/teacher_top1", math.nan), last["train/loss"], seconds)


def markdown(rows: Sequence[Row]) -> str:
    """The table: mean and sample standard deviation over the seeds; the gain is over `none` with the same seeds."""
    plain = {row.seed: row.top1 for row in rows if row.mix == "none"}
    lines = []
    for mix in MIXES:
        own = [row for row in rows if row.mix == mix]
        seconds = spread_text([row.epoch_seconds for row in own], 2)
        for name, figure in ((mix, "top1"), (f"{mix}, the teacher", "teacher_top1")):
            found = {row.seed: getattr(row, figure) for row in own if not math.isnan(getattr(row, figure))}
            if found:
                gains = [top1 - plain[seed] for seed, top1 in found.items() if seed in plain and name != "none"]
                lines.append([name, str(len(found)), spread_text(list(found.values())), spread_text(gains), seconds])
    return table(["method", "seeds", "top-1, %", "gain over none, same seeds", "seconds per epoch"], lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    args = mixing_parser().parse_args(argv)
    spec = resolve(args.dataset, **data_options(args), need=("train", "val"))
    classes = args.output_dir / "classes.txt"
    flags = {mix: train_flags(args, spec, classes, mix) for mix in args.mix}
    for own in flags.values():
        parse_train(own)  # wrong options are refused before any training
    budget = {name: getattr(args, name) for name in (*OPTIONS, *SVMIX_OPTIONS, "clips_per_class", "no_flip")}
    budget |= {f"{which}_list": file_hash(spec.lists[which]) for which in ("train", "val")}
    study = Study(args.output_dir, "mixing", Row, {**budget, "dataset": spec.name})
    for seed in args.seeds:
        draw_split(spec, args.clips_per_class, seed, study.folder)
    classes.write_text("".join(f"{name}\n" for name in spec.class_names), encoding="utf-8")
    work = partial(train_and_test, flags=flags, folder=study.folder)
    study.complete([(mix, seed) for seed in args.seeds for mix in args.mix], work, args.workers)
    text = markdown(study.rows)
    study.table.with_suffix(".md").write_text(text, encoding="utf-8")
    chance = f"{100 / spec.num_class:.1f} %"
    print(f"{text}\nMean and standard deviation over seeds; chance is {chance}. Files: {study.folder}/mixing.*")


if __name__ == "__main__":
    run_script(main)
