#!/usr/bin/env python
"""Merge score pickles into accuracies, tables and a confusion matrix."""

import csv
import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from common.console import run_script
from common.errors import InputError, command, counted, few
from common.files import all_or_nothing
from ops.scoring.merge import merge_clips, merge_models
from ops.scoring.metrics import (
    ClassRow,
    accuracy_interval,
    confusion_matrix,
    mean_class_accuracy,
    mean_class_interval,
    per_class,
    topk_accuracy,
)
from ops.scoring.pickles import Scores, pickle_path, read_scores
from ops.scoring.plots import plot_confusion
from ops.scoring.protocol import PROTOCOL, read_protocol
from opts import parse_results


def clips_by_crops(clips: int, crops: int) -> str:
    """The number of views in words."""
    return f"{counted(clips, 'clip')} x {counted(crops, 'crop')}"


@dataclass(frozen=True)
class Model:
    """The views of one model.

    Attributes:
        folder: of its pickles.
        clips: for each clip the views of its crops.
        protocol: how they were made; empty for files of the official code.
    """

    folder: Path
    clips: list[list[Scores]]
    protocol: dict[str, Any]

    def describe(self) -> str:
        """Its protocol in one line."""
        views = clips_by_crops(len(self.clips), len(self.clips[0]))
        if not self.protocol:
            return f"{self.folder}: {views}; protocol unknown ({PROTOCOL} is not there)"
        made = self.protocol
        order = made.get("frame_order", "normal")
        order = "" if order == "normal" else f" {order}"
        without = " without " + ", ".join(made["ablate"]) if made.get("ablate") else ""
        return (
            f"{self.folder}: {made['net']} {made['arch']}{without}, "
            f"{made['num_segments']} x {made['frames_per_segment']} frames{order}, "
            f"{views}, {made['sampling']}, {made['preprocessing']}, weights {made['weights']}"
        )


def views_there(folder: Path) -> tuple[int, int]:
    """How many clips and crops have a pickle in a folder, at least in part.

    Raises:
        InputError: none has, or the folder is not there.
    """
    names = [re.fullmatch(r"(\d+)_crop(\d+)\.pkl", path.name) for path in folder.glob("*_crop*.pkl")]
    numbers = [(int(name[1]), int(name[2])) for name in names if name]
    if not numbers:
        what = "has no score pickles" if folder.is_dir() else "is no folder"
        raise InputError(f"{folder} {what}; give the --output_dir of a test script")
    return 1 + max(clip for clip, _ in numbers), 1 + max(crop for _, crop in numbers)


def read_model(folder: Path, num_clips: int, crops: int) -> Model:
    """These views of a model; a line says if there are more.

    Raises:
        InputError: a view or the protocol cannot be read, or a view is not there or of other videos.
    """
    paths = [[pickle_path(folder, clip, crop) for crop in range(crops)] for clip in range(num_clips)]
    missing = [(clip, path) for clip, row in enumerate(paths) for path in row if not path.exists()]
    if missing:
        clips = ",".join(str(clip) for clip in sorted({clip for clip, _ in missing}))
        script = "test_models_center_crop.py" if crops == 1 else "test_models_three_crops.py"
        raise InputError(
            f"{len(missing)} of {num_clips * crops} views are missing, the first is {missing[0][1]}; make them with "
            f"{command(script, '--weights', 'CKPT', '--clip_index', clips, '--output_dir', folder)}, or lower "
            "--num_clips or --test_crops"
        )
    there = views_there(folder)
    if there[0] > num_clips or there[1] > crops:
        logging.info("%s: merging %s, %s are there", folder, clips_by_crops(num_clips, crops), clips_by_crops(*there))
    protocol = read_protocol(folder)
    views = [[read_scores(path) for path in row] for row in paths]
    known, scored = len(protocol.get("class_names", [])), views[0][0].logits.shape[1]
    if protocol and known != scored:
        raise InputError(
            f"{folder}: {counted(known, 'class name')} in {PROTOCOL}, scores of {counted(scored, 'class')}; "
            "test the model again"
        )
    return Model(folder, views, protocol)


def require_same_data(models: Sequence[Model]) -> None:
    """Two models can be merged if they were tested on the same list with the same classes.

    Raises:
        InputError: they were not.
    """
    first = models[0]
    for other in models[1:]:
        for name, what in (("dataset", "data set"), ("class_names", "class names"), ("list_hash", "list of videos")):
            if first.protocol and other.protocol and first.protocol[name] != other.protocol[name]:
                raise InputError(
                    f"{first.folder} and {other.folder} are of another {what}; "
                    "test both models on the same list before merging them"
                )


def warn_of_equal_views(models: Sequence[Model]) -> None:
    """Say if views hold the same scores, such as copies of a pickle: they are counted as often as they are there."""
    first: dict[bytes, Path] = {}
    repeated = []
    for view in (view for model in models for clip in model.clips for view in clip):
        other = first.setdefault(hashlib.sha256(view.logits.tobytes()).digest(), view.path)
        if other != view.path:
            repeated.append(f"{view.path} holds those of {other}")
    if repeated:
        logging.warning("Warning: repeated scores in %s: %s", counted(len(repeated), "view"), few(repeated, 1))


def figures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Top-1, top-5 and mean class accuracy in percent, from (M, K) and (M,)."""
    return {
        "top1": topk_accuracy(probabilities, labels, 1),
        "top5": topk_accuracy(probabilities, labels, 5),
        "mean_class": mean_class_accuracy(probabilities, labels),
    }


def table(rows: Sequence[tuple[str, dict[str, float]]], heading: str) -> str:
    """Named rows of figures, aligned."""
    width = max(len(heading), *(len(name) for name, _ in rows))
    lines = [f"{heading:<{width}}  {'top-1':>7}  {'top-5':>7}  {'mean class':>10}"]
    for name, row in rows:
        lines.append(f"{name:<{width}}  {row['top1']:>7.2f}  {row['top5']:>7.2f}  {row['mean_class']:>10.2f}")
    return "\n".join(lines)


def results_folder(folders: Sequence[str], coeff: Sequence[float]) -> Path:
    """Where results go without --save_dir: beside the pickles of one model; an ensemble has a folder of its own.

    It is beside the first model's and named after all: A+B, or A+2xB for weights 1 and 2. A model's name is its path as
    seen from there.
    """
    if len(folders) == 1:
        return Path(folders[0])
    paths = [Path(os.path.abspath(folder)).parts for folder in folders]
    home = paths[0][:-1]
    names = ["_".join(path[len(os.path.commonprefix([home, path])) :]) or path[-1] for path in paths]
    names = [name if weight == 1 else f"{weight:g}x{name}" for name, weight in zip(names, coeff, strict=True)]
    return Path(*home, "+".join(names))


def write_tables(folder: Path, results: dict[str, Any], rows: Sequence[ClassRow]) -> None:
    """Write results.json, and the table of classes as per_class.csv; both or none.

    Raises:
        InputError: the folder cannot be written.
    """
    with all_or_nothing(folder, "--save_dir") as scratch:
        (scratch / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        # a name that is not UTF-8 text cannot come from a classes.txt, but from a protocol.json
        with (scratch / "per_class.csv").open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(ClassRow)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)


def main(argv: list[str] | None = None) -> None:
    args = parse_results(argv)
    there = views_there(Path(args.output_dir[0]))
    num_clips, crops = args.num_clips or there[0], args.test_crops or (1 if there[1] == 1 else 3)
    models = [read_model(Path(folder), num_clips, crops) for folder in args.output_dir]
    require_same_data(models)
    warn_of_equal_views(models)
    first = models[0].clips[0][0]
    labels = first.labels
    class_names = models[0].protocol.get("class_names") or [f"class {k}" for k in range(first.logits.shape[1])]

    # the accuracies after the first 1, 2, ... clips; the last is the result
    clips_table: list[tuple[str, dict[str, float]]] = []
    for of_models in zip(*(merge_clips(model.clips, first) for model in models), strict=True):
        merged = merge_models(of_models, args.coeff)
        clips_table.append((str(len(clips_table) + 1), figures(merged, labels)))
    result = clips_table[-1][1]
    model_table = [(str(m.folder), figures(scores, labels)) for m, scores in zip(models, of_models, strict=True)]
    folder = Path(args.save_dir) if args.save_dir else results_folder(args.output_dir, args.coeff)

    # report
    for model in models:
        print(model.describe())
    if num_clips > 1:
        print(f"\n{table(clips_table, 'clips')}")
    if len(models) > 1:
        weights = " : ".join(f"{coeff:g}" for coeff in args.coeff)
        print(f"\n{table([*model_table, (f'together ({weights})', result)], 'model')}")
    if len(models) > 1 and not args.save_dir:
        print("\nThe results of an ensemble go into a folder of its own (--save_dir chooses another).")
    picture = folder / "confusion_matrix.png"
    print(f"\nFiles: {folder / 'results.json'}, {folder / 'per_class.csv'}, {picture}")
    intervals = {name: accuracy_interval(result[name], len(labels)) for name in ("top1", "top5")}
    intervals["mean_class"] = mean_class_interval(merged, labels)
    text = {name: "{:.2f} % ({}{:.1f} to {:.1f})".format(result[name], "95 % interval " * (name == "top1"), *interval)
            for name, interval in intervals.items()}  # fmt: skip
    summary = (
        f"{counted(len(labels), 'video')}, {counted(len(class_names), 'class')}: top-1 {text['top1']}, "
        f"top-5 {text['top5']}, mean class accuracy {text['mean_class']}"
    )
    trained = max(model.protocol.get("training_clips", 0) for model in models)
    if trained:
        summary += f"; {trained:,} of the {counted(len(labels), 'video')} are training clips"
    print(summary, flush=True)

    # files; the picture, which takes longest, at the end
    matrix = confusion_matrix(merged, labels)
    results = {
        **result,
        "intervals": intervals,
        "videos": len(labels),
        "num_clips": num_clips,
        "test_crops": crops,
        "by_clips": [{"clips": int(name), **row} for name, row in clips_table],
        "models": [
            {"output_dir": str(model.folder), "coeff": coeff, **row, "protocol": model.protocol}
            for model, coeff, (_, row) in zip(models, args.coeff, model_table, strict=True)
        ],
    }
    write_tables(folder, results, per_class(matrix, class_names))
    title = f"top-1 {result['top1']:.2f} %, {counted(len(labels), 'video')}"
    with all_or_nothing(folder, "--save_dir") as scratch:
        plot_confusion(matrix, class_names, scratch / picture.name, title)


if __name__ == "__main__":
    run_script(main)
