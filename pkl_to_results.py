#!/usr/bin/env python
"""Merge score pickles into accuracies, tables and a confusion matrix."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.console import answer_help, run_script
from opts import parse_results, results_parser

if __name__ == "__main__":
    answer_help(results_parser())  # before torch is loaded

import numpy as np

from common.errors import InputError, counted
from common.files import all_or_nothing
from ops.scoring import merge, metrics, predictions
from ops.scoring.merge import Merged, ScoredModel
from ops.scoring.pickles import Scores
from ops.scoring.plots import plot_confusion
from ops.scoring.predictions import SUBMISSIONS
from ops.scoring.protocol import PROTOCOL


def main(argv: list[str] | None = None) -> None:
    args = parse_results(argv)
    found_clips, found_crops = merge.find_views(Path(args.output_dir[0]))
    num_clips, crops = args.num_clips or found_clips, args.test_crops or (1 if found_crops == 1 else 3)
    models = [merge.read_model(Path(folder), num_clips, crops) for folder in args.output_dir]
    merge.require_same_data(models)
    merge.warn_of_repeated_scores(models)

    first = models[0].clips[0][0]
    for flag in ("report", "submission"):
        if first.multi_label and getattr(args, flag):
            raise InputError(f"--{flag} is for one label per video, but the scores in {first.path} are for several")
    if args.submission:
        require_names(models[0], args.submission)
    if args.report and not first.has_labels:
        raise InputError(f"--report compares predictions with labels, but {first.path} has none; leave it out")
    merged = merge.merge([model.clips for model in models], args.coeff)
    results = results_of(models, merged, args.coeff)
    probabilities = merged[-1].probabilities
    class_names = models[0].protocol.get("class_names") or [f"class {k}" for k in range(probabilities.shape[1])]
    folder = Path(args.save_dir) if args.save_dir else results_folder(args.output_dir, args.coeff)
    has_matrix = first.has_labels and not first.multi_label
    names = ["results.json", "predictions.csv", *([SUBMISSIONS[args.submission]] if args.submission else [])]
    names += ["per_class.csv"] if first.has_labels else []
    names += ["confusion_matrix.png"] if has_matrix else []
    names += ["report.html"] if args.report else []
    print_results(models, results, [folder / name for name in names], len(class_names))
    matrix = metrics.confusion_matrix(probabilities, first.labels) if has_matrix else None
    write_tables(folder, results, probabilities, matrix, first, class_names, args.submission)
    if matrix is not None:
        title = f"top-1 {results['top1']:.2f} %, {counted(results['videos'], 'video')}"
        with all_or_nothing(folder, "--save_dir") as scratch:  # after the tables: it takes longest
            plot_confusion(matrix, class_names, scratch / "confusion_matrix.png", title)
    if args.report:
        from drawing.frame_strip import frame_strip  # a second, as SciPy and jinja2
        from ops.scoring.report.page import write_report

        write_report(folder, models, merged, args.coeff, class_names, frame_strip)


def require_names(model: ScoredModel, submission: str) -> None:
    """Make sure that classes and videos have the names that a submission to this data set's server needs."""
    data_set = model.protocol.get("dataset")
    if data_set is None or model.clips[0][0].video_ids is None:
        what = f"class names ({PROTOCOL})" if data_set is None else "video ids"
        raise InputError(f"--submission {submission}: {model.folder} has no {what}; test the model with this project")
    if data_set in SUBMISSIONS and data_set != submission:
        raise InputError(f"--submission {submission}: {model.folder} has scores of {data_set}")


def results_of(models: Sequence[ScoredModel], merged: Sequence[Merged], coeff: Sequence[float]) -> dict[str, Any]:
    """The content of results.json; without labels there are no accuracies."""
    first = models[0].clips[0][0]
    by_clips = merged[-1].by_clips
    return {
        "labelled": first.has_labels,
        **by_clips[-1],
        "intervals": metrics.intervals(by_clips[-1], first.labels),
        "videos": len(first.labels),
        "num_clips": len(by_clips),
        "test_crops": len(models[0].clips[0]),
        "by_clips": [{"clips": i, **row} for i, row in enumerate(by_clips, start=1)],
        "models": [
            {"output_dir": str(model.folder), "coeff": weight, **own.by_clips[-1], "protocol": model.protocol}
            for model, weight, own in zip(models, coeff, merged, strict=False)  # several: their mean is the last
        ],
    }


def print_results(
    models: Sequence[ScoredModel], results: dict[str, Any], files: Sequence[Path], num_class: int
) -> None:
    """Print the accuracies, also by the number of clips and of each model if there are several."""
    for model in models:
        print(model.describe())
    if results["labelled"] and results["num_clips"] > 1:
        print_table("clips", [(str(row["clips"]), row) for row in results["by_clips"]])
    if results["labelled"] and len(models) > 1:
        weights = " : ".join(f"{row['coeff']:g}" for row in results["models"])
        rows = [(row["output_dir"], row) for row in results["models"]]
        print_table("model", [*rows, (f"together ({weights})", results)])
    print(f"\nWriting {', '.join(map(str, files))}")
    videos, trained = counted(results["videos"], "video"), max(m.protocol.get("training_clips", 0) for m in models)
    of_training = f"; {trained:,} of the {videos} are training clips" if trained else ""
    print(f"{videos}, {counted(num_class, 'class')}: {summary(results)}{of_training}", flush=True)


def summary(results: dict[str, Any]) -> str:
    if not results["labelled"]:
        return "the list has no labels, so there are no accuracies"
    shown = []
    for key in figures_of(results):
        shown.append(f"{metrics.FIGURES[key]} {results[key]:.2f} %")
        if key in results["intervals"]:
            shown[-1] += " ({:.1f} to {:.1f})".format(*results["intervals"][key])
    return f"{', '.join(shown)}; 95 % intervals in brackets"


def figures_of(results: dict[str, Any]) -> list[str]:
    return [key for key in metrics.FIGURES if key in results]


def print_table(heading: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
    width = max(len(heading), *(len(name) for name, _ in rows))
    names = {key: metrics.FIGURES[key].removesuffix(" accuracy") for key in figures_of(rows[0][1])}
    widths = {key: max(len(name), 7) for key, name in names.items()}
    print("  ".join([f"\n{heading:<{width}}", *(f"{name:>{widths[key]}}" for key, name in names.items())]))
    for name, row in rows:
        print("  ".join([f"{name:<{width}}", *(f"{row[key]:>{widths[key]}.2f}" for key in names)]))


def results_folder(folders: Sequence[str], coeff: Sequence[float]) -> Path:
    """The folder of results without --save_dir: that of the pickles for one model, a new one for an ensemble.

    The new one is next to the first model's, relative if that is, and named after all: A+B, or A+2xB for weights 1 and
    2. A model's name is its path relative to there.
    """
    if len(folders) == 1:
        return Path(folders[0])
    paths = [Path(os.path.abspath(folder)).parts for folder in folders]
    home = paths[0][:-1]
    names = ["_".join(path[len(os.path.commonprefix([home, path])) :]) or path[-1] for path in paths]
    names = [name if weight == 1 else f"{weight:g}x{name}" for name, weight in zip(names, coeff, strict=True)]
    place = Path(*home) if os.path.isabs(folders[0]) else Path(os.path.relpath(Path(*home)))
    return place / "+".join(names)


def write_tables(
    folder: Path, results: dict[str, Any], probabilities: np.ndarray, matrix: np.ndarray | None, first: Scores,
    class_names: Sequence[str], submission: str | None,
) -> None:  # fmt: skip
    """Write results.json and predictions.csv, with labels per_class.csv, and a submission if asked for; all or none."""
    videos = first.video_ids or [str(number) for number in range(1, len(probabilities) + 1)]
    with all_or_nothing(folder, "--save_dir") as scratch:
        (scratch / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        table, by_class = scratch / "predictions.csv", scratch / "per_class.csv"
        if first.multi_label:
            predictions.write_multi_label_predictions(table, probabilities, first.labels, videos, class_names)
            if first.has_labels:
                predictions.write_precisions(by_class, probabilities, first.labels, class_names)
            return
        found = [predictions.Prediction(video, own) for video, own in zip(videos, probabilities, strict=True)]
        predictions.write_predictions(table, found, first.labels, class_names)
        if submission:
            predictions.write_submission(submission, scratch, found, class_names)
        if matrix is not None:
            predictions.write_rows(by_class, [metrics.ClassRow._fields, *metrics.per_class(matrix, class_names)])


if __name__ == "__main__":
    run_script(main)
