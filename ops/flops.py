"""Multiply-adds and parameters of a network, counted without weights and without computing anything."""

from collections.abc import Collection

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
    result counts instead, for the module and all within it: an hourglass runs in a faster form than its equation. As
    usual, normalisation, activations, pooling and shifts are not counted. `size` is a multiple of the network's stride.

    The model moves to the meta device, which has neither weights nor computation. A module that has weights of its
    own, but no product of its own that torch counts and no `macs`, raises a `ValueError`.
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
    own = dict(flops)  # without those of the modules within
    for path in ran:
        if outer := _outer(path, ran):
            own[outer] -= flops[path]
    for path, module in ran.items():
        counted = own[path] or path in equations or _outer(path, equations)
        if not counted and any(p.ndim > 1 for p in module.parameters(recurse=False)):
            raise ValueError(
                f"the multiply-adds of {path} ({type(module).__name__}) are not known to torch; "
                "give the class a method macs(self, input, output) that returns their number"
            )
    outermost = [path for path in equations if not _outer(path, equations)]
    return (counter.get_total_flops() - sum(flops[path] for path in outermost)) // 2 + sum(
        equations[path] for path in outermost
    )


def _outer(path: str, paths: Collection[str]) -> str:
    """The nearest module around `path` that is one of `paths`, or an empty string."""
    while (path := path.rpartition(".")[0]) and path not in paths:
        pass
    return path
