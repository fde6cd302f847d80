"""Resumes an optimiser and a gradient scaler from a checkpoint, with checks that torch makes only in the first step."""

from typing import Any

import torch
from torch import Tensor

from common.errors import InputError, command, short, wrong_fields


def resume_optimiser(
    optimiser: torch.optim.Optimizer, scaler: torch.amp.GradScaler, checkpoint: dict[str, Any], where: str
) -> None:
    """Load their states from a checkpoint, which messages call `where`; an `InputError` if they do not fit."""
    before = checkpoint.get("options", {}).get("optimizer", "")
    stored, own = checkpoint["optimizer"], [dict(group) for group in optimiser.param_groups]
    try:
        here, there = own[0].keys(), stored["param_groups"][0].keys()
        is_alike = here <= there or there <= here  # versions of torch add options; another optimiser lacks some
        if before not in ("", type(optimiser).__name__.lower()) or not is_alike:
            same = f"--optimizer {short(before)}".rstrip()
            raise InputError(f"{where} was trained with a different optimiser; resume with the same {same}")
        if [len(group["params"]) for group in own] != [len(group["params"]) for group in stored["param_groups"]]:
            raise InputError(
                f"{where}: its optimiser has different parameter groups; resume with the same --npb, --freeze, "
                "--linear_probe, --layer_decay and --fc_lr5"
            )
        optimiser.load_state_dict(stored)
        for group, options in zip(optimiser.param_groups, own, strict=True):
            group.update({k: v for k, v in options.items() if k != "params"})  # this run's --wd, not the stored one
        _require_fitting(optimiser)
        if wrong := wrong_fields(checkpoint["scaler"], {name: type(v) for name, v in scaler.state_dict().items()}):
            raise ValueError(f"no {', '.join(wrong)}")
        scaler.load_state_dict(checkpoint["scaler"])
    except InputError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: its optimiser or gradient scaler does not fit this run ({short(error)}); resume with the "
            f"same --optimizer and --amp, or start from it with {command('--tune_from', where)}"
        ) from error


def _require_fitting(optimiser: torch.optim.Optimizer) -> None:
    """Check the loaded state: torch would notice only in the first step."""
    needed = {"step", "exp_avg", "exp_avg_sq"} if isinstance(optimiser, torch.optim.AdamW) else set()
    factored = type(optimiser).__name__ == "Adafactor"  # has means over rows and columns
    for parameter, values in optimiser.state.items():
        if values and not needed <= values.keys():
            raise ValueError(f"no {', '.join(needed - values.keys())}")
        for name, value in values.items():
            if not isinstance(value, Tensor) and (name in needed or value is not None):
                raise ValueError(f"{name} is a {type(value).__name__}")
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape and not factored:
                raise ValueError(f"{name} of shape {tuple(value.shape)} for {tuple(parameter.shape)}")
