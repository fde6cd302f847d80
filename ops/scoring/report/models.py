"""The models that a report compares: their merged scores, what is measured of them, and records of their training."""

import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.errors import command
from ops.scoring import metrics
from ops.scoring.merge import Merged, ScoredModel
from ops.scoring.protocol import describe_protocol
from ops.scoring.report.statistics import Bin, Estimate, bootstrap, calibration
from ops.training.run_log import LINES, OPTIONS

ENSEMBLE = "\N{GREEK CAPITAL LETTER SIGMA}"  # its key; the models have letters
COLOURS = 7  # of models in style.css


@dataclass(frozen=True)
class Model:
    """A model, or the ensemble of all."""

    key: str  # a letter
    name: str
    about: str  # network and frames, or the weights of the ensemble
    colour: str  # a class of style.css
    by_clips: list[float]  # top-1 in percent with the first clip, the first two, ...
    probabilities: np.ndarray  # (M, K)
    correct: np.ndarray  # (M,) whether the best class is the label
    matrix: np.ndarray  # (K, K) counts: row = label, column = best class
    accuracies: dict[str, Estimate]
    ece: float
    bins: list[Bin]

    @cached_property
    def recall(self) -> np.ndarray:
        """(K,) top-1 in percent of each class; NaN without videos."""
        videos = self.matrix.sum(1)
        return 100 * self.matrix.diagonal() / np.where(videos, videos, np.nan)


def measured(scored: Sequence[ScoredModel], merged: Sequence[Merged], coeff: Sequence[float]) -> list[Model]:
    """Each model and, of several, their mean weighted by `coeff` as the last, like `merged`."""
    labels = scored[0].clips[0][0].labels
    videos = np.array([len(labels)])
    models = []
    for title, own in zip(_titles(scored, coeff), merged, strict=True):
        matrix = metrics.confusion_matrix(own.probabilities, labels)
        correct = own.probabilities.argmax(1) == labels
        hits = {
            "top1": (correct.sum(keepdims=True), videos),
            "top5": ((own.by_clips[-1]["top5"] / 100 * videos).round().astype(int), videos),
            "mean_class": (matrix.diagonal(), matrix.sum(1)),
        }
        estimates = {name: bootstrap(right, np.zeros_like(right), count) for name, (right, count) in hits.items()}
        by_clips = [row["top1"] for row in own.by_clips]
        reliability = calibration(own.probabilities.max(1), correct)
        models.append(Model(*title, by_clips, own.probabilities, correct, matrix, estimates, *reliability))
    return models


def _titles(scored: Sequence[ScoredModel], coeff: Sequence[float]) -> list[tuple[str, str, str, str]]:
    """Key, name, description and colour of the models and of the ensemble; a name is a path that tells them apart."""
    folders = [os.path.abspath(model.folder) for model in scored]
    home = os.path.commonpath([os.path.dirname(folder) for folder in folders])
    found = []
    for i, (model, folder) in enumerate(zip(scored, folders, strict=True)):
        key = chr(ord("A") + i) if i < 26 else str(i + 1)
        about = describe_protocol(model.protocol) if model.protocol else "protocol unknown"
        found.append((key, os.path.relpath(folder, home), about, f"k{i % COLOURS}"))
    weights = " : ".join(f"{weight:g}" for weight in coeff)
    ensemble = (ENSEMBLE, "ensemble", f"mean of the probabilities, weights {weights}", "sum")
    return [*found, ensemble] if len(found) > 1 else found


class Training(NamedTuple):
    """The content of a run folder; empty where it is not found."""

    record: dict[str, Any]  # options.json
    epochs: list[dict[str, Any]]  # log.jsonl

    def curve(self, name: str) -> list[tuple[float, float]]:
        """(epoch from 1, value) of a figure such as "val/top1", where it was logged and is finite."""
        points = [(entry["epoch"] + 1, entry.get(name)) for entry in self.epochs]
        return [(x, y) for x, y in points if isinstance(y, (int, float)) and math.isfinite(y)]

    def facts(self) -> dict[str, str]:
        """What the training depends on, as text."""
        facts = {}
        for name in ("command", "git_revision", "torch", "started"):
            if name in self.record:
                value = self.record[name]
                facts[f"training: {name}"] = command(*value) if isinstance(value, list) else str(value)
        return facts


def read_training(weights: str) -> Training:
    """Read the files beside a checkpoint; the log may be under the run's --root_log instead.

    Damaged lines are skipped: the run may be writing.
    """
    folder = Path(weights).parent
    record = _parsed(_text(folder / OPTIONS))
    options = record.get("options")
    root_log = options.get("root_log") if isinstance(options, dict) else ""
    text = _text(folder / LINES) or _text(Path(str(root_log), folder.name, LINES))
    entries = [_parsed(line) for line in text.splitlines()]
    return Training(record, [entry for entry in entries if isinstance(entry.get("epoch"), int)])


def _text(path: Path) -> str:
    with suppress(OSError, ValueError):
        return path.read_text(encoding="utf-8")
    return ""


def _parsed(text: str) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        content = json.loads(text)
        return content if isinstance(content, dict) else {}
    return {}
