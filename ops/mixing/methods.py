"""Mixing of training clips and their labels: Mixup, CutMix, VideoMix; SV-Mix, which learns, stands in svmix.py.

A mixed clip is `own * x + (1 - own) * x[partner]`, its target `share * y + (1 - share) * y[partner]`. Clips are mixed
as normalised floats on the device, a whole batch at a time; a segment's weights hold for all its L frames.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ops.network import VideoNet

# Defaults of --mix_alpha: lambda ~ Beta(alpha, alpha). Mixup: arXiv 1710.09412, section 3.1, on ImageNet; CutMix: arXiv
# 1905.04899, section 3.1. VideoMix (arXiv 2012.03457) has CutMix's. NOTE: its own value was not at hand.
ALPHAS = {"mixup": 0.2, "cutmix": 1.0, "videomix": 1.0}
# SV-Mix, released code: online 1 for space and 0.8 for time, offline 1.
SPATIAL_ALPHA, TEMPORAL_ALPHA, OFFLINE_ALPHA = 1.0, 0.8, 1.0
MIXES = ("none", *ALPHAS, "svmix")


class Blend(NamedTuple):
    """Mixed clips and how they came about.

    Attributes:
        clip: (N, T, L, 3, H, W).
        own: weight of the clip's own pixels, broadcast to (N, T, H, W).
        partner: (N,) places in the batch of the clips that are mixed in.
        share: (N,) weight of the own label.
        loss: of what the method itself learns; None: nothing.
    """

    clip: Tensor
    own: Tensor
    partner: Tensor
    share: Tensor
    loss: Tensor | None = None

    def target(self, label: Tensor, num_class: int) -> Tensor:
        """Labels (N,) -> mixed ones (N, K), each with sum 1."""
        return mixed_target(label, self.partner, self.share, num_class)


def mixed_target(label: Tensor, partner: Tensor, share: Tensor, num_class: int) -> Tensor:
    """Labels (N,), partners (N,), weights of the own label (N,) -> (N, K)."""
    one_hot = F.one_hot(label, num_class).to(share.dtype)
    return share[:, None] * one_hot + (1 - share[:, None]) * one_hot[partner]


class MixMethod(ABC):
    """How clips are mixed. What learns nothing has only `blend`.

    Attributes:
        teacher: a `VideoNet`, moving average of the network; None where there is none.
    """

    teacher: Any = None

    @abstractmethod
    def blend(self, clip: Tensor, label: Tensor, rng: np.random.Generator) -> Blend:
        """Mix a batch.

        Args:
            clip: (N, T, L, 3, H, W), normalised, N above 1.
            label: (N,).
            rng: all draws come from it.
        """

    def step(  # noqa: B027  (most methods have nothing to do)
        self, student: VideoNet, scaler: torch.amp.GradScaler, lr: float, where: str
    ) -> None:
        """After a step of the network's optimiser, before the scaler's update.

        Args:
            student: the network.
            scaler: of the losses.
            lr: the network's rate.
            where: epoch, step and videos, for a message.
        """

    def figures(self) -> dict[str, float]:
        """Means over the epoch's steps of what is worth a curve."""
        return {}

    def state_dict(self, *, optimiser: bool = True) -> dict[str, Any]:
        """What a checkpoint must hold: tensors and plain values; `optimiser`: with what only training needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any], *, optimiser: bool = True) -> None:  # noqa: B027  (most have none)
        """Continue from `state_dict`."""


class ImageMix(MixMethod):
    """Mixup or CutMix of torchvision.transforms.v2; all frames of a clip alike. The partner is the clip before."""

    def __init__(self, name: str, alpha: float) -> None:
        """One of "mixup", "cutmix"; lambda ~ Beta(alpha, alpha)."""
        from torchvision.transforms import v2  # here: it takes a second, and who does not mix needs none

        self.transform = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[name](alpha=alpha)

    def blend(self, clip: Tensor, label: Tensor, rng: np.random.Generator) -> Blend:
        from torchvision.tv_tensors import Video

        count = len(clip)
        # The transform does not tell what it drew. So beside the clips, which it takes for videos of T*L frames, it
        # mixes the clips' numbers: as labels (one-hot: a row comes out as the shares of all clips), and as pixels.
        number = torch.arange(count, device=clip.device, dtype=clip.dtype)
        pixels = number.view(-1, 1, 1, 1, 1).expand(-1, 1, 1, *clip.shape[-2:])
        with torch.random.fork_rng(devices=[]):  # it draws from the CPU's global generator
            # Not torch.manual_seed, which would reset the GPUs' generators, too.
            torch.default_generator.manual_seed(int(rng.integers(2**63)))
            identity = torch.eye(count, device=clip.device, dtype=clip.dtype)
            mixed, shares, pixels = self.transform(Video(clip.flatten(1, 2)), identity, Video(pixels))
        partner = torch.arange(count, device=clip.device).roll(1)
        other = number[partner].view(-1, 1, 1, 1)
        own = (pixels.as_subclass(Tensor)[:, 0] - other) / (number.view(-1, 1, 1, 1) - other)  # (N, 1, H, W)
        return Blend(mixed.as_subclass(Tensor).view_as(clip), own, partner, shares.diagonal())


class VideoMix(MixMethod):
    """A cuboid of space and time is taken from the partner, the clip before (arXiv 2012.03457).

    Its sides are (1 - lambda)^(1/3) of the clip's, its centre is anywhere, what sticks out is cut off; the own label's
    share is the share of the volume that stays.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def blend(self, clip: Tensor, label: Tensor, rng: np.random.Generator) -> Blend:
        sides = (clip.shape[1], *clip.shape[-2:])  # T, H, W
        scale = (1 - rng.beta(self.alpha, self.alpha)) ** (1 / 3)
        ranges = []
        for side in sides:
            length, centre = scale * side, rng.uniform(0, side)
            ranges.append(slice(max(round(centre - length / 2), 0), min(round(centre + length / 2), side)))
        own = clip.new_ones(1, *sides)
        own[0][tuple(ranges)] = 0
        partner = torch.arange(len(clip), device=clip.device).roll(1)
        mixed = torch.where(over_clip(own).bool(), clip, clip[partner])
        return Blend(mixed, own, partner, own.mean((1, 2, 3)).expand(len(clip)))


def over_clip(weights: Tensor) -> Tensor:
    """(N, T, H, W) -> (N, T, 1, 1, H, W), which spreads over frames and colours of (N, T, L, 3, H, W)."""
    return weights[:, :, None, None]
