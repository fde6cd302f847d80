"""A network rewritten for inference: the same function of a clip, in fewer passes over memory."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ops.hourglass import without_autocast
from ops.network import VideoNet

TOLERANCE = 1e-5  # of the check, relative to the largest score


def fuse_for_inference(model: VideoNet) -> VideoNet:
    """A copy that computes the same scores faster; the model itself is unchanged.

    A BatchNorm is folded into the convolution before it where it is known to come directly after it: in an
    `nn.Sequential`, and for the pairs of names (convolution, norm) in a class's attribute `fusable`. A module with a
    method `for_inference` is replaced by its result. The new network is checked on one random clip, as small as the
    stride allows; other scores raise a `ValueError`: a class declares what its `forward` contradicts.

    Scores are equal up to rounding: within 1e-9 of the golden logits in float64. The copy's parameters have other
    names; it cannot be trained or saved as a checkpoint.
    """
    fused = copy.deepcopy(model).eval()
    changed = list(dict.fromkeys(_rewrite(fused)))
    if changed:
        _require_same_scores(model, fused, changed)
    fused.requires_grad_(False)
    return fused.to(memory_format=model.memory_format)  # type: ignore[call-overload]


@torch.no_grad()
def _rewrite(module: nn.Module, path: str = "") -> Iterator[str]:
    """Fuse in place; yields the paths of the modules that change."""
    for name, child in list(module.named_children()):
        inner = f"{path}.{name}" if path else name
        for_inference = getattr(child, "for_inference", None)
        if for_inference is not None:
            setattr(module, name, for_inference())
            yield inner
        else:
            yield from _rewrite(child, inner)
    for conv_name, norm_name in _pairs(module):
        conv, norm = getattr(module, conv_name), getattr(module, norm_name)
        if isinstance(conv, (nn.Conv2d, nn.Conv3d)) and isinstance(norm, _BatchNorm):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, nn.Identity())
            yield path


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Pairs of children's names: the second takes the output of the first, and nothing else does."""
    if type(module).forward is nn.Sequential.forward:
        names = [name for name, _ in module.named_children()]
        return list(zip(names, names[1:], strict=False))
    return list(getattr(module, "fusable", ()))


@torch.inference_mode()
def _require_same_scores(model: VideoNet, fused: VideoNet, changed: list[str]) -> None:
    """Compare the scores on the CPU before and after, and name the first of the changed modules that differs."""
    shape = (1, model.num_segments, model.frames_per_segment, 3, model.stride, model.stride)
    clip = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float32, torch.float64):  # float64 is slower, but a steep network cannot amplify its rounding
        plain = _on_cpu(model, dtype)
        if dtype == torch.float64:
            fused = copy.deepcopy(plain)
            list(_rewrite(fused))
        fused = _on_cpu(fused, dtype)
        with without_autocast("cpu"):
            expected = plain(clip)
            difference = _difference(fused(clip), expected)
        if difference <= TOLERANCE or not expected.isfinite().all():  # the caller reports the latter
            return
    with without_autocast("cpu"):
        before, after = _outputs(plain, clip, changed), _outputs(fused, clip, changed)
    path = next((path for path in before if not _difference(after[path], before[path]) <= TOLERANCE), "")
    raise ValueError(
        f"fused for inference, {model.net} gives other scores (by {difference:.2g} of the largest): "
        f"{path or 'the network'} ({type(plain.get_submodule(path)).__name__}) computes something else. `fusable` "
        "names pairs of a convolution and the norm that takes its output directly, and `for_inference` returns the "
        "same function"
    )


def _on_cpu(model: VideoNet, dtype: torch.dtype) -> VideoNet:
    """The network in evaluation mode on the CPU: itself if it is there, which is fastest, or else a copy."""
    parameter = next(model.parameters())
    if parameter.device.type == "cpu" and parameter.dtype == dtype and not model.training:
        return model
    return copy.deepcopy(model).cpu().to(dtype).eval()


def _difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected value."""
    return 0.0 if torch.equal(found, expected) else float((found - expected).abs().max() / expected.abs().max())


def _outputs(model: VideoNet, clip: Tensor, paths: list[str]) -> dict[str, Tensor]:
    """Outputs of the modules at these paths, each flattened, in the order in which they finish."""
    outputs: dict[str, Tensor] = {}

    def keep(path: str, output: Tensor | list[Tensor]) -> None:
        tensors = [output] if isinstance(output, Tensor) else output
        outputs[path] = torch.cat([tensor.flatten() for tensor in tensors])

    for path in paths:
        model.get_submodule(path).register_forward_hook(lambda _module, _inputs, output, path=path: keep(path, output))
    model(clip)
    return outputs
