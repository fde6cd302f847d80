"""Weights in and out: checkpoints of this project, and `load_weights` for everybody's, with an exact account."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from errors import InputError
from ops.layouts import State, from_official, layout_of, strip_data_parallel
from ops.network import VideoNet

FORMAT = 1  # of the checkpoint's fields
LAYOUTS = {"ours": "this project", "torchvision": "torchvision's ResNet"}
LAYOUTS |= {net: f"the official {net}" for net in ("H2CN", "TDN", "TSM", "TSN")}


@dataclass
class LoadReport:
    """What `load_weights` did, by our parameter names."""

    layout: str
    matched: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)  # made from another parameter
    new: list[str] = field(default_factory=list)  # not in the source: left as they were
    unused: list[str] = field(default_factory=list)  # in the source, and expected not to be used

    def __str__(self) -> str:
        counts = f"{len(self.matched)} matched, {len(self.inflated)} inflated, {len(self.new)} new"
        return f"weights in the layout of {LAYOUTS[self.layout]}: {counts}, {len(self.unused)} unused"


def load_weights(
    model: VideoNet, source: str | os.PathLike | Mapping[str, Any], *, new_classifier: bool = False
) -> LoadReport:
    """Load a state dict of any known layout into `model`, or nothing at all.

    Args:
        model: the network; its parameters keep their dtype and device.
        source: a file, or a state dict, with or without DataParallel's `module.` and the outer
            {"state_dict": ...}. Known layouts: ours, the official ones of
            H2CN, TDN, TSM and TSN, torchvision's ResNet.
        new_classifier: keep the model's own classifier where the source's has another number of classes.

    Returns:
        The account of every name.

    Raises:
        InputError: something is missing, unexpected or of another shape; the message has the names.
    """
    where = "the given state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_checkpoint(source)
    state = strip_data_parallel(_state_dict(content, where))
    report = LoadReport(layout_of(state))
    own = model.state_dict()
    if report.layout == "torchvision":
        report.new += [key for key in own if key.startswith("motion.") or ".gate." in key]
        _drop_classifier(state, report)
    elif report.layout != "ours":
        if model.net not in ("", report.layout):  # a TSN and a TSM have parameters of the same shapes
            official = LAYOUTS[report.layout]
            raise InputError(f"{where} is of {official}, this network is {model.net}; build --net {report.layout}")
        state, report.unused = from_official(state, report.layout)
    if new_classifier and "fc.bias" in state and state["fc.bias"].shape != own["fc.bias"].shape:
        _drop_classifier(state, report)
    _check_names(own, state, report, where)
    model.load_state_dict(state, strict=False)  # every difference was accounted for just now
    report.matched = [key for key in own if key in state]
    if report.layout == "torchvision" and model.motion is not None:
        report.inflated = [f"motion.{name}" for name in model.motion.inflate_from(state)]
        report.new = [name for name in report.new if name not in report.inflated]
    return report


def _drop_classifier(state: State, report: LoadReport) -> None:
    names = ["fc.weight", "fc.bias"]
    report.unused += [name for name in names if state.pop(name, None) is not None]
    report.new += names


def _check_names(own: State, state: State, report: LoadReport, where: str) -> None:
    counters = "num_batches_tracked"  # old files lack them; nothing that is computed depends on them
    missing = [k for k in own if k not in state and k not in report.new and not k.endswith(counters)]
    unexpected = [k for k in state if k not in own]
    reshaped = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    faults = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    if any(names for _, names in faults):
        text = "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in faults if names)
        cure = "build the network that the weights were made for (--net, --arch, the data set)"
        if all(name.startswith("fc.") for name in missing + unexpected + reshaped):
            cure = "the class counts differ: test on its own data set, or start a training from it with --tune_from"
        raise InputError(f"{where} (layout of {LAYOUTS[report.layout]}) does not fit: {text}; {cure}")


def _some(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _state_dict(content: Any, where: str) -> State:
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()) or not state:
        raise InputError(f"{where} holds no state dict; give a checkpoint that a training run wrote")
    return dict(state)


def load_pretrained(model: VideoNet, source: str) -> LoadReport:
    """Start the ResNet from ImageNet weights: `source` is "imagenet" (torchvision's, through its cache) or a file.

    Raises:
        InputError: the weights cannot be had, or do not fit.
    """
    if source != "imagenet":
        return load_weights(model, source, new_classifier=True)
    import torchvision  # here: only this start needs it

    weights = torchvision.models.get_model_weights(model.arch).IMAGENET1K_V1
    try:
        return load_weights(model, weights.get_state_dict(progress=False, check_hash=True))
    except OSError as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise InputError(
            f"--pretrain imagenet: {weights.url} cannot be downloaded ({error}); download it elsewhere and "
            f"put it into {folder}, or pass its path to --pretrain, or train from random weights with --pretrain none"
        ) from error


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """A checkpoint file on the CPU: tensors and plain values only, whatever is in it.

    Raises:
        InputError: no such file, a damaged one, or one that holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; give the path of a file such as runs/NAME/ckpt.best.pth.tar")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is no checkpoint of tensors and plain values, or is damaged: {reason}") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a checkpoint: {error}; is the copy complete?") from error
    if isinstance(content, dict) and content.get("format", FORMAT) > FORMAT:
        raise InputError(f"{path} was written by a newer version of this project; update it to read the file")
    return content


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write to a temporary file beside `path`, then rename: a killed run or a full disk leaves the old file whole.

    Raises:
        InputError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        torch.save({"format": FORMAT, **content}, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as RuntimeError, in its own words
        free = shutil.disk_usage(path.parent).free >> 20
        reason = error.strerror if isinstance(error, OSError) else "the disk is full"
        raise InputError(
            f"cannot write {path}: {reason} ({free} MiB are free); free some space or choose another --root_model. "
            "Earlier checkpoints are untouched."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def file_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
