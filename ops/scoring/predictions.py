"""The most likely classes of videos, as tables: for predict.py, for tests, and for the official test servers."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from common.console import printable
from common.errors import InputError, quoted, short
from common.files import write_json, writing

TOP = 5  # classes per video
SUBMISSIONS = {"somethingv1": "submission.csv", "somethingv2": "submission.csv", "kinetics": "submission.json"}
_YOUTUBE = r"([\w-]{11})(_\d{6}_\d{6})?"  # Kinetics: <id>, or <id>_<start>_<end>
_EXTERNAL = "not filled in: list all training data besides Kinetics, such as ImageNet; if none, set used to false"


def open_table(path: Path) -> TextIO:
    """A CSV file to write; names from a protocol.json, unlike those from a classes.txt, need not be valid text."""
    return path.open("w", newline="", encoding="utf-8", errors="backslashreplace")


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


def write_prediction_csv(path: Path, predictions: Sequence[Prediction], class_names: Sequence[str], count: int) -> None:
    """Write one row per prediction: the video, start and end of a window, and the most likely classes.

    Raises:
        InputError: the file cannot be written; an old one stays.
    """
    header = ["video", *(("start", "end") if predictions[0].span else ()), *columns(min(count, len(class_names)))]
    with writing(path) as temporary, open_table(temporary) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for prediction in predictions:
            times = [f"{seconds:.3f}" for seconds in prediction.span]
            table.writerow([printable(prediction.video), *times, *cells(prediction.top(class_names, count))])


def write_prediction_json(
    path: Path, predictions: Sequence[Prediction], class_names: Sequence[str], count: int, **made_with: Any
) -> None:
    """Write the same as JSON; `made_with` describes the run. Raises as `write_prediction_csv` does."""
    rows = [
        {
            "video": prediction.video,
            **dict(zip(("start", "end"), prediction.span, strict=False)),
            "classes": [{"name": name, "probability": share} for name, share in prediction.top(class_names, count)],
        }
        for prediction in predictions
    ]
    write_json(path, {**made_with, "predictions": rows})


@dataclass(frozen=True)
class Predictions:
    """The most likely classes of the videos of a list."""

    videos: Sequence[str]  # M ids
    labels: list[int]  # M, -1 without labels
    best: list[list[int]]  # M x 5 classes, or all if there are fewer, the most likely first
    probabilities: list[list[float]]  # M x 5, theirs
    class_names: Sequence[str]  # K

    @classmethod
    def of(
        cls, merged: np.ndarray, labels: np.ndarray, videos: Sequence[str] | None, class_names: Sequence[str]
    ) -> "Predictions":
        """From (M, K) probabilities; videos without ids are numbered from 1."""
        best = likeliest(merged, TOP)
        names = videos or [str(number) for number in range(1, len(merged) + 1)]
        probabilities = np.take_along_axis(merged, best, 1)
        return cls(names, labels.tolist(), best.tolist(), probabilities.tolist(), class_names)

    def write_csv(self, path: Path) -> None:
        """Write one row per video; the label, its class and `correct` are empty if the list has no labels."""
        with open_table(path) as file:
            writer = csv.writer(file)
            writer.writerow(["video", "label", "class", "correct", *columns(len(self.best[0]))])
            rows = zip(self.videos, self.labels, self.best, self.probabilities, strict=True)
            for video, label, best, probabilities in rows:
                known = ["", "", ""] if label < 0 else [label, self.class_names[label], label == best[0]]
                top = zip([self.class_names[label] for label in best], probabilities, strict=True)
                writer.writerow([video, *known, *cells(top)])

    def write_submission(self, data_set: str, folder: Path) -> None:
        """Write the file `SUBMISSIONS[data_set]`, with the videos' names without folder and suffix.

        Kinetics: the JSON of the ActivityNet challenges (activity-net.org/challenges/2017/trimmed.html). Something-
        Something: `id;class` for V1, and for V2 `id;number;...` with five class numbers, as TSM's test_models.py.

        Raises:
            InputError: two videos have the same name, or one of Kinetics is not a YouTube id.
        """
        clips = [video.rpartition("/")[2].partition(".")[0] for video in self.videos]
        if data_set == "kinetics":
            clips = [_youtube_id(clip) for clip in clips]
        twice, times = Counter(clips).most_common(1)[0]
        if times > 1:
            raise InputError(
                f"--submission {data_set}: {times} videos are named {short(quoted(twice))}; list each once"
            )
        path = folder / SUBMISSIONS[data_set]
        if data_set == "kinetics":
            path.write_text(json.dumps(self._kinetics(clips), indent=1) + "\n", encoding="utf-8")
            return
        numbers = np.argsort(np.argsort(self.class_names))  # label -> official number: V2's are in the order of names
        with open_table(path) as file:
            writer = csv.writer(file, delimiter=";", lineterminator="\n")
            for clip, best in zip(clips, self.best, strict=True):
                top1 = [self.class_names[best[0]]]
                writer.writerow([clip, *(top1 if data_set == "somethingv1" else numbers[best].tolist())])

    def _kinetics(self, clips: Sequence[str]) -> dict[str, object]:
        results = {
            clip: [{"label": self.class_names[k], "score": share} for k, share in zip(best, shares, strict=True)]
            for clip, best, shares in zip(clips, self.best, self.probabilities, strict=True)
        }
        external = {"used": True, "details": _EXTERNAL}
        return {"version": "KINETICS VERSION 1.0", "results": results, "external_data": external}


def _youtube_id(clip: str) -> str:
    found = re.fullmatch(_YOUTUBE, clip)
    if not found:
        raise InputError(
            f"--submission kinetics: {short(quoted(clip))} is not <YouTube id> or <YouTube id>_<start>_<end>, as "
            "Kinetics names its clips"
        )
    return found[1]
