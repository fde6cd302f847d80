"""State dicts of other projects in our names. Pure functions of names and tensors."""

import re

from torch import Tensor

from common.errors import InputError, few
from ops.resnet import ResNetVideo

State = dict[str, Tensor]
Rules = tuple[tuple[str, str], ...]  # regular expressions and their replacements, applied in order

# Each official layout is named after its network.
_COMMON: Rules = ((r"^base_model\.(layer\d)_bak\.", r"\1."), (r"^base_model\.", ""), (r"^new_fc\.", "fc."))
_RULES: dict[str, Rules] = {
    "H2CN": (
        (r"^base_model\.fhgc1\.0\.", "motion.hourglass1."),
        (r"^base_model\.fhgc1\.1\.", "motion.bn1."),
        (r"^base_model\.fhgc2\.0\.", "motion.hourglass2."),
        (r"^base_model\.fhgc2\.1\.", "motion.bn2."),
        (r"^base_model\.conv_fhgc\.0\.", "motion.conv."),
        (r"^base_model\.conv_fhgc\.1\.", "motion.bn."),
        *_COMMON,
        (r"(^|\.)mtdin\.", r"\1gate."),
        (r"gate\.conv1\.", "gate.reduce."),
        (r"gate\.bn1\.", "gate.reduce_bn."),
        (r"gate\.conv2\.weight$", "gate.hourglass.spatial"),
        (r"gate\.convt\.weight$", "gate.hourglass.temporal"),
        (r"gate\.conv3\.", "gate.expand."),
        (r"gate\.bn3\.", "gate.expand_bn."),
        (r"spaAgg\.weight$", "spatial"),
        (r"convt\.weight$", "temporal"),
    ),
    "TDN": (
        (r"^base_model\.conv1_5\.0\.", "motion.conv."),
        (r"^base_model\.conv1_5\.1\.", "motion.bn."),
        (r"^base_model\.resnext_layer1\.", "motion.stage1."),
        *_COMMON,
        (r"\.mse\.conv3_smallscale2\.", ".gate.0.half_scale."),
        (r"\.mse\.bn3_smallscale2\.", ".gate.0.half_scale_bn."),
        (r"\.mse\.conv3_smallscale4\.", ".gate.0.full_scale."),
        (r"\.mse\.bn3_smallscale4\.", ".gate.0.full_scale_bn."),
        (r"\.mse\.conv1\.", ".gate.0.reduce."),
        (r"\.mse\.bn1\.", ".gate.0.reduce_bn."),
        (r"\.mse\.conv2\.", ".gate.0.spatial."),
        (r"\.mse\.conv3\.", ".gate.0.expand."),
        (r"\.mse\.bn3\.", ".gate.0.expand_bn."),
        (r"\.shift\.conv\.weight$", ".gate.1.temporal"),
    ),
    "TSM": (*_COMMON, (r"\.net\.weight$", ".weight")),
    "TSN": _COMMON,
}
OFFICIAL = tuple(_RULES)
# Each of torchvision's video networks has one of these parameters, and nothing else has.
_TORCHVISION_VIDEO = ("stem.3.weight", "pos_encoding.class_token", "patch_embed.proj.weight", "features.0.0.0.weight")
_UNUSED = re.compile(r"^base_model\.conv1_temp\.")  # an unused second stem of H2CN and TDN
_BIAS = re.compile(r"(^|\.)(conv[123]|downsample\.0)\.bias$")
_WRAPPERS = {"module", "_orig_mod"}
IMAGENET_CLASSES = 1000


def layout_of(state: State) -> str:
    """The origin of a state dict: the network of an official layout, one of torchvision's two, or "ours".

    "torchvision" is a ResNet, "torchvision video" a video network.
    """
    if any(key.startswith("base_model.fhgc1.") for key in state):
        return "H2CN"
    if any(key.startswith("base_model.conv1_5.") for key in state):
        return "TDN"
    if any(key.endswith(".conv1.net.weight") for key in state):
        return "TSM"
    if any(key.startswith("base_model.") for key in state):
        return "TSN"
    if any(key in state for key in _TORCHVISION_VIDEO):
        return "torchvision video"
    # Our TSN and TSM have torchvision's names, but not 1,000 classes.
    if is_plain_resnet(state) and ("fc.weight" not in state or state["fc.weight"].shape[0] == IMAGENET_CLASSES):
        return "torchvision"
    return "ours"


def is_plain_resnet(state: State) -> bool:
    """Whether this is a ResNet with torchvision's names and without temporal modules."""
    return "conv1.weight" in state and not any(map(ResNetVideo.is_temporal, state))


def strip_wrappers(state: State, where: str) -> State:
    """Remove what wrappers add to names: DataParallel `module`, torch.compile `_orig_mod`, nested or not."""
    names = {key: ".".join(word for word in key.split(".") if word not in _WRAPPERS) for key in state}
    return _renamed(state, names, where)


def from_official(state: State, layout: str, shifted: set[str], where: str) -> tuple[State, list[str], list[str]]:
    """The official layout of a network in our names; names in it that no layer uses; ours of values that it reshapes.

    A temporal kernel of another shape, or a TSM that shifts in front of other convolutions than `shifted` (our names),
    raises an `InputError`.
    """
    unused = [key for key in state if _UNUSED.match(key)]
    names = {key: rename(key, layout) for key in state if key not in unused}
    ours = _renamed(state, names, where)
    temporal = {name: key for key, name in names.items() if name.endswith(".temporal")}
    for name, key in temporal.items():  # kernels (C, 1, 3, 1, 1) and (C, 1, 3) -> (C, 3)
        if ours[name].shape[1:] not in ((1, 3, 1, 1), (1, 3)):
            raise InputError(f"{where}: {key} has shape {tuple(ours[name].shape)}; a temporal kernel has 3 taps")
        ours[name] = ours[name].reshape(-1, 3)
    if layout == "TSM":
        differing = few(sorted(shifted ^ {name for key, name in names.items() if ".net." in key}), 6)
        if differing:
            raise InputError(f"{where} shifts in front of other convolutions than this network: {differing}")
    return fold_biases(ours, where), unused, list(temporal)


def _renamed(state: State, names: dict[str, str], where: str) -> State:
    """Their names -> ours. Two of theirs with one name of ours are an `InputError`: one would be lost silently."""
    origin: dict[str, str] = {}
    for key, name in names.items():
        if name in origin:
            raise InputError(f"{where}: {origin[name]} and {key} are both {name} here; remove the unused one")
        origin[name] = key
    return {name: state[key] for name, key in origin.items()}


def rename(key: str, layout: str) -> str:
    """Our name for an official one."""
    for pattern, name in _RULES[layout]:
        key = re.sub(pattern, name, key)
    return key


def norm_of(bias: str) -> str | None:
    """The BatchNorm after the convolution that has this bias; None for all other names."""
    if not _BIAS.search(bias):
        return None
    name = bias.removesuffix(".bias")
    if name.endswith("downsample.0"):
        return f"{name.removesuffix('0')}1"
    return f"{name[:-5]}bn{name[-1]}"


def fold_biases(state: State, where: str = "the given state dict") -> State:
    """Move the biases of convolutions before a BatchNorm into its running mean, which is exact.

    BN(x + b) with running mean m equals BN(x) with running mean m - b; in training the batch mean cancels the bias. The
    official H2CN has such biases in `conv1` and the downsample convolutions, TDN in the whole ResNet. A bias
    without its BatchNorm raises an `InputError`.
    """
    state = dict(state)
    for key in list(state):
        norm = norm_of(key)
        if norm is not None:
            mean = f"{norm}.running_mean"
            if mean not in state:
                raise InputError(f"{where} has no {mean} for the bias of the convolution before it")
            state[mean] = state[mean] - state.pop(key)
    return state
