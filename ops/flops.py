"""Multiply-adds and parameters of a network, counted without weights and without computing anything."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ops.hourglass import ClipHourglass, Hourglass
from ops.network import VideoNet
from ops.resnet import ResNetVideo
from ops.tdn import LearnableShift


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(model: VideoNet, size: int) -> int:
    """Multiply-adds of one view (one clip of T segments, `size` x `size` pixels): what papers usually print as FLOPs.

    Convolutions, linear layers, products of attention and hourglass convolutions are counted, the last as the equation
    is written (A on every frame at full size, then three products a value), whichever faster form runs. Normalisation,
    activations, pooling and shifts are not counted, as usual.

    Args:
        model: moved to the meta device by this function: no weights are needed, and nothing is computed.
        size: height and width in pixels, a multiple of 32.
    """
    model = model.to("meta").eval()
    clip = torch.empty(1, model.num_segments, model.frames_per_segment, 3, size, size, device="meta")
    return _count_resnet(model, clip) if isinstance(model, ResNetVideo) else _count_operations(model, clip)


def _count_operations(model: VideoNet, clip: Tensor) -> int:
    """By the operations that run; torch counts a multiply-add as two."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        model(clip)
    return counter.get_total_flops() // 2


def _count_resnet(model: VideoNet, clip: Tensor) -> int:
    """By the modules: our faster forms run other operations than the equations name."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += _macs(module, inputs[0], output)

    kinds = (nn.Conv2d, nn.Linear, Hourglass, LearnableShift)
    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, kinds)]
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
    assert isinstance(module, Hourglass)
    spatial = 0 if module.spatial is None else 9 * x.numel()
    return spatial + 3 * (x.numel() if isinstance(module, ClipHourglass) else y.numel())
