"""Resumes an optimiser and a gradient scaler from a checkpoint, with checks that torch makes only in the first step."""

from typing import Any

import torch
from torch import Tensor

from common.errors import InputError, command, short, wrong_fields


def resume_optimiser(
    optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler, checkpoint: dict[str, Any], where: str
) -> None:
    """Load their states from a checkpoint, which messages call `where`.

    Raises:
        InputError: the state is that of another optimiser, or does not fit.
    """
    before = checkpoint.get("options", {}).get("optimizer")
    if before not in (None, type(optimiser).__name__.lower()):
        raise InputError(
            f"{where} was trained with a different optimiser; resume with the same --optimizer {short(before)}"
        )
    try:
        _resume_optimiser(optimiser, checkpoint["optimizer"], where)
        _resume_scaler(scaler, checkpoint["scaler"])
    except InputError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: its optimiser or gradient scaler does not fit this run ({short(error)}); resume with the "
            f"same --optimizer and --amp, or start from it with {command('--tune_from', where)}"
        ) from error


def _resume_optimiser(optimiser: torch.optim.Optimizer, stored: dict[str, Any], where: str) -> None:
    own = [dict(group) for group in optimiser.param_groups]
    here, there = own[0].keys(), stored["param_groups"][0].keys()
    if not (here <= there or there <= here):  # versions of torch add options; another optimiser lacks some
        raise InputError(f"{where} was trained with a different optimiser; resume with the same --optimizer")
    try:
        optimiser.load_state_dict(stored)
    except ValueError as error:
        raise InputError(
            f"{where}: its optimiser has different parameter groups ({error}); resume with the same --npb, "
            "--freeze, --linear_probe, --layer_decay and --fc_lr5"
        ) from error
    for group, options in zip(optimiser.param_groups, own, strict=True):
        group.update({k: v for k, v in options.items() if k != "params"})  # this run's --wd, not the stored one
    needed = {"step", "exp_avg", "exp_avg_sq"} if isinstance(optimiser, torch.optim.AdamW) else set()
    factored = type(optimiser).__name__ == "Adafactor"  # has means over rows and columns
    for parameter, values in optimiser.state.items():  # torch would notice only in the first step
        if values and not needed <= values.keys():
            raise ValueError(f"no {', '.join(needed - values.keys())}")
        for name, value in values.items():
            if not isinstance(value, Tensor) and (name in needed or value is not None):
                raise ValueError(f"{name} is a {type(value).__name__}")
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape and not factored:
                raise ValueError(f"{name} of shape {tuple(value.shape)} for {tuple(parameter.shape)}")


def _resume_scaler(scaler: torch.amp.GradScaler, stored: dict[str, Any]) -> None:
    wrong = wrong_fields(stored, {name: type(value) for name, value in scaler.state_dict().items()})
    if wrong:
        raise ValueError(f"no {', '.join(wrong)}")
    scaler.load_state_dict(stored)
