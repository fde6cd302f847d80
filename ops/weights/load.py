"""Loads state dicts of this and other projects, and published weights by name; accounts for every name in them."""

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.errors import InputError, few, short, wrong_fields
from ops.network import VideoNet
from ops.weights.file import read_checkpoint
from ops.weights.layouts import OFFICIAL, State, from_official, is_plain_resnet, layout_of, strip_wrappers

# Places of the weights in a checkpoint; the first found counts.
STATE_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "module")
AVERAGED = "state_dict_ema"  # of our checkpoints: the weights averaged by --ema
LAYOUTS = {
    "ours": "this project",
    "torchvision": "torchvision's ResNet",
    "torchvision video": "torchvision's video networks",
    **{net: f"the official {net}" for net in OFFICIAL},
}
PRETRAINED = {"imagenet": "IMAGENET1K_V1", "kinetics": "KINETICS400_V1"}  # torchvision's names for them


@dataclass
class LoadReport:
    """The result of `load_weights` by names: those of our parameters and buffers, except in `unused`."""

    layout: str  # of the source, a key of `LAYOUTS`
    matched: list[str] = field(default_factory=list)  # loaded unchanged
    reshaped: list[str] = field(default_factory=list)  # loaded from another shape
    inflated: list[str] = field(default_factory=list)  # computed from another parameter
    new: list[str] = field(default_factory=list)  # missing in the source, so left unchanged
    unused: list[str] = field(default_factory=list)  # names of the source that may be ignored; others are an error
    notes: list[str] = field(default_factory=list)  # such as a classifier that was not loaded

    def __str__(self) -> str:
        kinds = ("matched", "reshaped", "inflated", "new", "unused")
        counts = ", ".join(f"{len(getattr(self, kind))} {kind}" for kind in kinds)
        return "; ".join([f"weights in the layout of {LAYOUTS[self.layout]}: {counts}", *self.notes])


def load_weights(
    model: VideoNet,
    source: str | os.PathLike | Mapping[str, Any],
    *,
    new_classifier: bool = False,
    class_names: Sequence[str] | None = None,
    where: str | None = None,
) -> LoadReport:
    """Load a state dict of any known layout into `model`, or nothing at all.

    Args:
        model: its parameters keep their dtype and device.
        source: a file or a state dict, with or without the prefixes of DataParallel and torch.compile, on its own or
            under one of `STATE_KEYS`. Known layouts: ours, the official ones of H2CN, TDN, TSM and TSN, torchvision's
            ResNet and its video networks.
        new_classifier: to start a training: keep the model's own classifier if the source's has another number of
            classes or, where both are known, other class names.
        class_names: those that the model will be trained for.
        where: name of a source that is a state dict, for messages.

    Raises:
        InputError: something is missing, unexpected or of another shape; the message has the names.
    """
    where = where or ("the given state dict" if isinstance(source, Mapping) else str(source))
    content = source if isinstance(source, Mapping) else read_checkpoint(source)
    made_for = _made_for(content, where)
    found, notes = _state_dict(content, where)
    state = strip_wrappers(found, where)
    report = LoadReport("ours" if made_for else layout_of(state), notes=notes)
    own = model.state_dict()
    could_be_image_network = not made_for and new_classifier and "torchvision" in model.layouts
    if could_be_image_network and report.layout == "ours" and is_plain_resnet(state) and not is_plain_resnet(own):
        report.layout = "torchvision"  # with other classes than ImageNet's
    _require_same_net(model, made_for, report, where)
    if report.layout == "torchvision":
        report.new += [key for key in own if model.is_temporal(key)]
        _drop_classifier(model, own, state, report)
    elif report.layout == "torchvision video":
        state = {f"network.{key}": value for key, value in state.items()}
    elif report.layout in OFFICIAL:
        state, report.unused, report.reshaped = from_official(state, report.layout, model.shifted(), where)
    theirs = made_for.get("class_names")
    has_other_names = class_names is not None and isinstance(theirs, list) and theirs != list(class_names)
    bias = model.classifier[1]
    if new_classifier and bias in state and (has_other_names or state[bias].shape != own[bias].shape):
        _drop_classifier(model, own, state, report)
    _check_names(model, own, state, report, where)
    model.load_state_dict(state, strict=False)  # every difference has been accounted for
    report.matched = [key for key in own if key in state and key not in report.reshaped]
    if report.layout == "torchvision":
        report.inflated = model.init_temporal(state)
        report.new = [name for name in report.new if name not in report.inflated]
    return report


def load_pretrained(model: VideoNet, source: str) -> LoadReport:
    """Load published weights; a classifier for other classes stays as it is.

    `source` is "imagenet" (torchvision's ResNet), "kinetics" (torchvision's video networks), another name that
    torchvision has for weights of this network, such as KINETICS400_IMAGENET22K_V1, or a file. Weights that are not
    available or do not fit raise an `InputError`.
    """
    import torchvision  # here, as nothing else of this file needs it

    published = model.net if "torchvision video" in model.layouts else model.arch
    known = {}
    if published in torchvision.models.list_models():
        known = dict(torchvision.models.get_model_weights(published).__members__)
    name = PRETRAINED.get(source.lower(), source)
    if name not in known:
        if name in PRETRAINED.values() or (name.isupper() and not Path(source).exists()):
            words = [word for word, meaning in PRETRAINED.items() if meaning in known]
            raise InputError(
                f"--pretrain {source}: torchvision has no such weights for {model.net} {model.arch}; "
                f"give {', '.join([*words, *known, 'a file'])} or none"
            )
        return load_weights(model, source, new_classifier=True)
    weights = known[name]
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:  # no network, wrong hash, cut file
        raise InputError(
            f"--pretrain {source}: {weights.url} is not available ({error}); put a complete copy at {file}, "
            "or pass its path to --pretrain, or train from random weights with --pretrain none"
        ) from error
    return load_weights(model, state, new_classifier=True)


def averaged(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A checkpoint with its averaged weights and their metrics in place of the network's; else an `InputError`."""
    content = {"figures": {}, **content}
    if wrong_fields(content, {AVERAGED: Mapping, "figures": Mapping}):
        raise InputError(f"{where} has no averaged weights, which train.py --ema writes; leave --ema out")
    figures = {f"val/{name[8:]}": value for name, value in content["figures"].items() if name.startswith("val/ema_")}
    rest = {name: value for name, value in content.items() if name != AVERAGED}
    return {**rest, "state_dict": content[AVERAGED], "figures": figures}


def _made_for(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The record of its network in a checkpoint of this project; empty for weights from elsewhere."""
    made_for = content.get("trained_on")
    if not isinstance(made_for, Mapping):
        return {}
    if wrong_fields({"ablate": [], **made_for}, {"net": str, "ablate": list[str]}):
        raise InputError(f"{where} does not name its network: it is damaged; use another checkpoint")
    return made_for


def official_net(content: Mapping[str, Any], where: str) -> str | None:
    """The network of a checkpoint in an official layout; None for other layouts. Messages call it `where`."""
    layout = layout_of(strip_wrappers(_state_dict(content, where)[0], where))
    return layout if layout in OFFICIAL else None


def _require_same_net(model: VideoNet, made_for: Mapping[str, Any], report: LoadReport, where: str) -> None:
    """Weights of another network may fit and still be wrong: TSN and TSM have the same shapes."""
    here = " ".join([model.net, *(f"without {part}" for part in model.ablate)])
    if report.layout == "ours" and not made_for:
        report.notes.append(f"the file does not name its network; assumed to be {here}")
        return
    if report.layout.startswith("torchvision"):
        if report.layout not in model.layouts:
            fitting = "its own --net" if report.layout == "torchvision video" else "--net H2CN, TDN, TSM or TSN"
            raise InputError(f"{where} is of {LAYOUTS[report.layout]}, this network is {here}; build {fitting}")
        return
    net, parts = made_for.get("net", report.layout), made_for.get("ablate", [])
    there = " ".join([net, *(f"without {part}" for part in parts)])
    if there != here:
        flags = f"--net {net}" + (f" --ablate {' '.join(parts)}" if parts else "")
        raise InputError(f"{where} is of {short(there)}, this network is {here}; build {short(flags)}")


def _drop_classifier(model: VideoNet, own: State, state: State, report: LoadReport) -> None:
    """Keep the model's own classifier, and note it if the source has one."""
    _, bias = model.classifier
    if bias in state:
        there, here = state[bias].numel(), own[bias].numel()
        change = f"for {here} classes instead of {there}" if there != here else f"for {here} other classes"
        report.notes.append(f"a new classifier, {change}")
    report.unused += [name for name in model.classifier if state.pop(name, None) is not None]
    report.new += model.classifier


def _check_names(model: VideoNet, own: State, state: State, report: LoadReport, where: str) -> None:
    counters = "num_batches_tracked"  # missing in old files; no result depends on them
    missing = [k for k in own if k not in state and k not in report.new and not k.endswith(counters)]
    unexpected = [k for k in state if k not in own]
    reshaped = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    faults = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    if any(names for _, names in faults):
        text = "; ".join(f"{len(names)} {what}: {few(names, 6)}" for what, names in faults if names)
        fix = "build the network that the weights were made for (--net, --arch, the data set)"
        if not any(name in own for name in state):
            fix = f"none of its names ({few(list(state))}) is known; rename them to those of a known layout"
        if all(name.split(" ")[0] in model.classifier for name in missing + unexpected + reshaped):
            fix = (
                "the class counts differ: give its own class names (--classes) or data set, or start a training "
                "from it with --tune_from"
            )
        raise InputError(f"{where} (layout of {LAYOUTS[report.layout]}) does not fit: {text}; {fix}")


def _state_dict(content: Any, where: str) -> tuple[State, list[str]]:
    """The weights in a checkpoint, and a note if it has others with the same names that are not used."""
    state, others = content, []
    for _ in STATE_KEYS:  # they may be nested
        outer = state if isinstance(state, Mapping) else {}
        key = next((key for key in STATE_KEYS if isinstance(outer.get(key), Mapping)), None)
        if key is None:
            break
        state = outer[key]
        alike = [name for name, value in outer.items() if isinstance(value, Mapping) and value.keys() == state.keys()]
        others += [short(repr(name)) for name in alike if name != key]
    if not isinstance(state, Mapping) or not state or not all(map(_is_parameter, state, state.values())):
        keys = [short(repr(key)) for key in content] if isinstance(content, Mapping) else []
        raise InputError(
            f"{where} has no state dict of dense, real tensors (its keys: {few(keys, 8) or 'none'}); "
            f"use a checkpoint of a training run, or save the weights under {STATE_KEYS[0]!r}"
        )
    return dict(state), [f"not loaded: others with the same names, {few(others)}"] if others else []


def _is_parameter(name: Any, value: Any) -> bool:
    is_real = isinstance(value, Tensor) and not value.is_complex() and not value.is_quantized
    return isinstance(name, str) and is_real and value.layout == torch.strided and value.device.type != "meta"
