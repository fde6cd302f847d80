"""Explanations of a network's scores: Grad-CAM over the whole clip, maps of the motion branch, and H2CN's gates."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError
from ops.h2cn import ClipMotion
from ops.network import VideoNet
from ops.resnet import ResNetVideo


@dataclass
class Explanation:
    """Of N clips. Maps have the size of the frames and no negative values."""

    logits: Tensor  # (N, K)
    label: Tensor  # (N,) the explained classes
    grad_cam: Tensor  # (N, T, H, W)
    motion: list[Tensor]  # (N, T, H, W) for each map of the motion branch: its length over the channels
    gates: dict[int, Tensor]  # stage from 1 -> (N, T, G), the G clip-level gates of its blocks; of H2CN only


def explain(model: VideoNet, clip: Tensor, label: Tensor | None = None) -> Explanation:
    """Explain the scores of clips (N, T, L, 3, H, W) uint8 for the classes `label` (N,); None: the most likely ones.

    Grad-CAM (Selvaraju et al., arXiv 1610.02391, equations 1 and 2) of the whole clip: with its last feature map
    A (C, T', h, w) and the logit y of the class,

        weight[k] = mean of dy / dA[k, t, i, j] over t, i, j
        map[t, i, j] = max(0, sum over k of weight[k] * A[k, t, i, j])

    A network that mixes segments needs all of them in one pass, in their order. Clips of a batch do not affect each
    other. `model` is in evaluation mode, and not fused for inference: that would hide the gates.
    Without a feature map it raises an `InputError`.
    """
    with _Recording(model) as seen, torch.no_grad():
        logits = model(clip)
    label = logits.argmax(1) if label is None else label
    [gradient] = torch.autograd.grad(logits.gather(1, label[:, None]).sum(), seen.features)
    weight = seen.as_map(gradient).mean((2, 3, 4), keepdim=True)  # (N, C, 1, 1, 1)
    grad_cam = F.relu((weight * seen.as_map(seen.features.detach())).sum(1))  # (N, T', h, w)
    size = (model.num_segments, *clip.shape[-2:])
    by_clip = partial(torch.unflatten, dim=0, sizes=(-1, model.num_segments))
    return Explanation(
        logits.detach(),
        label,
        _enlarged(grad_cam, size),
        [_enlarged(by_clip(maps.norm(dim=1)), size) for maps in seen.motion],
        {stage: by_clip(torch.cat(gates, 1)) for stage, gates in seen.gates.items()},
    )


def _enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(N, T', h, w) -> (N, T, H, W), with `size` (T, H, W)."""
    return F.interpolate(maps[:, None], size, mode="trilinear")[:, 0]


class _Recording(ExitStack):
    """Records what `explain` needs of a forward pass, which has no graph before the features."""

    features: Tensor  # in the output of the explained layer

    def __init__(self, model: VideoNet) -> None:
        super().__init__()
        if model.explained_layer is None:
            raise InputError(f"{model.net} has no feature map over time and space, which Grad-CAM needs")
        self._model = model
        self.motion: list[Tensor] = []  # (N*T, C, h, w) each
        self.gates: dict[int, list[Tensor]] = defaultdict(list)  # stage -> (N*T, C) of each block
        self._hook(model.get_submodule(model.explained_layer), self._keep_features)
        if isinstance(model, ResNetVideo) and model.motion is not None:
            self._hook(model.motion, lambda _module, _inputs, maps: self.motion.extend(maps))
        for name, module in model.named_modules():
            if isinstance(module, ClipMotion):
                stage = int(name.removeprefix("layer").partition(".")[0])
                self._hook(module.expand_bn, partial(self._keep_gate, stage))

    def _hook(self, module: nn.Module, hook: Callable[..., Any]) -> None:
        self.callback(module.register_forward_hook(hook).remove)

    def _keep_features(self, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        self._rest = None if isinstance(output, Tensor) else output[1:]  # such as the size of a grid of tokens
        torch.set_grad_enabled(True)  # the graph begins here
        self.features = (output if self._rest is None else output[0]).requires_grad_()
        return self._output(self.features.clone())  # which later modules may change

    def _keep_gate(self, stage: int, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.gates[stage].append(torch.sigmoid(output).flatten(1))

    def _output(self, tensor: Tensor) -> Any:
        return tensor if self._rest is None else (tensor, *self._rest)

    def as_map(self, tensor: Tensor) -> Tensor:
        """The features, or a tensor of their shape, as (N, C, T', h, w)."""
        return self._model.as_map(self._output(tensor))
