"""Networks by name."""

from functools import partial

from errors import InputError
from ops.checkpoint import load_pretrained
from ops.h2cn import ClipMotion, FrameMotion
from ops.network import ARCHS, VideoNet
from ops.shift import TemporalShift

NETS = ("H2CN",)
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
    _require_one_of("--net", net, NETS)
    _require_one_of("--arch", arch, tuple(ARCHS))
    _require_one_of("--consensus_type", consensus_type, CONSENSUS_TYPES)
    for flag, value in (("number of classes", num_class), ("--num_segments", num_segments)):
        if value < 1:
            raise InputError(f"{flag} is {value}; it must be 1 or more")
    model = VideoNet(
        arch,
        num_class,
        num_segments,
        frames_per_segment=FrameMotion.frames,
        dropout=dropout,
        motion=FrameMotion(),
        make_shift=partial(TemporalShift, num_segments),
        make_gate=partial(ClipMotion, num_segments=num_segments),
    )
    model.net = net
    if pretrain is not None:
        load_pretrained(model, pretrain)
    return model


def _require_one_of(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{flag} {value!r} is not known; choose one of {', '.join(known)}")
