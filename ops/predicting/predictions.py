"""Predictions for videos, or for windows of them: computed from their views, and written as CSV and JSON."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.console import printable
from common.files import write_json, writing
from ops.runtime import Runtime
from ops.scoring.score import score_clip


class Prediction(NamedTuple):
    """The class probabilities of a video, or of a window of it."""

    video: str
    probabilities: np.ndarray  # (K,) float64
    span: tuple[float, ...] = ()  # start and end of the window, in seconds; empty: the whole video

    def top(self, class_names: Sequence[str], count: int) -> list[tuple[str, float]]:
        """The `count` most likely classes with their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(class_names[label], float(self.probabilities[label])) for label in order]


@torch.inference_mode()
def class_probabilities(network: Callable[[Tensor], Tensor], video: Any, runtime: Runtime, amp: str) -> np.ndarray:
    """(K,) float64: the mean over a video's views of their softmax, as `ops.scoring.merge` computes it.

    Args:
        network: uint8 clips (N, T, L, 3, H, W) -> logits (N, K), on the runtime's devices.
        video: as for `score_views`.
        runtime: the devices.
        amp: "off", "bf16" or "fp16".

    Raises:
        InputError: the logits are not finite.
    """
    on_device = [video.to(runtime.device)]
    clips = range(len(video.positions))
    logits = torch.stack([score_clip(network, on_device, clip, runtime, amp) for clip in clips])  # (C, V, 1, K)
    return logits.double().softmax(-1).mean((0, 1, 2)).numpy()


def write_prediction_csv(path: Path, predictions: Sequence[Prediction], class_names: Sequence[str], count: int) -> None:
    """Write one row per prediction: the video, start and end of a window, and the most likely classes.

    Raises:
        InputError: the file cannot be written; an old one stays.
    """
    count = min(count, len(class_names))
    header = ["video", *(("start", "end") if predictions[0].span else ())]
    header += [f"{what}_{place}" for place in range(1, count + 1) for what in ("class", "probability")]
    with writing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for prediction in predictions:
            times = [f"{seconds:.3f}" for seconds in prediction.span]
            top = [(name, f"{share:.6f}") for name, share in prediction.top(class_names, count)]
            table.writerow([printable(prediction.video), *times, *(value for pair in top for value in pair)])


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
