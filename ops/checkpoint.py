"""Weights in and out: checkpoints of this project, and `load_weights` for everybody's, with an exact account."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from errors import InputError
from ops.layouts import State, from_official, is_plain_resnet, layout_of, strip_data_parallel
from ops.network import VideoNet

FORMAT = 1  # of the checkpoint's fields
LAYOUTS = {"ours": "this project", "torchvision": "torchvision's ResNet"}
LAYOUTS["torchvision video"] = "torchvision's video networks"
LAYOUTS |= {net: f"the official {net}" for net in ("H2CN", "TDN", "TSM", "TSN")}


@dataclass
class LoadReport:
    """What `load_weights` did with every name. All but `unused` are names of our parameters and buffers.

    Attributes:
        layout: of the source.
        matched: loaded as they were.
        reshaped: loaded, from values that lay in another shape.
        inflated: made from another parameter.
        new: missing in the source: left as they were.
        unused: names of the source that are expected not to be used; any other unexpected name is an error.
        classes: numbers of classes of a classifier that was not taken and of the one that stays, if they differ.
    """

    layout: str
    matched: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    classes: tuple[int, int] | None = None

    def __str__(self) -> str:
        counted = (name for name in ("matched", "reshaped", "inflated", "new", "unused"))
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in counted)
        text = f"weights in the layout of {LAYOUTS[self.layout]}: {counts}"
        if self.classes:
            text += "; a new classifier, for {1} classes instead of {0}".format(*self.classes)
        return text


def load_weights(
    model: VideoNet, source: str | os.PathLike | Mapping[str, Any], *, new_classifier: bool = False
) -> LoadReport:
    """Load a state dict of any known layout into `model`, or nothing at all.

    Args:
        model: the network; its parameters keep their dtype and device.
        source: a file, or a state dict, with or without DataParallel's `module.` and the outer
            {"state_dict": ...}. Known layouts: ours, the official ones of
            H2CN, TDN, TSM and TSN, torchvision's ResNet and its video networks.
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
    if new_classifier and is_plain_resnet(state) and "torchvision" in model.layouts and not is_plain_resnet(own):
        report.layout = "torchvision"  # whatever its classes: a start may come from any image network
    _require_same_net(model, content, report.layout, where)
    if report.layout == "torchvision":
        report.new += [key for key in own if model.is_temporal(key)]
        _drop_classifier(model, state, report)
    elif report.layout == "torchvision video":
        state = {f"network.{key}": value for key, value in state.items()}
    elif report.layout != "ours":
        state, report.unused, report.reshaped = from_official(state, report.layout)
    _, bias = model.classifier
    if new_classifier and bias in state and state[bias].shape != own[bias].shape:
        report.classes = len(state[bias]), len(own[bias])
        _drop_classifier(model, state, report)
    _check_names(model, own, state, report, where)
    model.load_state_dict(state, strict=False)  # every difference was accounted for just now
    report.matched = [key for key in own if key in state and key not in report.reshaped]
    if report.layout == "torchvision":
        report.inflated = model.inflate(state)
        report.new = [name for name in report.new if name not in report.inflated]
    return report


def _require_same_net(model: VideoNet, content: Mapping[str, Any], layout: str, where: str) -> None:
    """Weights of another network may fit and still be wrong: a TSN and a TSM have the same shapes."""
    if layout != "ours":
        if layout not in model.layouts:
            build = f"build --net {layout}" if layout in ("H2CN", "TDN", "TSM", "TSN") else "build one of these"
            raise InputError(f"{where} is of {LAYOUTS[layout]}, this network is {model.net}; {build}")
        return
    made_for = content.get("trained_on")
    if not isinstance(made_for, Mapping):
        return
    for name, flag in (("net", "--net"), ("ablate", "--ablate")):
        stored, here = made_for.get(name) or "", getattr(model, name) or ""
        if list(stored) != list(here):
            stored, here = (" ".join([v] if isinstance(v, str) else v) or "nothing" for v in (stored, here))
            raise InputError(
                f"{where} was trained with {flag} {stored}, this network is built with {here}; use the same"
            )


def _drop_classifier(model: VideoNet, state: State, report: LoadReport) -> None:
    report.unused += [name for name in model.classifier if state.pop(name, None) is not None]
    report.new += model.classifier


def _check_names(model: VideoNet, own: State, state: State, report: LoadReport, where: str) -> None:
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
        if all(name.split(" ")[0] in model.classifier for name in missing + unexpected + reshaped):
            cure = "the class counts differ: test on its own data set, or start a training from it with --tune_from"
        raise InputError(f"{where} (layout of {LAYOUTS[report.layout]}) does not fit: {text}; {cure}")


def _some(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _state_dict(content: Any, where: str) -> State:
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()) or not state:
        raise InputError(f"{where} holds no state dict; give a checkpoint that a training run wrote")
    return dict(state)


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """A checkpoint file on the CPU: tensors and plain values only, whatever is in it.

    Raises:
        InputError: no such file, a damaged one, or one that holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; give the path of a file such as runs/NAME/ckpt.best.pth.tar")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}; is the copy complete?") from error
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
    _put(path, lambda temporary: torch.save({"format": FORMAT, **content}, temporary))


def link_checkpoint(source: Path, path: Path) -> None:
    """The same file under a second name, as safely as `save_checkpoint`; a copy where there are no hard links.

    Raises:
        InputError: the folder cannot be written.
    """

    def link(temporary: Path) -> None:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)

    _put(path, link)


def _put(path: Path, write: Callable[[Path], None]) -> None:
    """Have a temporary file beside `path` written, then give it the name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
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
