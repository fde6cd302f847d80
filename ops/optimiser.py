"""SGD with the parameter groups of the TSN family, and its partial BatchNorm."""

import torch
from torch import nn

from ops.network import VideoNet


def parameter_groups(model: VideoNet, lr: float, weight_decay: float, *, fc_lr5: bool = False) -> list[dict]:
    """Groups: weights; biases at twice the rate, no decay; BatchNorm, no decay; with `fc_lr5` the classifier.

    Each group carries `lr_mult`; `set_learning_rate` multiplies with it. The official code logs these factors and
    applies them; TDN's logs them only. Frozen parameters are left out.

    Args:
        model: the network; parameters without `requires_grad` are skipped.
        lr: base learning rate.
        weight_decay: of the weights.
        fc_lr5: the classifier learns five times as fast (its bias ten times).
    """
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    groups: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        kind, lr_mult = "weight", 1.0
        if id(parameter) in norms:
            kind = "norm"
        elif name.endswith("bias"):
            kind, lr_mult = "bias", 2.0
        if fc_lr5 and name.startswith("fc."):
            kind, lr_mult = f"classifier {kind}", 5.0 * lr_mult
        decay = weight_decay if kind.endswith("weight") else 0.0
        group = groups.setdefault(
            kind, {"name": kind, "params": [], "lr_mult": lr_mult, "lr": lr * lr_mult, "weight_decay": decay}
        )
        group["params"].append(parameter)
    return list(groups.values())


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set every group to the base rate `lr` times its own factor."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["lr_mult"]


def freeze_partial_bn(model: VideoNet) -> None:
    """Partial BatchNorm (TSN, arXiv 1608.00859, section 3.2): all of the ResNet's but the first keep what they learnt.

    Their parameters stop learning here; `train_mode` keeps their statistics. The BatchNorms of the motion modules
    are left alone: they have learnt nothing yet.
    """
    for norm in _partial_norms(model):
        norm.requires_grad_(False)


def train_mode(model: VideoNet, *, partial_bn: bool) -> None:
    """`model.train()`, with the statistics of the frozen BatchNorms fixed."""
    model.train()
    if partial_bn:
        for norm in _partial_norms(model):
            norm.eval()


def _partial_norms(model: VideoNet) -> list[nn.Module]:
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        and name != "bn1"
        and ".gate." not in name
        and not name.startswith("motion.")
    ]
