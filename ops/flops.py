"""Multiply-adds and parameters of a network, counted without weights and without computing anything."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ops.network import VideoNet


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(model: VideoNet, size: int) -> int:
    """Multiply-adds of one view (one clip of T segments, `size` x `size` pixels), which papers usually call FLOPs.

    torch counts the convolutions and matrix products that run. If a module has a method `macs(input, output)`, its
    result counts instead: an hourglass runs in a faster form than its equation. As usual, normalisation, activations,
    pooling and shifts are not counted. `size` is a multiple of the network's stride.

    The model moves to the meta device, which has neither weights nor computation. A module that has weights, but
    nothing that torch counts and no `macs`, raises a `ValueError`.
    """
    model = model.to("meta").eval()
    equations: dict[str, int] = {}
    ran: dict[str, nn.Module] = {}

    def note(path: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ran[path] = module
        equation = getattr(module, "macs", None)
        if equation is not None:
            equations[path] = equations.get(path, 0) + equation(inputs[0], output)

    hooks = [
        module.register_forward_hook(lambda m, x, y, path=path: note(path, m, x, y))
        for path, module in model.named_modules()
        if path
    ]
    counter = FlopCounterMode(display=False)
    clip = torch.empty(1, model.num_segments, model.frames_per_segment, 3, size, size, device="meta")
    with counter, torch.inference_mode():
        model(clip, normalised=True)
    for hook in hooks:
        hook.remove()
    root, counts = type(model).__name__, counter.get_flop_counts()
    flops = {path: sum(counts.get(f"{root}.{path}", {}).values()) for path in ran}  # two per multiply-add
    for path, module in ran.items():
        if path not in equations and not flops[path] and any(p.ndim > 1 for p in module.parameters(recurse=False)):
            raise ValueError(
                f"the multiply-adds of {path} ({type(module).__name__}) are not known to torch; "
                "give the class a method macs(self, input, output) that returns their number"
            )
    return (counter.get_total_flops() - sum(flops[path] for path in equations)) // 2 + sum(equations.values())
