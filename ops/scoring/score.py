"""Scoring of videos by a trained network."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import InputError
from ops.runtime import Runtime
from ops.scoring.metrics import probabilities


@torch.inference_mode()
def score_views(model: nn.Module, loader: Any, runtime: Runtime, *, batch_size: int, amp: str) -> Iterator[Tensor]:
    """Score every view of every video, in one pass over the videos.

    A batch is one clip of N videos with all its crops. A pass for each clip would have the same batches, and therefore
    the same logits to the bit.

    Args:
        model: from `Runtime.wrap_frozen`.
        loader: videos, each with `to(device)`, `clip(number)` -> (V, T, L, H, W, 3) uint8 and `positions` (C, T, L).
        runtime: the devices.
        batch_size: N; the frames of N videos are on the device at a time.
        amp: "off", "bf16" or "fp16".

    Yields:
        (C, V, N, K) float32 logits of each batch, in the loader's order; with `return_features`, (C, V, N, K + D).
    """
    model.eval()
    waiting: list[Any] = []
    for count, video in enumerate(loader, start=1):
        waiting.append(video.to(runtime.device))
        if len(waiting) == batch_size or count == len(loader):
            clips = range(len(video.positions))
            yield torch.stack([score_clip(model, waiting, clip, runtime, amp) for clip in clips])
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


@torch.inference_mode()
def class_probabilities(
    network: Callable[[Tensor], Tensor], video: Any, runtime: Runtime, amp: str, *, multi_label: bool = False
) -> np.ndarray:
    """(K,) float64: the mean over a video's views of their softmax or sigmoid, as `ops.scoring.merge` computes it.

    Args:
        network: uint8 clips (N, T, L, 3, H, W) -> logits (N, K), on the runtime's devices.
        video, runtime, amp: as for `score_views`.
        multi_label: whether the network was trained with several labels per video.

    Raises:
        InputError: the logits are not finite.
    """
    on_device = [video.to(runtime.device)]
    clips = range(len(video.positions))
    logits = torch.stack([score_clip(network, on_device, clip, runtime, amp) for clip in clips])  # (C, V, 1, K)
    return probabilities(logits, multi_label=multi_label).mean((0, 1, 2)).numpy()


def score_clip(model: Callable[[Tensor], Tensor], videos: list[Any], clip: int, runtime: Runtime, amp: str) -> Tensor:
    """Logits (V, N, K) of one clip of N videos."""
    clips = torch.stack([video.clip(clip) for video in videos])  # (N, V, T, L, H, W, 3)
    views = clips.permute(0, 1, 2, 3, 6, 4, 5).flatten(0, 1)  # (N*V, T, L, 3, H, W)
    with runtime.autocast(amp):
        logits = model(views)
    return on_the_cpu(logits).unflatten(0, clips.shape[:2]).transpose(0, 1)
