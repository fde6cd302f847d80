"""The report: what the page says about one or several scored models, and its HTML."""

import base64
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from common.console import printable
from common.errors import InputError, short
from common.files import all_or_nothing
from ops.scoring.merge import Merged, ScoredModel
from ops.scoring.metrics import MOST_PAIRS, confused_pairs, per_class
from ops.scoring.report.charts import Line, line_chart
from ops.scoring.report.models import Model, Training, measured, read_training
from ops.scoring.report.statistics import BINS, DRAWS, compare, similar_order
from ops.training.run_log import provenance

REPORT = "report.html"
MOST_MISTAKES = 12
FrameStrip = Callable[[Path, str, str], bytes]  # folder of the media, video id, template of frame names -> JPEG


def write_report(
    folder: Path, scored: Sequence[ScoredModel], merged: Sequence[Merged], coeff: Sequence[float],
    class_names: Sequence[str], frame_strip: FrameStrip,
) -> Path:  # fmt: skip
    """Write report.html into `folder`: each model and, of several, their mean, as `merge` gave them for `coeff`.

    All videos have labels. The page is written whole or not at all.
    """
    labels = scored[0].clips[0][0].labels
    models = measured(scored, merged, coeff)
    matrix = models[-1].matrix
    names = [printable(name) for name in class_names]
    trainings = [read_training(str(model.protocol.get("weights", ""))) for model in scored]
    content = {
        "models": models, "names": names, "labels": labels, "protocol": scored[0].protocol,
        "clips": len(scored[0].clips), "crops": len(scored[0].clips[0]), "draws": DRAWS, "num_bins": BINS,
        "pairs": {
            (a, b): compare(models[b].correct, models[a].correct, labels)
            for a, b in combinations(range(len(models)), 2)
        },
        "charts": charts(models, trainings), "trainings": trainings, "settings": settings(scored, trainings),
        "rows": per_class(matrix, names), "confused": confused_pairs(matrix)[:MOST_PAIRS],
        "mistakes": [picture(scored, video, frame_strip) for video in confident_mistakes(models[-1])],
        "made": provenance(), "when": time.strftime("%Y-%m-%d %H:%M"),
        "data": {
            "names": names,
            "models": [{"key": model.key, "cells": cells(model.matrix)} for model in models],
            "orders": [list(range(len(names))), similar_order(matrix), np.argsort(models[-1].recall).tolist()],
        },
    }  # fmt: skip
    loader = FileSystemLoader(Path(__file__).parent)
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = jinja.get_template("template.html.j2").render(content)
    with all_or_nothing(folder, "--save_dir") as scratch:
        (scratch / REPORT).write_text(printable(page), encoding="utf-8")
    return folder / REPORT


def charts(models: Sequence[Model], trainings: Sequence[Training]) -> dict[str, dict[str, Any]]:
    """The charts that have something to show."""
    found = {}
    if len(models[0].by_clips) > 1:
        lines = [Line(i, model.key, list(enumerate(model.by_clips, start=1))) for i, model in enumerate(models)]
        found["views"] = line_chart("Accuracy against the number of clips", "clips", "top-1 in %", lines)
    lines = [
        Line(i, model.key, [(row.confidence, row.accuracy) for row in model.bins], [row.videos for row in model.bins])
        for i, model in enumerate(models)
    ]
    found["calibration"] = line_chart("Reliability diagram", "confidence in %", "accuracy in %", lines, is_square=True)
    for figure, unit in (("loss", "loss"), ("top1", "top-1 in %")):
        lines = [
            Line(i, f"{models[i].key} {part}", points, is_dashed=part == "train")
            for i, training in enumerate(trainings)
            for part in ("train", "val")
            if (points := training.curve(f"{part}/{figure}"))
        ]
        if lines:
            found[figure] = line_chart(f"Training: {unit}", "epoch", unit, lines)
    return found


def confident_mistakes(model: Model) -> list[int]:
    """The wrong videos with the highest probability of a class."""
    wrong = np.flatnonzero(~model.correct)
    return wrong[np.argsort(-model.probabilities[wrong].max(1), kind="stable")][:MOST_MISTAKES].tolist()


def picture(scored: Sequence[ScoredModel], video: int, frame_strip: FrameStrip) -> dict[str, Any]:
    """Number and id of a video, with a JPEG of its frames (base64) or the reason why there is none."""
    ids, protocol = scored[0].clips[0][0].video_ids, scored[0].protocol
    shown = {"video": video, "id": ids[video] if ids else f"video {video + 1}", "jpeg": "", "fault": ""}
    if ids is None or "root_path" not in protocol:
        lack = "protocol.json does not say where the videos are" if ids else "the score files have no video ids"
        return {**shown, "fault": lack}
    try:
        jpeg = frame_strip(Path(str(protocol["root_path"])), ids[video], str(protocol["image_tmpl"]))
    except InputError as error:
        return {**shown, "fault": short(error, 200)}
    return {**shown, "jpeg": base64.b64encode(jpeg).decode()}


def cells(matrix: np.ndarray) -> list[int]:
    """Row, column and count of each cell of a matrix that is not 0, one after the other."""
    rows, columns = np.nonzero(matrix)
    return np.stack([rows, columns, matrix[rows, columns]], 1).ravel().tolist()


def settings(scored: Sequence[ScoredModel], trainings: Sequence[Training]) -> list[tuple[str, list[str], bool]]:
    """Name, value per model, and whether these differ, of every setting of the tests and of the trainings."""
    columns = []
    for model, training in zip(scored, trainings, strict=True):
        own = {name: str(value) for name, value in model.protocol.items() if name != "class_names"}
        columns.append({"folder": str(model.folder), **own, **training.facts()})
    rows = {name: [column.get(name, "\N{EN DASH}") for column in columns] for column in columns for name in column}
    return [(name, values, len(set(values)) > 1) for name, values in rows.items()]
