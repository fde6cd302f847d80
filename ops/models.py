"""Networks by name: the table that command lines, checkpoints and tests read."""

from collections.abc import Callable, Collection
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from common.errors import InputError
from ops.choices import ABLATIONS, ARCHS, HOURGLASS_STARTS, TORCHVISION, TORCHVISION_NETS

if TYPE_CHECKING:  # command lines read this file, and torch takes seconds to load
    from ops.network import VideoNet


class NetworkEntry(NamedTuple):
    """The builder of a network, and the facts that are known without building it."""

    build: "Callable[..., VideoNet]"  # (NetworkName, dropout) -> VideoNet with random weights
    frames_per_segment: int  # L
    arch: str | None = None  # the only backbone it has; None: any of ARCHS, by --arch
    stride: int = 32  # H and W of a clip are multiples of it


def imported(module: str, name: str) -> "Callable[..., VideoNet]":
    """A builder whose module is imported when it is called."""
    return lambda *args, **options: getattr(import_module(module), name)(*args, **options)


# docs/extending.md shows how to add one.
NETS: dict[str, NetworkEntry] = {
    "H2CN": NetworkEntry(imported("ops.h2cn", "h2cn"), 5),
    "TDN": NetworkEntry(imported("ops.tdn", "tdn"), 5),
    "TSM": NetworkEntry(imported("ops.tsm", "tsm"), 1),
    # The plain ResNet on every segment (arXiv 1608.00859): blind to their order.
    "TSN": NetworkEntry(imported("ops.resnet", "ResNetVideo"), 1),
}
NETS |= {
    net: NetworkEntry(imported("ops.torchvision_nets", "TorchvisionNet"), 1, TORCHVISION, form.stride)
    for net, form in TORCHVISION_NETS.items()
}
FAMILY = tuple(net for net, entry in NETS.items() if entry.arch is None)  # those with a choice of --arch
CONSENSUS_TYPES = ("avg",)


def build_model(
    net: str,
    arch: str | None,
    num_class: int,
    num_segments: int,
    *,
    dropout: float = 0.5,
    consensus_type: str = "avg",
    ablate: Collection[str] = (),
    hourglass_start: str | None = None,
) -> "VideoNet":
    """Build a network of K = `num_class` classes and T = `num_segments` segments with random weights, silently.

    Args:
        net: one of `NETS`.
        arch: one of `ARCHS`; ignored for networks that have only one backbone.
        dropout: share of the features before the classifier that training sets to zero.
        consensus_type: how the segments' scores become the clip's: "avg".
        ablate: parts of H2CN to leave out, from `ABLATIONS`.
        hourglass_start: one of `HOURGLASS_STARTS`, by default the first; only H2CN uses it.

    Raises:
        InputError: an unknown name, a number below 1, or numbers that the network cannot be built for.
    """
    from ops.network import NetworkName

    _require_one_of("--net", net, NETS)
    _require_one_of("--consensus_type", consensus_type, CONSENSUS_TYPES)
    for flag, value in (("number of classes", num_class), ("--num_segments", num_segments)):
        if value < 1:
            raise InputError(f"{flag} is {value}; it must be 1 or more")
    if ablate and net != "H2CN":
        raise InputError(f"--ablate leaves out parts of H2CN; {net} has none of them")
    for part in ablate:
        _require_one_of("--ablate", part, ABLATIONS)
    start = hourglass_start or next(iter(HOURGLASS_STARTS))
    _require_one_of("--hourglass_start", start, HOURGLASS_STARTS)
    entry = NETS[net]
    if entry.arch is None:
        _require_one_of("--arch", str(arch), ARCHS)
    name = NetworkName(net, entry.arch or str(arch), num_class, num_segments, tuple(sorted(set(ablate))))
    options: dict[str, Any] = {"start": start} if net == "H2CN" else {}
    model = entry.build(name, dropout, **options)
    model.stride = entry.stride
    if model.frames_per_segment != entry.frames_per_segment and not ablate:  # without FMCB, L is 1
        raise ValueError(
            f"the entry of {net} in ops/models.py says {entry.frames_per_segment} frames per segment, the network "
            f"takes {model.frames_per_segment}; correct the entry"
        )
    return model


def _require_one_of(flag: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise InputError(f"{flag} {value!r} is not known; choose one of {', '.join(known)}")


def require_stride(net: str, input_size: int) -> None:
    """Refuse an input size in pixels that is not a multiple of the network's stride."""
    stride = NETS[net].stride
    if input_size % stride:
        near = max(stride, stride * round(input_size / stride))
        raise InputError(
            f"--input_size {input_size} is not a multiple of {stride}, {net}'s stride; the nearest is {near}"
        )
