"""State dicts of other code bases -> ours. Pure functions from names and tensors to names and tensors."""

import re

from torch import Tensor

State = dict[str, Tensor]

# Official H2CN name (of a module) -> ours. `layerN_bak` is plain `layerN`, `mtdin` is the block's gate.
_H2CN_MODULES = (
    (r"^base_model\.fhgc1\.0\.", "motion.hourglass1."),
    (r"^base_model\.fhgc1\.1\.", "motion.bn1."),
    (r"^base_model\.fhgc2\.0\.", "motion.hourglass2."),
    (r"^base_model\.fhgc2\.1\.", "motion.bn2."),
    (r"^base_model\.conv_fhgc\.0\.", "motion.conv."),
    (r"^base_model\.conv_fhgc\.1\.", "motion.bn."),
    (r"^base_model\.(layer\d)_bak\.", r"\1."),
    (r"^base_model\.", ""),
    (r"^new_fc\.", "fc."),
)
_CLIP_MOTION = (
    (r"(^|\.)mtdin\.", r"\1gate."),
    (r"gate\.conv1\.", "gate.reduce."),
    (r"gate\.bn1\.", "gate.reduce_bn."),
    (r"gate\.conv2\.weight$", "gate.hourglass.spatial"),
    (r"gate\.convt\.weight$", "gate.hourglass.temporal"),
    (r"gate\.conv3\.", "gate.expand."),
    (r"gate\.bn3\.", "gate.expand_bn."),
)
_FRAME_HOURGLASS = ((r"spaAgg\.weight$", "spatial"), (r"convt\.weight$", "temporal"))
_UNUSED = re.compile(r"^base_model\.conv1_temp\.")  # a second stem, registered and never run


def layout_of(state: State) -> str:
    """The code base a state dict comes from: "h2cn" (official), "torchvision" (a ResNet), or "ours"."""
    if any(key.startswith("base_model.fhgc1.") for key in state):
        return "h2cn"
    if "conv1.weight" in state and not any(key.startswith("motion.") or ".gate." in key for key in state):
        return "torchvision"
    return "ours"


def strip_data_parallel(state: State) -> State:
    """Without the `module.` that DataParallel puts before every name."""
    return {key.removeprefix("module."): value for key, value in state.items()}


def from_official_h2cn(state: State) -> tuple[State, list[str]]:
    """The official H2CN layout in our names.

    Returns:
        Our state dict, and the official names that no layer uses (`base_model.conv1_temp.*`).
    """
    unused = [key for key in state if _UNUSED.match(key)]
    ours: State = {}
    for key, value in state.items():
        if key in unused:
            continue
        name = rename(key)
        ours[name] = value.reshape(-1, 3) if name.endswith(".temporal") else value  # (C, 1, 3, 1, 1) -> (C, 3)
    return fold_biases(ours), unused


def rename(key: str) -> str:
    """One official H2CN name -> ours."""
    for pattern, name in (*_H2CN_MODULES, *_CLIP_MOTION, *_FRAME_HOURGLASS):
        key = re.sub(pattern, name, key)
    return key


def fold_biases(state: State) -> State:
    """Move the bias of a convolution that feeds a BatchNorm into this BatchNorm's running mean, which is exact.

    BN(x + b) with running mean m is BN(x) with running mean m - b; in training the batch's own mean takes the
    bias out. The official H2CN has such biases in `conv1` and in the downsample convolutions.
    """
    state = dict(state)
    for key in [key for key in state if re.search(r"(^|\.)(conv1|downsample\.0)\.bias$", key)]:
        bias = state.pop(key)
        norm = key.replace("conv1.bias", "bn1").replace("downsample.0.bias", "downsample.1")
        state[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] - bias
    return state
