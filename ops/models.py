"""Networks by name: what each puts into the ResNet."""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from errors import InputError
from ops.blocks import ARCHS, MakeParts, Parts, make_stage, no_parts
from ops.checkpoint import load_pretrained
from ops.h2cn import ClipMotion, FrameMotion
from ops.network import Motion, VideoNet
from ops.shift import TemporalShift
from ops.tdn import LearnableShift, LongTermDifference, ShortTermDifference


class Design(NamedTuple):
    """What makes a ResNet a video network."""

    motion: Motion | None
    make_parts: MakeParts


def h2cn(arch: str, num_segments: int) -> Design:
    """Hourglass convolutions: FMCB between frames, in every block a shift and CMCB between segments."""

    def make_parts(stage: int, block: int, channels: int) -> Parts:
        return Parts(TemporalShift(num_segments), ClipMotion(channels, num_segments))

    return Design(FrameMotion(), make_parts)


def tdn(arch: str, num_segments: int) -> Design:
    """Differences (arXiv 2012.10071): of frames, and in the blocks of stages 2 to 4 of segments."""

    def make_parts(stage: int, block: int, channels: int) -> Parts:
        if stage == 1:
            return no_parts(stage, block, channels)
        long_term = nn.Sequential(LongTermDifference(channels, num_segments), LearnableShift(channels, num_segments))
        return Parts(nn.Identity(), long_term)

    return Design(ShortTermDifference(make_stage(arch, 1, no_parts), num_segments), make_parts)


def tsm(arch: str, num_segments: int) -> Design:
    """Shift (arXiv 1811.08383) in every block; from ResNet-101 on in every second one, as in the official code."""
    every = 2 if ARCHS[arch][1][2] >= 23 else 1

    def make_parts(stage: int, block: int, channels: int) -> Parts:
        return Parts(TemporalShift(num_segments) if block % every == 0 else nn.Identity(), nn.Identity())

    return Design(None, make_parts)


def tsn(arch: str, num_segments: int) -> Design:
    """The plain ResNet on every segment (arXiv 1608.00859): blind to their order."""
    return Design(None, no_parts)


NETS: dict[str, Callable[[str, int], Design]] = {"H2CN": h2cn, "TDN": tdn, "TSM": tsm, "TSN": tsn}
CONSENSUS_TYPES = ("avg",)


def build_model(
    net: str,
    arch: str,
    num_class: int,
    num_segments: int,
    *,
    dropout: float = 0.5,
    consensus_type: str = "avg",
    pretrain: str | None = None,
) -> VideoNet:
    """A network by name, silent.

    Args:
        net: one of `NETS`.
        arch: one of `ARCHS`.
        num_class: K.
        num_segments: T.
        dropout: share of the features before the classifier that training sets to zero.
        consensus_type: how the segments' scores become the clip's: "avg".
        pretrain: None for a random start, "imagenet" for torchvision's weights of `arch`, or a file with them.

    Raises:
        InputError: an unknown name, or a number below 1.
    """
    _require_one_of("--net", net, tuple(NETS))
    _require_one_of("--arch", arch, tuple(ARCHS))
    _require_one_of("--consensus_type", consensus_type, CONSENSUS_TYPES)
    for flag, value in (("number of classes", num_class), ("--num_segments", num_segments)):
        if value < 1:
            raise InputError(f"{flag} is {value}; it must be 1 or more")
    motion, make_parts = NETS[net](arch, num_segments)
    model = VideoNet(arch, num_class, num_segments, dropout=dropout, motion=motion, make_parts=make_parts)
    model.net = net
    if pretrain is not None:
        load_pretrained(model, pretrain)
    return model


def _require_one_of(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{flag} {value!r} is not known; choose one of {', '.join(known)}")
