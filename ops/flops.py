"""Multiply-adds and parameters of a network, counted from its parts without running it."""

import torch
from torch import Tensor, nn

from ops.hourglass import ClipHourglass, FrameHourglass
from ops.network import VideoNet
from ops.tdn import LearnableShift


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(model: VideoNet, size: int) -> int:
    """Multiply-adds of one view (one clip of T segments, `size` x `size` pixels): what papers usually print as FLOPs.

    Convolutions, linear layers and hourglass convolutions are counted, the latter as the equation is written (A on
    every frame at full size, then three products a value), whichever faster form runs. Normalisation, activations,
    pooling and shifts are not counted, as usual.

    Args:
        model: moved to the meta device by this function: no weights are needed, and nothing is computed.
        size: height and width in pixels, a multiple of 32.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += _macs(module, inputs[0], output)

    model = model.to("meta").eval()
    kinds = (nn.Conv2d, nn.Linear, FrameHourglass, ClipHourglass, LearnableShift)
    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, kinds)]
    clip = torch.empty(1, model.num_segments, model.frames_per_segment, 3, size, size, device="meta")
    with torch.inference_mode():
        model(clip)
    for hook in hooks:
        hook.remove()
    return total


def _macs(module: nn.Module, x: Tensor, y: Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        return y.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return y.numel() * module.in_features
    if isinstance(module, LearnableShift):
        return 3 * y.numel()
    temporal = x.numel() if isinstance(module, ClipHourglass) else y.numel()
    return 9 * x.numel() + 3 * temporal
