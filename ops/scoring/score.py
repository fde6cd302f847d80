"""Scoring of videos by a trained network."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError
from ops.runtime import Runtime
from ops.scoring.metrics import probabilities


@torch.inference_mode()
def score_views(
    network: Callable[[Tensor], Tensor], loader: Any, runtime: Runtime, *, batch_size: int, amp: str
) -> Iterator[Tensor]:
    """Score every view of every video, in one pass over the videos.

    A batch is one clip of N videos with all its crops. A pass for each clip would have the same batches, and therefore
    the same logits to the bit.

    Args:
        network: uint8 clips (N, T, L, 3, H, W) -> logits (N, K), on the runtime's devices.
        loader: videos, each with `to(device)`, `clip(number)` -> (V, T, L, H, W, 3) uint8 and `positions` (C, T, L).
        runtime: the devices.
        batch_size: N; the frames of N videos are on the device at a time.
        amp: "off", "bf16" or "fp16".

    Yields:
        (C, V, N, K) float32 logits of each batch, in the loader's order; with `return_features`, (C, V, N, K + D).

    Raises:
        InputError: the logits are not finite.
    """
    waiting: list[Any] = []
    for count, video in enumerate(loader, start=1):
        waiting.append(video.to(runtime.device))
        if len(waiting) == batch_size or count == len(loader):
            logits = []
            for clip in range(len(video.positions)):
                clips = torch.stack([own.clip(clip) for own in waiting])  # (N, V, T, L, H, W, 3)
                with runtime.autocast(amp):
                    of_views = network(clips.movedim(-1, -3).flatten(0, 1))  # (N*V, K)
                logits.append(on_the_cpu(of_views).unflatten(0, clips.shape[:2]).transpose(0, 1))
            yield torch.stack(logits)
            waiting.clear()


def on_the_cpu(logits: Tensor) -> Tensor:
    """Logits as float32 on the CPU; an `InputError` if they are not finite."""
    logits = logits.float().cpu()
    if not logits.isfinite().all():
        raise InputError(
            "the network's scores are not finite: its weights are damaged, its training diverged, or --amp fp16 is too "
            "narrow for it; try --amp off, or another checkpoint"
        )
    return logits


def class_probabilities(
    network: Callable[[Tensor], Tensor], video: Any, runtime: Runtime, amp: str, *, multi_label: bool = False
) -> np.ndarray:
    """(K,) float64: the mean over a video's views of their softmax or sigmoid, as `ops.scoring.merge` computes it.

    Arguments and errors are those of `score_views`; `multi_label`: videos had several labels in the training.
    """
    (logits,) = score_views(network, [video], runtime, batch_size=1, amp=amp)  # (C, V, 1, K)
    return probabilities(logits, multi_label=multi_label).mean((0, 1, 2)).numpy()
