"""Optimisers with the parameter groups of the TSN family, and partial BatchNorm."""

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from common.errors import InputError, counted
from ops.network import VideoNet

OPTIMISERS = ("sgd", "adamw")
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)
_POSITION = re.compile(r"(class_token|rel_pos_[hwt]|relative_position_bias_table)$")


def parameter_groups(model: VideoNet, lr: float, weight_decay: float, *, fc_lr5: bool = False) -> list[dict]:
    """Groups of the trainable parameters: weights; biases (twice the rate in the TSN family); norms.

    Biases, norms, and the positions and class tokens of transformers do not decay. With `fc_lr5` the classifier learns
    five times as fast (its bias ten times). `set_learning_rate` multiplies by each group's `lr_mult`. The official code
    applies these factors as well; TDN's only logs them.
    """
    norms = {id(p) for m in model.modules() if isinstance(m, NORMS) for p in m.parameters()}
    groups: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        kind, lr_mult = "weight", 1.0
        if id(parameter) in norms:
            kind = "norm"
        elif name.endswith("bias"):
            kind, lr_mult = "bias", model.bias_lr
        elif _POSITION.search(name):
            kind = "position"
        if fc_lr5 and name in model.classifier:
            kind, lr_mult = f"classifier {kind}", 5.0 * lr_mult
        decay = weight_decay if kind.endswith("weight") else 0.0
        group = groups.setdefault(
            kind, {"name": kind, "params": [], "lr_mult": lr_mult, "lr": lr * lr_mult, "weight_decay": decay}
        )
        group["params"].append(parameter)
    return list(groups.values())


def make_optimiser(name: str, groups: list[dict], lr: float, momentum: float) -> torch.optim.Optimizer:
    """Make an optimiser of `parameter_groups`: "sgd" with momentum, or "adamw" with betas (momentum, 0.999)."""
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999))
    return torch.optim.SGD(groups, lr=lr, momentum=momentum)


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's rate to `lr` times its own factor."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["lr_mult"]


def make_step(
    parameters: Iterable[Tensor],
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    clip_gradient: float | None,
    where: str,
) -> Tensor:
    """Clip the gradients, take the step, drop the gradients. The caller updates the scaler, once for all optimisers.

    Returns:
        The L2 norm of all gradients together, before clipping.

    Raises:
        InputError: a gradient is not finite, and there is no scaler to handle it.
    """
    scaler.unscale_(optimiser)
    limit = float("inf") if clip_gradient is None else clip_gradient
    norm = nn.utils.clip_grad_norm_(parameters, limit)
    if not scaler.is_enabled():  # the scaler of fp16 skips such steps and lowers its scale
        require_finite(norm, "gradient", where)
    scaler.step(optimiser)
    optimiser.zero_grad(set_to_none=True)
    return norm


def require_finite(value: Tensor, name: str, where: str) -> None:
    """Refuse a loss or a gradient norm that is not finite, before the step that would ruin the training.

    The message has its `name`, and epoch, step and videos (`where`).
    """
    if not torch.isfinite(value).all():
        raise InputError(
            f"the {name} is {value.item()} in {where}; stopped before the step. The checkpoint of the last epoch is "
            "unchanged: continue from it (--resume auto) with a lower --lr, a --warmup, or --amp off"
        )


def freeze_partial_bn(model: VideoNet) -> None:
    """Partial BatchNorm (TSN, arXiv 1608.00859, section 3.2): freeze the backbone's BatchNorms, except the first.

    This freezes their parameters; `train_mode` keeps their statistics. The BatchNorms of temporal modules learn: they
    have nothing to preserve yet.
    """
    for norm in model.backbone_norms()[1:]:
        norm.requires_grad_(False)


def train_mode(model: VideoNet, *, partial_bn: bool) -> None:
    """`model.train()`, with the statistics of the frozen BatchNorms fixed."""
    model.train()
    if partial_bn:
        for norm in model.backbone_norms()[1:]:
            norm.eval()


def require_batch(model: VideoNet, clips: int, input_size: int, *, partial_bn: bool) -> None:
    """Refuse a training in which a BatchNorm has a single value per channel, by a pass on the meta device.

    The model is left in training mode. `clips` is the smallest number that a device gets at once; two always suffice.
    """
    if clips > 1:
        return
    train_mode(model, partial_bn=partial_bn)
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
