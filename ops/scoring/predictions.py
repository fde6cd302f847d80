"""The most likely classes of videos, as text and tables: for predict.py, tests, and the official test servers."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.console import printable
from common.errors import InputError, quoted, short
from common.files import write_json, writing
from common.progress import clock
from ops.scoring.metrics import average_precisions

TOP = 5  # classes per video
THRESHOLD = 0.5  # above which a class is predicted, if videos may have several
SUBMISSIONS = {"somethingv1": "submission.csv", "somethingv2": "submission.csv", "kinetics": "submission.json"}
_YOUTUBE = r"([\w-]{11})(_\d{6}_\d{6})?"  # Kinetics: <id>, or <id>_<start>_<end>
_EXTERNAL = "not filled in: list all training data besides Kinetics, such as ImageNet; if none, set used to false"


def write_rows(path: Path, rows: Iterable[Sequence[Any]], **dialect: Any) -> None:
    """Write a CSV file; names from a protocol.json, unlike those from a classes.txt, need not be valid text."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file, **dialect).writerows(rows)


def likeliest(probabilities: np.ndarray, count: int) -> np.ndarray:
    """The `count` most likely classes of (..., K) probabilities, the likeliest first; of equal ones the first."""
    return np.argsort(-probabilities, axis=-1, kind="stable")[..., :count]


def columns(count: int) -> list[str]:
    """Headings of `cells` for `count` classes."""
    return [f"{what}_{place}" for place in range(1, count + 1) for what in ("class", "probability")]


def cells(top: Iterable[tuple[str, float]]) -> list[str]:
    """Classes and their probabilities as cells of a table."""
    return [cell for name, share in top for cell in (name, f"{share:.6f}")]


class Prediction(NamedTuple):
    """The class probabilities of a video, or of a window of it."""

    video: str
    probabilities: np.ndarray  # (K,) float64
    span: tuple[float, ...] = ()  # start and end of the window, in seconds; empty: the whole video

    def top(self, class_names: Sequence[str], count: int) -> list[tuple[str, float]]:
        """The `count` most likely classes with their probabilities, the likeliest first."""
        best = likeliest(self.probabilities, count)
        return [(class_names[label], float(self.probabilities[label])) for label in best]

    def describe(self, class_names: Sequence[str], count: int) -> str:
        """The most likely classes, one per line; for a window its times and likeliest class, in one line."""
        lines = [f"{100 * share:5.1f} %  {' '.join(name.splitlines())}" for name, share in self.top(class_names, count)]
        if not self.span:
            return "\n".join(lines)
        start, end = map(clock, self.span)
        return f"{start:>9} to {end:<9} {lines[0]}"


def write_prediction_csv(path: Path, predictions: Sequence[Prediction], class_names: Sequence[str], count: int) -> None:
    """Write one row per prediction, all or none: the video, start and end of a window, the most likely classes."""
    rows = [["video", *(("start", "end") if predictions[0].span else ()), *columns(min(count, len(class_names)))]]
    for prediction in predictions:
        times = [f"{seconds:.3f}" for seconds in prediction.span]
        rows.append([printable(prediction.video), *times, *cells(prediction.top(class_names, count))])
    with writing(path) as temporary:
        write_rows(temporary, rows, lineterminator="\n")


def write_prediction_json(
    path: Path, predictions: Sequence[Prediction], class_names: Sequence[str], count: int, **made_with: Any
) -> None:
    """Write the same as JSON; `made_with` describes the run."""
    rows = [
        {
            "video": prediction.video,
            **dict(zip(("start", "end"), prediction.span, strict=False)),
            "classes": [{"name": name, "probability": share} for name, share in prediction.top(class_names, count)],
        }
        for prediction in predictions
    ]
    write_json(path, {**made_with, "predictions": rows})


def write_predictions(
    path: Path, predictions: Sequence[Prediction], labels: np.ndarray, class_names: Sequence[str]
) -> None:
    """Write one row per video; the label, its class and `correct` are empty if the list has no labels (-1)."""
    rows = [["video", "label", "class", "correct", *columns(min(TOP, len(class_names)))]]
    for found, label in zip(predictions, labels.tolist(), strict=True):
        known = ["", "", ""] if label < 0 else [label, class_names[label], label == found.probabilities.argmax()]
        rows.append([found.video, *known, *cells(found.top(class_names, TOP))])
    write_rows(path, rows)


def write_multi_label_predictions(
    path: Path, probabilities: np.ndarray, labels: np.ndarray, videos: Sequence[str], class_names: Sequence[str]
) -> None:
    """Write, for each video, its predicted classes, its labels and its best class, with their probabilities.

    The column `is_label` is empty for a list without labels.
    """
    rows = [["video", "label", "class", "probability", "predicted", "is_label"]]
    known = labels.any()
    for video, shares, own in zip(videos, probabilities, labels, strict=True):
        predicted = shares > THRESHOLD
        shown = np.flatnonzero(predicted | own | (shares == shares.max()))
        for label in shown[likeliest(shares[shown], len(shown))]:
            facts = [predicted[label], own[label] if known else ""]
            rows.append([video, label, class_names[label], f"{shares[label]:.6f}", *facts])
    write_rows(path, rows)


def write_precisions(path: Path, scores: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Write the number of videos and the average precision in percent (empty without a video) of each class."""
    rows: list[list[object]] = [["label", "name", "videos", "average_precision"]]
    precisions = average_precisions(scores, labels)
    for label, (name, positive, precision) in enumerate(zip(class_names, labels.T, precisions, strict=True)):
        rows.append([label, name, positive.sum(), "" if np.isnan(precision) else precision])
    write_rows(path, rows)


def write_submission(
    data_set: str, folder: Path, predictions: Sequence[Prediction], class_names: Sequence[str]
) -> None:
    """Write the file `SUBMISSIONS[data_set]`, with the videos' names without folder and suffix.

    Kinetics: the JSON of the ActivityNet challenges (activity-net.org/challenges/2017/trimmed.html). Something-
    Something: `id;class` for V1, and for V2 `id;number;...` with five class numbers, as TSM's test_models.py.

    Raises:
        InputError: two videos have the same name, or one of Kinetics is not a YouTube id.
    """
    clips = [found.video.rpartition("/")[2].partition(".")[0] for found in predictions]
    if data_set == "kinetics":
        clips = [_youtube_id(clip) for clip in clips]
    twice, times = Counter(clips).most_common(1)[0]
    if times > 1:
        raise InputError(f"--submission {data_set}: {times} videos are named {short(quoted(twice))}; list each once")
    path = folder / SUBMISSIONS[data_set]
    tops = {clip: found.top(class_names, TOP) for clip, found in zip(clips, predictions, strict=True)}
    if data_set == "kinetics":
        results = {clip: [{"label": name, "score": share} for name, share in top] for clip, top in tops.items()}
        external = {"used": True, "details": _EXTERNAL}
        content = {"version": "KINETICS VERSION 1.0", "results": results, "external_data": external}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return
    rows: list[list[Any]] = [[clip, top[0][0]] for clip, top in tops.items()]
    if data_set == "somethingv2":
        numbers = {name: number for number, name in enumerate(sorted(class_names))}  # the official ones
        rows = [[clip, *(numbers[name] for name, _ in top)] for clip, top in tops.items()]
    write_rows(path, rows, delimiter=";", lineterminator="\n")


def _youtube_id(clip: str) -> str:
    found = re.fullmatch(_YOUTUBE, clip)
    if not found:
        raise InputError(
            f"--submission kinetics: {short(quoted(clip))} is not <YouTube id> or <YouTube id>_<start>_<end>, as "
            "Kinetics names its clips"
        )
    return found[1]
