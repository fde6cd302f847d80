"""Small checkpoints of untrained networks."""

from pathlib import Path
from typing import Any

import torch

from ops.models import build_model
from ops.network import VideoNet
from ops.weights.file import save_checkpoint

CLASSES = ["left", "right", "a, <b> & \x1b[1mc"]
SIZE = 32  # pixels


def write_checkpoint(path: Path, net: str = "H2CN", input_size: int = SIZE, **content: Any) -> VideoNet:
    """Write a checkpoint of two segments, with more `content`; returns its network."""
    torch.manual_seed(0)
    model = build_model(net, "resnet10", len(CLASSES), 2, hourglass_start="published").eval()
    made_for = {
        "net": net, "arch": model.arch, "num_segments": 2, "dataset": "mine", "class_names": CLASSES,
        "input_size": input_size, "preprocessing": "", "train_list_hash": "", "val_list_hash": "", "ablate": [],
    }  # fmt: skip
    save_checkpoint(path, {"state_dict": model.state_dict(), "trained_on": made_for, **content})
    return model


def random_clips(model: VideoNet, count: int = 3) -> torch.Tensor:
    """(N, T, L, 3, H, W) uint8."""
    shape = (count, model.num_segments, model.frames_per_segment, 3, SIZE, SIZE)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
