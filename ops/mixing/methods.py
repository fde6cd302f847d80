"""Methods that mix training clips and their labels: Mixup, CutMix, VideoMix. SV-Mix, which learns, is in svmix.py.

A mixed clip is `own * x + (1 - own) * x[partner]`, its target `share * y + (1 - share) * y[partner]`. Clips are mixed
as normalised floats on the device, a whole batch at a time; a segment's weights apply to all its L frames.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ops.network import VideoNet

Loss = Callable[..., Tensor]  # logits (N, K), labels (N,) or targets (N, K) of mixed clips -> scalar


class Blend(NamedTuple):
    """A mixed batch and how it was mixed."""

    clip: Tensor  # (N, T, L, 3, H, W)
    own: Tensor  # weight of the clip's own pixels, broadcasts to (N, T, H, W)
    partner: Tensor  # (N,) positions in the batch of the clips mixed in
    share: Tensor  # (N,) weight of the clip's own label
    loss: Tensor | None = None  # of the method's own parameters; None: it has none

    def target(self, label: Tensor, num_class: int) -> Tensor:
        """Labels (N,) -> mixed targets (N, K), each with sum 1; or multi-hot (N, K) -> the mean of two."""
        return mixed_target(label, self.partner, self.share, num_class)


def mixed_target(label: Tensor, partner: Tensor, share: Tensor, num_class: int) -> Tensor:
    """Labels (N,) or multi-hot (N, K), partners (N,), weights of the own label (N,) -> targets (N, K)."""
    one_hot = target_of(label, num_class).to(share.dtype)
    return share[:, None] * one_hot + (1 - share[:, None]) * one_hot[partner]


def target_of(label: Tensor, num_class: int) -> Tensor:
    """Labels (N,) or multi-hot (N, K) -> targets (N, K)."""
    return label if label.ndim == 2 else F.one_hot(label, num_class).float()


class MixMethod(ABC):
    """Base class of mixing methods; those without parameters implement only `blend`."""

    teacher: Any = None  # moving average of the network, a `VideoNet`, in methods that keep one
    sums: Mapping[str, Any] = {}  # over the epoch's batches, of which `figures` are made

    @abstractmethod
    def blend(self, clip: Tensor, label: Tensor, rng: np.random.Generator, loss: Loss) -> Blend:
        """Mix a batch: normalised clips (N, T, L, 3, H, W), N above 1, and labels (N,) or multi-hot (N, K).

        All random numbers come from `rng`. `loss` is the training loss, for methods with parameters.
        """

    def step(  # noqa: B027  (most methods have nothing to do)
        self, student: VideoNet, scaler: torch.amp.GradScaler, lr: float, where: str
    ) -> None:
        """Learn, after the optimiser's step for the network (`student`, at rate `lr`) and before the scaler's update.

        `where` names epoch, step and videos in messages.
        """

    def figures(self) -> dict[str, float]:
        """Means over the epoch's steps, for the log."""
        return {}

    def state_dict(self, *, optimiser: bool = True) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint; `optimiser`: including those that only training needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any], *, optimiser: bool = True) -> None:  # noqa: B027  (most have none)
        """Continue from `state_dict`."""


class ImageMix(MixMethod):
    """Mixup or CutMix of torchvision.transforms.v2, the same for all frames of a clip; the partner is the clip before.

    `name` is "mixup" or "cutmix"; lambda ~ Beta(alpha, alpha).
    """

    def __init__(self, name: str, alpha: float) -> None:
        from torchvision.transforms import v2  # imported here because it takes a second

        self.transform = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[name](alpha=alpha)

    def blend(self, clip: Tensor, label: Tensor, rng: np.random.Generator, loss: Loss) -> Blend:
        from torchvision.tv_tensors import Video

        count = len(clip)
        # The transform does not return its random parameters. So it also mixes the clips' numbers, beside the clips,
        # which it takes for videos of T*L frames: as labels (one-hot: a row becomes the shares of all clips) and as
        # pixels.
        number = torch.arange(count, device=clip.device, dtype=clip.dtype)
        pixels = number.view(-1, 1, 1, 1, 1).expand(-1, 1, 1, *clip.shape[-2:])
        with torch.random.fork_rng(devices=[]):  # the transform uses the CPU's global generator
            # Not torch.manual_seed, which would also reset the GPUs' generators.
            torch.default_generator.manual_seed(int(rng.integers(2**63)))
            identity = torch.eye(count, device=clip.device, dtype=clip.dtype)
            mixed, shares, pixels = self.transform(Video(clip.flatten(1, 2)), identity, Video(pixels))
        partner = torch.arange(count, device=clip.device).roll(1)
        other = number[partner].view(-1, 1, 1, 1)
        own = (pixels.as_subclass(Tensor)[:, 0] - other) / (number.view(-1, 1, 1, 1) - other)  # (N, 1, H, W)
        return Blend(mixed.as_subclass(Tensor).view_as(clip), own, partner, shares.diagonal())


class VideoMix(MixMethod):
    """Replaces a cuboid of space and time with that of the partner, the clip before (arXiv 2012.03457).

    Its sides are (1 - lambda)^(1/3) of the clip's, its centre is uniform, and it is cut off at the border; the own
    label's share is the share of the volume that remains.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def blend(self, clip: Tensor, label: Tensor, rng: np.random.Generator, loss: Loss) -> Blend:
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


class ByTurns(MixMethod):
    """Mixes each batch with one of several methods without parameters, all equally likely."""

    def __init__(self, methods: Sequence[MixMethod]) -> None:
        self.methods = methods

    def blend(self, clip: Tensor, label: Tensor, rng: np.random.Generator, loss: Loss) -> Blend:
        return self.methods[int(rng.integers(len(self.methods)))].blend(clip, label, rng, loss)


def over_clip(weights: Tensor) -> Tensor:
    """(N, T, H, W) -> (N, T, 1, 1, H, W), which broadcasts over frames and colours of (N, T, L, 3, H, W)."""
    return weights[:, :, None, None]
