"""Frozen modules: --freeze, --linear_probe and partial BatchNorm; and the batches that the other BatchNorms need."""

from collections.abc import Sequence

import torch
from torch import nn

from common.errors import InputError, counted
from ops.network import VideoNet


def freeze(model: VideoNet, names: Sequence[str], *, linear_probe: bool = False) -> None:
    """Freeze the parameters of modules; `train_mode` leaves these modules in evaluation mode.

    `names` are modules such as layer1 or layer2.0, in torchvision's networks without `network.`; "stem" is everything
    before the first block except the motion branch. `linear_probe`: freeze everything but the classifier instead.
    An `InputError` says that a module does not exist or has no parameters, or that nothing is left to train.
    """
    stem, *blocks, _ = model.layers()
    if linear_probe:
        model.frozen = sum(blocks, stem)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in model.classifier)
        return
    modules = {
        path.removeprefix("network."): path
        for path, m in model.named_modules()
        if next(m.parameters(), None) is not None
    }
    for name in names:
        if name not in ("stem", *filter(None, modules)):
            known = ", ".join(["stem", *(path for path in modules if path and "." not in path)])
            raise InputError(f"--freeze {name}: {model.net} has no such module with parameters; it has {known}")
        model.frozen += tuple(path for path in stem if path != "motion") if name == "stem" else (modules[name],)
    for path in model.frozen:
        model.get_submodule(path).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"--freeze {' '.join(names)}: nothing of {model.net} is left to train; name fewer modules")


def freeze_partial_bn(model: VideoNet) -> None:
    """Partial BatchNorm (TSN, arXiv 1608.00859, section 3.2): freeze the backbone's BatchNorms, except the first.

    The BatchNorms of temporal modules are trained: they have nothing to preserve yet.
    """
    kind = nn.modules.batchnorm._BatchNorm
    norms = [name for name, m in model.named_modules() if isinstance(m, kind) and not model.is_temporal(name)]
    model.frozen += tuple(norms[1:])
    for name in norms[1:]:
        model.get_submodule(name).requires_grad_(False)


def train_mode(model: VideoNet) -> None:
    """`model.train()`, with frozen modules in evaluation mode: the statistics of their BatchNorms stay."""
    model.train()
    for name in model.frozen:
        model.get_submodule(name).eval()


def require_enough_for_batchnorm(model: VideoNet, clips: int, input_size: int) -> None:
    """Refuse a training in which a BatchNorm has a single value per channel, by a pass on the meta device.

    The model is left in training mode. `clips` is the smallest number that a device gets at once; two always suffice.
    """
    if clips > 1:
        return
    train_mode(model)
    tensors = {name: tensor.to("meta") for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    shape = (clips, model.num_segments, model.frames_per_segment, 3, input_size, input_size)
    try:
        torch.func.functional_call(model, tensors, torch.empty(shape, dtype=torch.uint8, device="meta"))
    except ValueError as error:
        raise InputError(
            f"a BatchNorm of {model.net} would normalise a single value (1 clip, "
            f"{counted(model.num_segments, 'segment')}, {input_size} pixels); give each device "
            "two clips or more: raise --batch-size, or lengthen the train list"
        ) from error
