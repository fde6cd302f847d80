"""Trains SV-Mix (arXiv 2309.09534): a selector, a teacher, and two separate uses of each batch.

Online:  the selector, without gradient, mixes the clips that the network learns from; labels by saliency.
Offline: the selector, with gradient, mixes clips for the teacher, a moving average of the network without gradients of
         its own. Through it the selector learns which volumes keep a clip recognisable; labels by the ratio.

    total loss = CE(network(online clips)) + CE(teacher(offline clips)) + mask loss

The first term reaches the network alone, the others reach the selector alone.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import InputError, short
from ops.averaging import moving_average
from ops.choices import OFFLINE_ALPHA, SPATIAL_ALPHA, TEMPORAL_ALPHA
from ops.mixing.methods import Blend, Loss, MixMethod, mixed_target, over_clip
from ops.mixing.selector import PLAIN_BELOW, Selector, mask_loss, saliency_share, spread
from ops.network import VideoNet
from ops.optimiser import make_step, set_learning_rate
from ops.runtime import Runtime

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4  # of the selector's SGD; its gradient is not clipped


@dataclass(frozen=True)
class SvMixSettings:
    """Settings of SV-Mix's training; `amp` as for the network."""

    selector_lr: float = 0.04  # learning rate of the selector while the network has `network_lr`; the ratio is kept
    network_lr: float = 0.01  # base learning rate of the network
    switch_prob: float = 0.5  # probability of the spatial mode
    teacher_decay: float = 0.999  # d in teacher <- d * teacher + (1 - d) * network, after each step
    alphas: list[float] | None = None  # one for all Beta distributions; None: as in the released code, 1 (in time: 0.8)
    amp: str = "off"


class FeatureMaps(nn.Module):
    """A network that returns its feature map, as a module that DataParallel can wrap."""

    def __init__(self, network: VideoNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, clip: Tensor) -> Tensor:
        """(N, T, L, 3, H, W) -> (N, C, T', h, w)."""
        return self.network.feature_map(clip)


class SvMix(MixMethod):
    """The selector, its optimiser, and the teacher: a moving average of the network, with its BatchNorm statistics."""

    def __init__(self, student: VideoNet, input_size: int, runtime: Runtime, settings: SvMixSettings) -> None:
        """A new selector, and a teacher that starts as a copy of the network, which is on its device already.

        An `InputError` if the network has no feature map, or its cells do not divide the clip.
        """
        self.settings, self.runtime = settings, runtime
        self._average = moving_average(student, settings.teacher_decay)
        self.teacher: VideoNet = self._average.module  # type: ignore[assignment]
        for norm in self._norms():
            norm.momentum = 0.0  # its statistics are the network's average; its own passes do not change them
        channels = self._require_cells(input_size)
        self.selector = Selector(channels).to(runtime.device)
        self._learner = runtime.synchronise(self.selector)
        self._logits, self._features = runtime.wrap_frozen(self.teacher), runtime.wrap_frozen(FeatureMaps(self.teacher))
        rate = {"lr": settings.selector_lr, "lr_mult": settings.selector_lr / settings.network_lr}
        groups = [{"params": list(self.selector.parameters()), **rate}]
        self.optimiser = torch.optim.SGD(groups, lr=settings.selector_lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.sums: dict[str, Any] = {}

    def _norms(self) -> list[Any]:
        return [m for m in self.teacher.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def _require_cells(self, input_size: int) -> int:
        """Channels of the feature map, found with an empty clip."""
        net, device = self.teacher, self.runtime.device
        shape = (1, net.num_segments, net.frames_per_segment, 3, input_size, input_size)
        net.eval()
        with torch.no_grad():
            _, channels, *cells = net.feature_map(torch.zeros(shape, device=device, dtype=net.mean.dtype)).shape
        clip = (net.num_segments, input_size, input_size)
        of_clip, of_map = (" x ".join(map(str, sizes)) for sizes in (clip, cells))
        if any(size % cell for size, cell in zip(clip, cells, strict=True)):
            raise InputError(
                f"--mix svmix: {net.net}'s feature map has {of_map} cells (time, height, width), which do not divide a "
                f"clip of {of_clip}; choose --num_segments and --input_size that are multiples of them"
            )
        whole_frames = " (one cell per frame: no choice in space at this --input_size)"
        note = whole_frames if cells[1] * cells[2] == 1 else ""
        logging.info("SV-Mix: masks of %s cells (time, height, width) for clips of %s%s", of_map, of_clip, note)
        return channels

    def blend(self, clip: Tensor, label: Tensor, rng: np.random.Generator, loss: Loss) -> Blend:
        """Mix a batch for the network; the blend's loss is the selector's, on the batch mixed for the teacher."""
        spatial = bool(rng.random() < self.settings.switch_prob)
        ratio_alpha = SPATIAL_ALPHA if spatial else TEMPORAL_ALPHA
        online, offline = self._pair(clip, ratio_alpha, rng), self._pair(clip, OFFLINE_ALPHA, rng)
        self._teaching_mode()
        with torch.no_grad():  # in float32 regardless of --amp, like everything that makes the mask
            features = self._features(clip)
        selector_loss = self._selector_loss(clip, label, features, *offline, spatial, loss)
        partner, ratio = online
        with torch.no_grad():
            other = self.selector(features, partner, ratio, spatial)
            if min(ratio, 1 - ratio) <= PLAIN_BELOW:
                other = torch.full_like(other, 1 - ratio)
            share = saliency_share(features, other, partner)
            own, mixed = _mix(clip, other, partner)
        return Blend(mixed, own, partner, share, selector_loss)

    def _pair(self, clip: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, float]:
        """Random partners (N,) and one ratio for the whole batch. A clip may be its own partner."""
        alpha = self.settings.alphas[0] if self.settings.alphas else alpha
        ratio = float(rng.beta(alpha, alpha))
        return torch.from_numpy(rng.permutation(len(clip))).to(clip.device), ratio

    def _selector_loss(
        self, clip: Tensor, label: Tensor, features: Tensor, partner: Tensor, ratio: float, spatial: bool, loss: Loss
    ) -> Tensor:
        """The teacher's loss on the batch that the selector mixed, plus the mask loss."""
        other = self._learner(features, partner, ratio, spatial)
        _, mixed = _mix(clip, other, partner)
        with self.runtime.autocast(self.settings.amp):
            logits = self._logits(mixed, normalised=True)
            share = torch.full((len(label),), ratio, device=clip.device)
            offline_loss = loss(logits, mixed_target(label, partner, share, logits.shape[1]))
        of_mask = mask_loss(other, ratio)
        for name, value in (("batches", 1), ("offline_loss", offline_loss.detach()), ("mask_loss", of_mask.detach())):
            self.sums[name] = self.sums.get(name, 0.0) + value
        return offline_loss + of_mask

    def _teaching_mode(self) -> None:
        """No dropout in the teacher; its BatchNorms use batch statistics, unless the network's are frozen."""
        self.teacher.eval()
        frozen = {m for name in self.teacher.frozen for m in self.teacher.get_submodule(name).modules()}
        for norm in self._norms():
            norm.train(norm not in frozen)

    def step(self, student: VideoNet, scaler: torch.amp.GradScaler, lr: float, where: str) -> None:
        """A step of the selector; then the teacher follows the network."""
        set_learning_rate(self.optimiser, lr)
        if self.selector.value.bias.grad is not None:  # else no batch of this step was mixed
            make_step(self.selector.parameters(), self.optimiser, scaler, None, where)
        self._average.update_parameters(student)

    def figures(self) -> dict[str, float]:
        """Means of the two losses since the last call."""
        batches, sums = self.sums.pop("batches", 0), self.sums
        self.sums = {}
        return {name: float(total) / batches for name, total in sums.items()}

    def state_dict(self, *, optimiser: bool = True) -> dict[str, Any]:
        state = {"teacher": self.teacher.state_dict(), "selector": self.selector.state_dict()}
        return {**state, "selector_optimizer": self.optimiser.state_dict()} if optimiser else state

    def load_state_dict(self, state: dict[str, Any], *, optimiser: bool = True) -> None:
        """Continue from `state_dict`, at this run's learning rate; an `InputError` if it is of another network."""
        rate = dict(self.optimiser.param_groups[0])
        try:
            self.teacher.load_state_dict(state["teacher"])
            self.selector.load_state_dict(state["selector"])
            if optimiser:
                self.optimiser.load_state_dict(state["selector_optimizer"])
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"the checkpoint's teacher or selector does not fit this run: {short(error)}") from error
        self.optimiser.param_groups[0].update({name: rate[name] for name in ("lr", "lr_mult")})


def _mix(clip: Tensor, other: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Clips (N, T, L, 3, H, W), the partner's weights (N, T', h, w) -> own weights (N, T, H, W) and mixed clips."""
    weights = spread(other, clip.shape[1], *clip.shape[-2:])
    return 1 - weights, torch.lerp(clip, clip[partner], over_clip(weights).to(clip.dtype))
