"""The networks that are measured, by name, and what is measured of them: an evaluation, or a step of training.

A variant is a network with what is done to it: `h2cn`, `tsn+prepared`, `torchvision+channels_last`, `naive+bf16`. All
take clips of the same batch size, segments and pixels, already normalised and on the device, each in the memory layout
that it is fastest with.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from ops.fuse import fuse_for_inference
from ops.mixing.mixer import mix_method
from ops.mixing.svmix import SvMixSettings
from ops.models import NETS, build_model
from ops.network import VideoNet
from ops.runtime import Runtime
from references.naive_h2cn import NaiveH2CN

OURS = {"h2cn": "H2CN", "tsn": "TSN", "tsm": "TSM", "tdn": "TDN"}
NETWORKS = ("torchvision", "naive", *OURS)
CHANGES = {
    "channels_last": "torchvision's in this memory layout instead of NCHW",
    "prepared": "by fuse_for_inference; ours, evaluation only",
    "compiled": "by torch.compile",
    "bf16": "under autocast to bfloat16",
    "svmix": "trained with SV-Mix; ours, step only",
}


@dataclass(frozen=True)
class Setting:
    """What all networks of a measurement have in common.

    Attributes:
        arch: backbone.
        batch_size: N, clips.
        segments: T.
        size: H = W in pixels.
        device: of the networks.
        training: a step of training instead of an evaluation.
        num_class: K.
        malloc: what new processes do with freed memory; this one has decided.
    """

    arch: str
    batch_size: int
    segments: int
    size: int
    device: torch.device
    training: bool
    num_class: int = 174
    malloc: str = "system"


@dataclass(frozen=True)
class Variant:
    """A network and what is done to it; `changes` of `CHANGES`."""

    network: str
    changes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """An argparse type."""
        network, *changes = text.split("+")
        if network not in NETWORKS or not set(changes) <= set(CHANGES):
            raise argparse.ArgumentTypeError(
                f"{text!r}: write a network of {', '.join(NETWORKS)}, then what is done to it: +{', +'.join(CHANGES)}"
            )
        of_ours = {"prepared", "svmix"} & set(changes)
        if ("channels_last" in changes and network != "torchvision") or (of_ours and network not in OURS):
            raise argparse.ArgumentTypeError(
                f"{text!r}: +channels_last goes with torchvision, +prepared and +svmix with ours"
            )
        return cls(network, frozenset(changes))

    def __str__(self) -> str:
        return "+".join([self.network, *(change for change in CHANGES if change in self.changes)])


class KeyFrames(nn.Module):
    """An image network on the key frames of a clip, its scores averaged: what TSN is."""

    def __init__(self, network: nn.Module, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.network, self.memory_format = network, memory_format

    def forward(self, clip: Tensor) -> Tensor:
        """(N, T, 1, 3, H, W) -> (N, K)."""
        frames = clip.flatten(0, 2).contiguous(memory_format=self.memory_format)  # no copy: it lies so already
        return self.network(frames).unflatten(0, clip.shape[:2]).mean(1)


def build(variant: Variant, setting: Setting) -> tuple[nn.Module, Tensor]:
    """A network with random weights, the same for the same `setting`, and a clip (N, T, L, 3, H, W) for it."""
    torch.manual_seed(0)
    network: nn.Module
    if variant.network == "torchvision":
        layout = torch.channels_last if "channels_last" in variant.changes else torch.contiguous_format
        resnet = torchvision.models.get_model(setting.arch, num_classes=setting.num_class)
        network = KeyFrames(resnet.to(memory_format=layout), layout)
    elif variant.network == "naive":
        layout, network = torch.contiguous_format, NaiveH2CN.from_network(_ours("H2CN", setting))
    else:
        network = _ours(OURS[variant.network], setting)
        layout = network.memory_format
    network = network.to(setting.device).train(setting.training)
    if "prepared" in variant.changes:
        network = fuse_for_inference(network)
    if "compiled" in variant.changes:
        network = torch.compile(network)
    return network, _clip(variant.network, setting, layout)


def _ours(net: str, setting: Setting) -> VideoNet:
    model = build_model(net, setting.arch, setting.num_class, setting.segments)
    return Runtime(setting.device).place(model)


def _clip(network: str, setting: Setting, layout: torch.memory_format) -> Tensor:
    """A random clip; channels-last as the loader lays it out: the 3 colours of a pixel together."""
    frames = NETS[{**OURS, "naive": "H2CN"}.get(network, "TSN")].frames_per_segment
    shape = (setting.batch_size, setting.segments, frames, 3, setting.size, setting.size)
    clip = torch.randn(shape, device=setting.device)
    if layout == torch.channels_last:
        clip = clip.permute(0, 1, 2, 4, 5, 3).contiguous().permute(0, 1, 2, 5, 3, 4)
    return clip


def make_call(variant: Variant, setting: Setting) -> Callable[[], object]:
    """The evaluation or the step of training that is measured.

    A step is forward, cross-entropy, backward, and SGD's step with momentum and decay; the gradients are dropped at its
    end, so that its peak of memory holds them.
    """
    network, clip = build(variant, setting)
    options = {"normalised": True} if variant.network in OURS else {}
    autocast = torch.autocast(setting.device.type, torch.bfloat16, enabled="bf16" in variant.changes)

    def evaluate() -> Tensor:
        with torch.inference_mode(), autocast:
            return network(clip, **options)

    if not setting.training:
        return evaluate
    label = torch.arange(setting.batch_size, device=setting.device) % setting.num_class
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    if "svmix" in variant.changes:
        return _svmix_step(network, clip, label, optimiser, autocast, setting)

    def step() -> None:
        with autocast:
            loss = F.cross_entropy(network(clip, **options), label)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def _svmix_step(
    network: Any, clip: Tensor, label: Tensor, optimiser: torch.optim.Optimizer, autocast: Any, setting: Setting
) -> Callable[[], object]:
    """The same step on clips that SV-Mix has mixed, with what its selector learns and its teacher."""
    method = mix_method("svmix", network, setting.size, Runtime(setting.device), SvMixSettings())
    no_scaler = torch.amp.GradScaler(setting.device.type, enabled=False)
    rng = np.random.default_rng(0)

    def step() -> None:
        blend = method.blend(clip, label, rng)
        with autocast:
            loss = F.cross_entropy(network(blend.clip, normalised=True), blend.target(label, setting.num_class))
        (loss + blend.loss).backward()  # type: ignore[operator]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        method.step(network, no_scaler, 1e-4, "the benchmark")

    return step
