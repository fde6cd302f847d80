"""Golden data: results of the official H2CN in float64 under parameters that `fill.py` makes from their names."""

import json
import os
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from fill import fill_array, make_input
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def official_state(net: str = "h2cn") -> dict[str, Tensor]:
    """The filled state dict in the official layout, in float64. Its tensors are shared: do not write into them."""
    shapes = json.loads((GOLDEN / "manifest.json").read_text())[net]
    return {key: _filled(key, tuple(shape)) for key, shape in shapes.items()}


@cache
def _filled(key: str, shape: tuple[int, ...]) -> Tensor:
    """Kept, since the networks have most of their tensors in common: 400 MiB."""
    return torch.as_tensor(fill_array(key, shape))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_filled.cache_clear)  # a fork takes the longer, the more memory there is


def golden_clip(golden: dict[str, np.ndarray], segments: int, frames: int) -> Tensor:
    """The golden input (N, T*L*3, H, W) in our form (N, T, L, 3, H, W)."""
    return make_input(golden["input_shape"]).unflatten(1, (segments, frames, 3))


def largest_difference(ours: Tensor | np.ndarray, official: np.ndarray) -> float:
    """The largest difference, as a share of the official result's largest value."""
    ours = ours.detach().numpy() if isinstance(ours, Tensor) else np.asarray(ours)
    assert ours.shape == official.shape
    return float(np.abs(ours - official).max() / np.abs(official).max())


def dot_vector(name: str, shape: tuple[int, ...]) -> Tensor:
    """The random vector that the golden gradients of parameter `name` were projected on."""
    return torch.as_tensor(np.random.RandomState(zlib.crc32(f"grad.{name}".encode())).standard_normal(shape))
