"""Optimisers with the parameter groups of the TSN family."""

import ast
import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import InputError, short
from ops.network import VideoNet

OPTIMISERS: dict[str, type[torch.optim.Optimizer]] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
}
UNUSABLE = {
    "lbfgs": "evaluates the loss several times per step",
    "muon": "takes matrices only, no convolutions or biases",
    "rprop": "needs gradients of the whole data set",
    "sparseadam": "takes sparse gradients only",
}
# Arguments of optimisers that other options set, or that cannot be used here.
_RESERVED = {"params", "lr", "weight_decay", "maximize", "differentiable"}
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)
_POSITION = re.compile(r"(class_token|rel_pos_[hwt]|relative_position_bias_table)$")


def parameter_groups(
    model: VideoNet, lr: float, weight_decay: float, *, fc_lr5: bool = False, layer_decay: float = 1.0
) -> list[dict]:
    """Groups of the trainable parameters: weights; biases (twice the rate in the TSN family); norms.

    Biases, norms, and the positions and class tokens of transformers do not decay. With `fc_lr5` the classifier learns
    five times as fast (its bias ten times). `set_learning_rate` multiplies by each group's `lr_mult`. The official code
    applies these factors as well; TDN's code logs them but does not apply them.

    With a `layer_decay` below 1, the learning rate of each of `VideoNet.layers` is that share of the next one's
    (discriminative fine-tuning, arXiv 1801.06146, section 3.2).
    """
    layers = model.layers()
    depths = {name: depth for depth, names in enumerate(layers) for name in names}
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
        if layer_decay != 1:
            depth = next((depths[layer] for layer in depths if name.startswith(f"{layer}.")), 0)
            kind, lr_mult = f"{kind} of layer {depth}", lr_mult * layer_decay ** (len(layers) - 1 - depth)
        group = groups.setdefault(
            kind, {"name": kind, "params": [], "lr_mult": lr_mult, "lr": lr * lr_mult, "weight_decay": decay}
        )
        group["params"].append(parameter)
    return list(groups.values())


def optimiser_arguments(name: str, given: Sequence[str]) -> dict[str, Any]:
    """Values of "key=value" by key for `OPTIMISERS[name]`; an `InputError` for any that the class does not take."""
    usable = sorted(OPTIMISERS.keys() - UNUSABLE.keys())
    if name not in usable:
        why = UNUSABLE.get(name, "is not a class of torch.optim")
        raise InputError(f"--optimizer {name} {why}; choose one of {', '.join(usable)}")
    parameters = inspect.signature(OPTIMISERS[name]).parameters
    reserved = _RESERVED | ({"momentum"} if name == "sgd" else set())
    defaults = {key: parameter.default for key, parameter in parameters.items() if key not in reserved}
    values = {}
    for text in given:
        key, _, value = text.partition("=")
        if key not in defaults:
            raise InputError(f"--optimizer_args {text}: {name} takes key=value with the keys {', '.join(defaults)}")
        try:
            values[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            values[key] = value
        if not _is_like(values[key], defaults[key]):
            raise InputError(f"--optimizer_args {text}: write {key} like its default, {key}={defaults[key]}")
    return values


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value has the type of the default; a default of None stands for a switch or a number."""
    if default is None and value is None:
        return True
    if isinstance(default, tuple):
        return isinstance(value, tuple) and len(value) == len(default) and all(map(_is_like, value, default))
    kind = bool if isinstance(default, bool) else (int, float)
    return isinstance(value, kind) and (default is None or isinstance(value, bool) == isinstance(default, bool))


def make_optimiser(
    name: str, groups: list[dict], lr: float, momentum: float, arguments: Sequence[str] = ()
) -> torch.optim.Optimizer:
    """Make an optimiser of `parameter_groups`: one of `OPTIMISERS` with torch's defaults and `optimiser_arguments`.

    "sgd" has this momentum, "adamw" the betas (momentum, 0.999). What the class refuses raises an `InputError`.
    """
    own: dict[str, dict[str, Any]] = {"sgd": {"momentum": momentum}, "adamw": {"betas": (momentum, 0.999)}}
    options = own.get(name, {}) | optimiser_arguments(name, arguments)
    try:
        return OPTIMISERS[name](groups, lr=lr, **options)  # type: ignore[call-arg]
    except (RuntimeError, TypeError, ValueError) as error:
        given = " ".join([name, *(["--optimizer_args", *arguments] if arguments else [])])
        raise InputError(f"--optimizer {given}: torch refuses it ({short(error, 200)}); choose another") from error


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
    """Clip the gradients, take the step, clear the gradients; return their joint L2 norm before clipping.

    The caller updates the scaler, once for all optimisers. A gradient that is not finite raises an `InputError`, unless
    the scaler handles it.
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
            f"the {name} is {value.item()} in {where}; stopped before the step, so no checkpoint has it. "
            "Continue from the latest one, if there is one (--resume auto), with a lower --lr, a --warmup, or --amp off"
        )
