#!/usr/bin/env python
"""Merge score pickles into accuracies, tables and a confusion matrix."""

import csv
import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.console import run_script
from common.errors import InputError, command, counted, few
from common.files import all_or_nothing
from ops.scoring import metrics
from ops.scoring.merge import merge_clips, merge_models
from ops.scoring.pickles import Scores, pickle_path, read_scores
from ops.scoring.plots import plot_confusion
from ops.scoring.predictions import SUBMISSIONS, Predictions, open_table
from ops.scoring.protocol import PROTOCOL, describe_protocol, read_protocol
from opts import parse_results


@dataclass(frozen=True)
class Model:
    """The views of one model."""

    folder: Path
    clips: list[list[Scores]]  # for each clip its crops
    protocol: dict[str, Any]  # empty for files of the official code

    def describe(self) -> str:
        views = clips_by_crops(len(self.clips), len(self.clips[0]))
        if not self.protocol:
            return f"{self.folder}: {views}; protocol unknown (no {PROTOCOL})"
        return f"{self.folder}: {describe_protocol(self.protocol)}, {views}, weights {self.protocol['weights']}"


def main(argv: list[str] | None = None) -> None:
    args = parse_results(argv)
    found_clips, found_crops = find_views(Path(args.output_dir[0]))
    num_clips, crops = args.num_clips or found_clips, args.test_crops or (1 if found_crops == 1 else 3)
    models = [read_model(Path(folder), num_clips, crops) for folder in args.output_dir]
    require_same_data(models)
    warn_of_repeated_scores(models)

    first = models[0].clips[0][0]
    if args.submission:
        require_names(models[0], args.submission)
    if args.report and not first.has_labels:
        raise InputError(f"--report compares predictions with labels, but {first.path} has none; leave it out")
    merged, results = merge(models, args.coeff)
    class_names = models[0].protocol.get("class_names") or [f"class {k}" for k in range(merged.shape[1])]
    folder = Path(args.save_dir) if args.save_dir else results_folder(args.output_dir, args.coeff)
    names = ["results.json", "predictions.csv", *([SUBMISSIONS[args.submission]] if args.submission else [])]
    names += ["per_class.csv", "confusion_matrix.png"] if first.has_labels else []
    print_report(models, results, [folder / name for name in names], len(class_names))
    matrix = metrics.confusion_matrix(merged, first.labels) if first.has_labels else None
    predictions = Predictions.of(merged, first.labels, first.video_ids, class_names)
    write_tables(folder, results, matrix, predictions, args.submission)
    if matrix is not None:
        title = f"top-1 {results['top1']:.2f} %, {counted(results['videos'], 'video')}"
        with all_or_nothing(folder, "--save_dir") as scratch:  # after the tables: it takes longest
            plot_confusion(matrix, class_names, scratch / "confusion_matrix.png", title)
    if args.report:
        report(models, args.coeff, class_names, folder)


def report(models: Sequence[Model], coeff: Sequence[float], class_names: Sequence[str], folder: Path) -> None:
    """Write report.html; its imports take a second."""
    from drawing.frame_strip import frame_strip
    from ops.scoring.report.models import ModelScores
    from ops.scoring.report.page import write_report

    tested = [ModelScores(model.folder, model.clips, model.protocol) for model in models]
    logging.info("Report: %s", write_report(folder, tested, coeff, class_names, frame_strip))


def clips_by_crops(clips: int, crops: int) -> str:
    return f"{counted(clips, 'clip')} x {counted(crops, 'crop')}"


def find_views(folder: Path) -> tuple[int, int]:
    """Return the numbers of clips and of crops of which a folder has pickles."""
    names = [re.fullmatch(r"(\d+)_crop(\d+)\.pkl", path.name) for path in folder.glob("*_crop*.pkl")]
    numbers = [(int(name[1]), int(name[2])) for name in names if name]
    if not numbers:
        fault = "has no score pickles" if folder.is_dir() else "is not a folder"
        raise InputError(f"{folder} {fault}; give the --output_dir of a test script")
    return 1 + max(clip for clip, _ in numbers), 1 + max(crop for _, crop in numbers)


def read_model(folder: Path, num_clips: int, crops: int) -> Model:
    """Read these views of a model; log it if the folder has more."""
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
    found = find_views(folder)
    if found[0] > num_clips or found[1] > crops:
        logging.info("%s: merging %s of %s", folder, clips_by_crops(num_clips, crops), clips_by_crops(*found))
    protocol = read_protocol(folder)
    views = [[read_scores(path) for path in row] for row in paths]
    known, scored = len(protocol.get("class_names", [])), views[0][0].logits.shape[1]
    if protocol and known != scored:
        raise InputError(
            f"{folder}: {PROTOCOL} has {counted(known, 'class name')}, but the scores have "
            f"{counted(scored, 'class')}; test the model again"
        )
    return Model(folder, views, protocol)


def require_same_data(models: Sequence[Model]) -> None:
    """Make sure that all models were tested on the same list with the same classes."""
    first = models[0]
    for other in models[1:]:
        for name, what in (("dataset", "data set"), ("class_names", "class names"), ("list_hash", "list of videos")):
            if first.protocol and other.protocol and first.protocol[name] != other.protocol[name]:
                raise InputError(
                    f"{first.folder} and {other.folder} differ in their {what}; test both models on the same list "
                    "before merging them"
                )


def require_names(model: Model, submission: str) -> None:
    """Make sure that classes and videos have the names that a submission to this data set's server needs."""
    data_set = model.protocol.get("dataset")
    if data_set is None or model.clips[0][0].video_ids is None:
        what = f"class names ({PROTOCOL})" if data_set is None else "video ids"
        raise InputError(f"--submission {submission}: {model.folder} has no {what}; test the model with this project")
    if data_set in SUBMISSIONS and data_set != submission:
        raise InputError(f"--submission {submission}: {model.folder} has scores of {data_set}")


def warn_of_repeated_scores(models: Sequence[Model]) -> None:
    """Warn of views with the same scores, such as copies of a pickle: each is counted."""
    first: dict[bytes, Path] = {}
    repeated = []
    for view in (view for model in models for clip in model.clips for view in clip):
        other = first.setdefault(hashlib.sha256(view.logits.tobytes()).digest(), view.path)
        if other != view.path:
            repeated.append(f"{view.path} has those of {other}")
    if repeated:
        logging.warning("Warning: repeated scores in %s: %s", counted(len(repeated), "view"), few(repeated, 1))


def merge(models: Sequence[Model], coeff: Sequence[float]) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the merged (M, K) probabilities and the content of results.json, without labels without accuracies."""
    first = models[0].clips[0][0]
    labels = first.labels
    by_clips: list[dict[str, float]] = []  # after the first clip, the first two clips, ...
    for of_models in zip(*(merge_clips(model.clips, first) for model in models), strict=True):
        merged = merge_models(of_models, coeff)
        by_clips.append(metrics.accuracies(merged, labels))
    accuracies = by_clips[-1]
    return merged, {
        "labelled": first.has_labels,
        **accuracies,
        "intervals": metrics.intervals(accuracies, labels),
        "videos": len(labels),
        "num_clips": len(by_clips),
        "test_crops": len(models[0].clips[0]),
        "by_clips": [{"clips": i + 1, **row} for i, row in enumerate(by_clips)],
        "models": [
            {
                "output_dir": str(model.folder),
                "coeff": weight,
                **metrics.accuracies(own, labels),
                "protocol": model.protocol,
            }
            for model, weight, own in zip(models, coeff, of_models, strict=True)
        ],
    }


def print_report(models: Sequence[Model], results: dict[str, Any], files: Sequence[Path], num_class: int) -> None:
    for model in models:
        print(model.describe())
    if results["labelled"]:
        print_accuracies(results)
    print(f"\nFiles: {', '.join(map(str, files))}")
    videos, trained = counted(results["videos"], "video"), max(m.protocol.get("training_clips", 0) for m in models)
    of_training = f"; {trained:,} of the {videos} are training clips" if trained else ""
    print(f"{videos}, {counted(num_class, 'class')}: {summary(results)}{of_training}", flush=True)


def print_accuracies(results: dict[str, Any]) -> None:
    """Print the accuracies by the number of clips, and of the models, if there are several."""
    if results["num_clips"] > 1:
        print_table("clips", [(str(row["clips"]), row) for row in results["by_clips"]])
    if len(results["models"]) > 1:
        weights = " : ".join(f"{row['coeff']:g}" for row in results["models"])
        rows = [(row["output_dir"], row) for row in results["models"]]
        print_table("model", [*rows, (f"together ({weights})", results)])


def summary(results: dict[str, Any]) -> str:
    if not results["labelled"]:
        return "the list has no labels, so there are no accuracies"
    labels = {"top1": "top-1", "top5": "top-5", "mean_class": "mean class accuracy"}
    shown = [
        f"{label} {results[key]:.2f} % ({results['intervals'][key][0]:.1f} to {results['intervals'][key][1]:.1f})"
        for key, label in labels.items()
    ]
    return f"{', '.join(shown)}; 95 % intervals in brackets"


def print_table(heading: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
    width = max(len(heading), *(len(name) for name, _ in rows))
    print(f"\n{heading:<{width}}  {'top-1':>7}  {'top-5':>7}  {'mean class':>10}")
    for name, row in rows:
        print(f"{name:<{width}}  {row['top1']:>7.2f}  {row['top5']:>7.2f}  {row['mean_class']:>10.2f}")


def results_folder(folders: Sequence[str], coeff: Sequence[float]) -> Path:
    """The folder of results without --save_dir: that of the pickles for one model, a new one for an ensemble.

    The new one is next to the first model's and named after all: A+B, or A+2xB for weights 1 and 2. A model's name is
    its path relative to there.
    """
    if len(folders) == 1:
        return Path(folders[0])
    paths = [Path(os.path.abspath(folder)).parts for folder in folders]
    home = paths[0][:-1]
    names = ["_".join(path[len(os.path.commonprefix([home, path])) :]) or path[-1] for path in paths]
    names = [name if weight == 1 else f"{weight:g}x{name}" for name, weight in zip(names, coeff, strict=True)]
    return Path(*home, "+".join(names))


def write_tables(
    folder: Path, results: dict[str, Any], matrix: np.ndarray | None, predictions: Predictions, submission: str | None
) -> None:
    """Write results.json and predictions.csv, with labels per_class.csv, and a submission if asked for; all or none."""
    with all_or_nothing(folder, "--save_dir") as scratch:
        (scratch / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        predictions.write_csv(scratch / "predictions.csv")
        if submission:
            predictions.write_submission(submission, scratch)
        if matrix is not None:
            rows = metrics.per_class(matrix, predictions.class_names)
            with open_table(scratch / "per_class.csv") as file:
                csv.writer(file).writerows([metrics.ClassRow._fields, *rows])


if __name__ == "__main__":
    run_script(main)
