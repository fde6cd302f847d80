"""The networks to measure, by name, and the call to measure: an evaluation or a training step.

A variant is a network with changes: `h2cn`, `tsn+prepared`, `torchvision+channels_last`, `naive+bf16`. All variants
take clips of the same batch size, segments and pixels, already normalised and on the device, each in its fastest memory
layout.
"""

import argparse
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from common.errors import InputError
from ops.fuse import fuse_for_inference
from ops.mixing.mixer import mix_method
from ops.mixing.svmix import SvMixSettings
from ops.models import NETS, build_model
from ops.recompute import recompute_blocks
from ops.runtime import Runtime
from references.naive_h2cn import NaiveH2CN

OURS = {"h2cn": "H2CN", "tsn": "TSN", "tsm": "TSM", "tdn": "TDN"}
NETWORKS = ("torchvision", "naive", *OURS)
EQUIVALENT = {**OURS, "naive": "H2CN", "torchvision": "TSN"}  # the network of ours that computes the same
# Change -> description, and the networks that it can be applied to.
CHANGES: dict[str, tuple[str, Collection[str]]] = {
    "channels_last": ("this memory layout instead of NCHW (torchvision only)", ("torchvision",)),
    "prepared": ("fused by fuse_for_inference (ours, evaluation only)", OURS),
    "compiled": ("compiled by torch.compile", NETWORKS),
    "bf16": ("under autocast to bfloat16", NETWORKS),
    "recomputed": ("with --checkpoint_activations (ours, training step only)", OURS),
    "svmix": ("trained with SV-Mix (ours, training step only)", OURS),
}


@dataclass(frozen=True)
class Setting:
    """Settings shared by all variants of a measurement."""

    arch: str
    batch_size: int  # N
    segments: int  # T
    size: int  # H = W in pixels
    device: torch.device
    training: bool  # a training step instead of an evaluation
    num_class: int = 174  # K
    malloc: str = "system"  # in new processes, one of `ops.choices.MALLOC`


@dataclass(frozen=True)
class Variant:
    """A network and its changes, keys of `CHANGES`."""

    network: str
    changes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """An argparse type."""
        network, *changes = text.split("+")
        if network not in NETWORKS or not set(changes) <= set(CHANGES):
            allowed = f"give one of {', '.join(NETWORKS)}, then any of +{', +'.join(CHANGES)}"
            raise argparse.ArgumentTypeError(f"{text!r}: {allowed}")
        for change in changes:
            fitting = CHANGES[change][1]
            if network not in fitting:
                raise argparse.ArgumentTypeError(f"{text!r}: +{change} is only for {', '.join(fitting)}")
        return cls(network, frozenset(changes))

    def __str__(self) -> str:
        return "+".join([self.network, *(change for change in CHANGES if change in self.changes)])


class KeyFrames(nn.Module):
    """An image network on the key frames of a clip, with averaged scores, as in TSN."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, clip: Tensor) -> Tensor:
        """(N, T, 1, 3, H, W) -> (N, K)."""
        return self.network(clip.flatten(0, 2)).unflatten(0, clip.shape[:2]).mean(1)


def build(variant: Variant, setting: Setting) -> tuple[Any, Tensor]:
    """A network and a clip (N, T, L, 3, H, W); the weights are random but the same for the same `setting`."""
    torch.manual_seed(0)
    net = EQUIVALENT[variant.network]
    network: Any
    if variant.network == "torchvision":
        if setting.arch not in torchvision.models.list_models():
            raise InputError(f"torchvision has no {setting.arch}; choose another --arch, or networks of --variants")
        network = KeyFrames(torchvision.models.get_model(setting.arch, num_classes=setting.num_class))
    else:
        network = build_model(net, setting.arch, setting.num_class, setting.segments)
    if variant.network == "naive":
        network = NaiveH2CN.from_network(network)
    by_pixel = variant.network in OURS or "channels_last" in variant.changes  # the fastest layout of ours
    layout = torch.channels_last if by_pixel else torch.contiguous_format
    network = network.to(setting.device, memory_format=layout).train(setting.training)
    if "recomputed" in variant.changes:
        recompute_blocks(network)
    if "prepared" in variant.changes:
        network = fuse_for_inference(network)
    if "compiled" in variant.changes:
        network = torch.compile(network)
    frames = NETS[net].frames_per_segment
    shape = (setting.batch_size, setting.segments, frames, 3, setting.size, setting.size)
    clip = torch.randn(shape, device=setting.device)
    if by_pixel:  # as the loader makes it: the 3 colours of a pixel are adjacent in memory
        clip = clip.movedim(3, -1).contiguous().movedim(-1, 3)
    return network, clip


def make_call(variant: Variant, setting: Setting) -> Callable[[], object]:
    """The evaluation or the training step to measure.

    A step is forward, cross-entropy, backward, and SGD's step with momentum and weight decay. It drops the gradients at
    its end, so its memory peak includes them. With SV-Mix it also mixes the clips and trains selector and teacher.
    """
    network, clip = build(variant, setting)
    device = setting.device
    options = {"normalised": True} if variant.network in OURS else {}
    autocast = torch.autocast(device.type, torch.bfloat16, enabled="bf16" in variant.changes)

    def evaluate() -> Tensor:
        with torch.inference_mode(), autocast:
            return network(clip, **options)

    if not setting.training:
        return evaluate
    label = torch.arange(setting.batch_size, device=device) % setting.num_class
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def step(inputs: Tensor = clip, target: Tensor = label, selector_loss: Any = 0.0) -> None:
        with autocast:
            loss = F.cross_entropy(network(inputs, **options), target)
        (loss + selector_loss).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    if "svmix" not in variant.changes:
        return step
    method = mix_method("svmix", network, setting.size, Runtime(device), SvMixSettings())
    no_scaler, rng = torch.amp.GradScaler(device.type, enabled=False), np.random.default_rng(0)

    def svmix_step() -> None:
        blend = method.blend(clip, label, rng, F.cross_entropy)
        step(blend.clip, blend.target(label, setting.num_class), blend.loss)
        method.step(network, no_scaler, 1e-4, "the benchmark")

    return svmix_step
