#!/usr/bin/env python
"""Linear probe and k nearest neighbours: train on the dumped features of one list, test on those of another."""

import argparse
import csv
import logging
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser
from common.console import answer_help, run_script
from common.errors import InputError, counted, few, quoted, short
from options.groups import COUNT


def probe_parser() -> argparse.ArgumentParser:
    parser = make_parser(str(__doc__))
    parser.add_argument("train", type=Path, metavar="TRAIN_DIR", help="--output_dir of the training videos")
    parser.add_argument("test", type=Path, metavar="TEST_DIR", help="--output_dir of the test videos")
    text = "numbers of nearest neighbours by cosine similarity; each votes with weight 1 / distance"
    parser.add_argument("--neighbours", type=COUNT, nargs="+", default=[1, 5, 20], metavar="K", help=text)
    return parser


if __name__ == "__main__":
    answer_help(probe_parser())  # before torch is loaded

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from ops.scoring.features import INDEX, read_features
from ops.scoring.metrics import accuracies, intervals
from ops.scoring.protocol import describe_protocol, read_protocol


class Features(NamedTuple):
    """The features of a list of videos."""

    values: np.ndarray  # (M, D) float32, the mean over the views
    labels: np.ndarray  # (M,)
    videos: list[str]  # M ids
    protocol: dict[str, Any]


def load(folder: Path) -> Features:
    """The features that a test script dumped into a folder."""
    paths = sorted(folder.glob("*_crop*_features.npy"))
    protocol = read_protocol(folder)
    if not paths or not protocol:
        raise InputError(f"{folder} has no features; make them with a test script and --dump_features float16")
    try:
        with (folder / INDEX).open(newline="", encoding="utf-8") as file:
            rows = [(row["video"], int(row["label"])) for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(
            f"{folder / INDEX} is missing or damaged, or has several labels per video ({short(error)}); dump the "
            "features again, with one label per video"
        ) from error
    views = [read_features(path) for path in paths]
    if {view.shape for view in views} != {(len(rows), views[0].shape[1])}:
        raise InputError(f"{folder}: the views and {INDEX} differ in size; dump the features again with --overwrite")
    videos, labels = [video for video, _ in rows], np.array([label for _, label in rows])
    if (labels < 0).any():
        raise InputError(f"{folder / INDEX} has no labels; fill in its column `label`, or dump a list with labels")
    print(f"{folder}: {counted(len(rows), 'video')}, {counted(len(views), 'view')}, {describe_protocol(protocol)}")
    total = np.zeros(views[0].shape, np.float32)
    for view in views:
        total += view
    return Features(total / len(views), labels, videos, protocol)


def require_comparable(train: Features, test: Features) -> None:
    """Refuse features of two networks; log videos that are in both lists."""
    if train.protocol.get("weights_sha256") != test.protocol.get("weights_sha256"):
        raise InputError("the two folders hold features of different weights; dump both with the same --weights")
    if len(np.unique(train.labels)) < 2:
        raise InputError("all training videos have the same label; at least two classes are needed")
    both = sorted({*train.videos} & {*test.videos})
    if both:
        what = f"{counted(len(both), 'video')} in both lists ({few([quoted(video) for video in both])})"
        logging.warning("warning: %s: the accuracies are too high", what)


def main(argv: list[str] | None = None) -> None:
    args = probe_parser().parse_args(argv)
    train, test = load(args.train), load(args.test)
    require_comparable(train, test)
    if max(args.neighbours) > len(train.labels):
        count = counted(len(train.labels), "training video")
        raise InputError(f"--neighbours {max(args.neighbours)}: there are only {count}")

    probes = {"linear probe": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))}
    for k in args.neighbours:
        probes[f"{k} nearest"] = make_pipeline(Normalizer(), KNeighborsClassifier(k, weights="distance"))
    print(f"\n{'':<14}{'top-1':>9}  {'95 % interval':>13}  {'mean class':>10}")
    for name, probe in probes.items():
        scores = np.zeros((len(test.labels), 1 + max(train.labels.max(), test.labels.max())))
        scores[:, np.unique(train.labels)] = probe.fit(train.values, train.labels).predict_proba(test.values)
        found = accuracies(scores, test.labels)
        low, high = intervals(found, test.labels)["top1"]
        interval = f"{low:.1f} to {high:.1f}"
        print(f"{name:<14}{found['top1']:>7.2f} %  {interval:>13}  {found['mean_class']:>8.2f} %")


if __name__ == "__main__":
    run_script(main)
