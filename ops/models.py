"""Networks by name: what each puts into the ResNet, and those that torchvision builds."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from common.errors import InputError
from ops.blocks import ARCHS, MakeParts, Parts, make_stage, no_parts
from ops.h2cn import HOURGLASS_STARTS, ClipMotion, FrameMotion
from ops.network import NetworkName, VideoNet
from ops.resnet import Motion, ResNetVideo
from ops.shift import ShiftedConv2d
from ops.tdn import LearnableShift, LongTermDifference, ShortTermDifference
from ops.torchvision_nets import TORCHVISION, TORCHVISION_NETS, TorchvisionNet
from ops.weights.pretrained import load_pretrained


class Design(NamedTuple):
    """What makes a ResNet a video network."""

    motion: Motion | None
    make_parts: MakeParts


# Parts of H2CN that an ablation can leave out.
ABLATIONS = {
    "fmcb": "no frame-level motion: the key frame alone",
    "cmcb": "no clip-level gates",
    "aggregation": "hourglasses without their neighbourhood A: rigid temporal convolutions",
    "shift": "no temporal shift",
}


def h2cn(arch: str, num_segments: int, ablate: Collection[str], start: str) -> Design:
    """Hourglass convolutions: FMCB between frames, in every block a shift and CMCB between segments."""
    options: dict[str, Any] = {"aggregate": "aggregation" not in ablate, "start": start}

    def make_parts(stage: int, block: int, channels: int) -> Parts:
        first_conv = nn.Conv2d if "shift" in ablate else partial(ShiftedConv2d, num_segments=num_segments)
        gate = nn.Identity() if "cmcb" in ablate else ClipMotion(channels, num_segments, **options)
        return Parts(first_conv, gate)

    return Design(None if "fmcb" in ablate else FrameMotion(**options), make_parts)


def tdn(arch: str, num_segments: int) -> Design:
    """Differences (arXiv 2012.10071): of frames, and in the blocks of stages 2 to 4 of segments."""

    def make_parts(stage: int, block: int, channels: int) -> Parts:
        if stage == 1:
            return no_parts(stage, block, channels)
        long_term = nn.Sequential(LongTermDifference(channels, num_segments), LearnableShift(channels, num_segments))
        return Parts(nn.Conv2d, long_term)

    return Design(ShortTermDifference(make_stage(arch, 1, no_parts), num_segments), make_parts)


def tsm(arch: str, num_segments: int) -> Design:
    """Shift (arXiv 1811.08383) in every block; from ResNet-101 on in every second one, as in the official code."""
    every = 2 if ARCHS[arch][1][2] >= 23 else 1

    def make_parts(stage: int, block: int, channels: int) -> Parts:
        first_conv = partial(ShiftedConv2d, num_segments=num_segments) if block % every == 0 else nn.Conv2d
        return Parts(first_conv, nn.Identity())

    return Design(None, make_parts)


def tsn(arch: str, num_segments: int) -> Design:
    """The plain ResNet on every segment (arXiv 1608.00859): blind to their order."""
    return Design(None, no_parts)


DESIGNS: dict[str, Callable[..., Design]] = {"H2CN": h2cn, "TDN": tdn, "TSM": tsm, "TSN": tsn}
NETS = (*DESIGNS, *TORCHVISION_NETS)
CONSENSUS_TYPES = ("avg",)


def build_model(
    net: str,
    arch: str | None,
    num_class: int,
    num_segments: int,
    *,
    dropout: float = 0.5,
    consensus_type: str = "avg",
    pretrain: str | None = None,
    ablate: Collection[str] = (),
    hourglass_start: str | None = None,
) -> VideoNet:
    """A network by name, silent.

    Args:
        net: one of `NETS`.
        arch: one of `ARCHS`. torchvision's video networks come in one form each; for them it is not read.
        num_class: K.
        num_segments: T.
        dropout: share of the features before the classifier that training sets to zero.
        consensus_type: how the segments' scores become the clip's: "avg".
        pretrain: None for a random start, else what `load_pretrained` takes.
        ablate: parts of H2CN to leave out, from `ABLATIONS`.
        hourglass_start: one of `HOURGLASS_STARTS`, None: the first; read by H2CN alone.

    Raises:
        InputError: an unknown name, a number below 1, or numbers that the network cannot be built for.
    """
    _require_one_of("--net", net, NETS)
    _require_one_of("--consensus_type", consensus_type, CONSENSUS_TYPES)
    for flag, value in (("number of classes", num_class), ("--num_segments", num_segments)):
        if value < 1:
            raise InputError(f"{flag} is {value}; it must be 1 or more")
    if ablate and net != "H2CN":
        raise InputError(f"--ablate leaves out parts of H2CN; {net} has none of them")
    start = hourglass_start or next(iter(HOURGLASS_STARTS))
    _require_one_of("--hourglass_start", start, tuple(HOURGLASS_STARTS))
    for part in ablate:
        _require_one_of("--ablate", part, tuple(ABLATIONS))
    model: VideoNet
    if net in TORCHVISION_NETS:
        identity = NetworkName(net, TORCHVISION, num_class, num_segments)
        model = TorchvisionNet(identity, dropout)
    else:
        _require_one_of("--arch", str(arch), tuple(ARCHS))
        identity = NetworkName(net, str(arch), num_class, num_segments, tuple(sorted(set(ablate))))
        options = {"ablate": identity.ablate, "start": start} if net == "H2CN" else {}
        model = ResNetVideo(identity, dropout, *DESIGNS[net](arch, num_segments, **options))
    if pretrain is not None:
        load_pretrained(model, pretrain)
    return model


def frames_per_segment(net: str) -> int:
    """L of a whole network (without ablations), by its name."""
    return {"H2CN": FrameMotion.frames, "TDN": ShortTermDifference.frames}.get(net, 1)


def _require_one_of(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{flag} {value!r} is not known; choose one of {', '.join(known)}")


def stride_of(net: str) -> int:
    """H and W of a network's clips, torchvision's or a ResNet, are multiples of this."""
    return TORCHVISION_NETS[net].stride if net in TORCHVISION_NETS else 32


def require_stride(net: str, input_size: int) -> None:
    """Refuse an input size that is no multiple of the network's stride.

    Raises:
        InputError: it is none.
    """
    stride = stride_of(net)
    if input_size % stride:
        near = max(stride, stride * round(input_size / stride))
        raise InputError(
            f"--input_size {input_size} is not a multiple of {stride}, {net}'s stride; the nearest is {near}"
        )
