"""The H2CN network and its modules against the official ones, in float64."""

import numpy as np
import pytest
import torch
from fill import fill_array, make_input
from golden_data import dot_vector, golden_clip, largest_difference, load, official_state
from torch import nn

from ops.blocks import Bottleneck
from ops.checkpoint import load_weights
from ops.h2cn import ClipMotion
from ops.hourglass import FrameHourglass
from ops.layouts import fold_biases, rename
from ops.models import build_model
from ops.shift import TemporalShift, temporal_shift


def frame_hourglass(expand: int) -> nn.Module:
    """FrameHourglass behind the official module's shapes: (N*F, 3, H, W) -> (N*F', 3*expand, H, W)."""

    class Official(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hourglass = FrameHourglass(3, expand)
            self.frames = 5 if expand == 1 else 3

        def forward(self, x):
            y = self.hourglass(x.unflatten(0, (-1, self.frames)).transpose(1, 2))
            return y.transpose(1, 2).flatten(0, 1)

    return Official()


def bottleneck() -> Bottleneck:
    downsample = nn.Sequential(nn.Conv2d(32, 64, 1, stride=2, bias=False), nn.BatchNorm2d(64))
    return Bottleneck(32, 16, 2, downsample, lambda: TemporalShift(8), lambda channels: ClipMotion(channels, 8))


MODULES = {  # golden name -> (module, official local name -> ours)
    "fhgc1": (lambda: frame_hourglass(1), lambda key: f"hourglass.{rename(key)}"),
    "fhgc2": (lambda: frame_hourglass(3), lambda key: f"hourglass.{rename(key)}"),
    "chgc": (lambda: ClipMotion(64, 8), lambda key: rename(f"mtdin.{key}").removeprefix("gate.")),
    "chgc_1x1": (lambda: ClipMotion(64, 8), lambda key: rename(f"mtdin.{key}").removeprefix("gate.")),
    "bottleneck": (bottleneck, rename),
}
# How the golden module files came about, found by comparing at 1e-15: these three modules were filled in float32 and
# converted for the evaluation file; then the same object, still holding those gradients, was filled in float64 for the
# training file. The two chgc modules were filled in float32 both times.
ONE_OBJECT_FOR_BOTH_MODES = {"fhgc1", "fhgc2", "bottleneck"}


def filled(name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The official module's parameters and buffers by the fill rule, rounded to `dtype`, in float64.

    Local names and shapes are read off the golden training results.
    """
    shapes = {
        key.split(".", 1)[1]: value.shape
        for key, value in load(f"module_{name}_train").items()
        if key.startswith(("grad.", "buffer."))
    }
    return {key: torch.as_tensor(fill_array(f"{name}.{key}", s)).to(dtype).double() for key, s in shapes.items()}


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", MODULES)
def test_module_agrees_with_the_official_one(name: str, mode: str) -> None:
    make, ours = MODULES[name]
    golden = load(f"module_{name}_{mode}")
    second_use = mode == "train" and name in ONE_OBJECT_FOR_BOTH_MODES
    official = filled(name, torch.float64 if second_use else torch.float32)
    module = make().double()
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    state = fold_biases({ours(key): value for key, value in official.items()})
    module.load_state_dict({key: value.reshape(shapes[key]) for key, value in state.items()})
    module.train(mode == "train")

    x = make_input(golden["input_shape"]).requires_grad_()
    y = module(x)
    assert largest_difference(y, golden["output"]) < 1e-9
    (y * make_input(y.shape, seed=1)).sum().backward()
    assert largest_difference(x.grad, golden["input_grad"]) < 1e-7

    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    compared = set()
    earlier = load(f"module_{name}_eval") if second_use else {}
    for key, value in golden.items():
        kind, _, local = key.partition(".")
        if kind == "grad" and ours(local) in parameters:
            gradient = parameters[ours(local)].grad
            assert largest_difference(gradient.reshape(value.shape), value - earlier.get(key, 0.0)) < 1e-7, key
            compared.add(ours(local))
        elif kind == "buffer":
            buffer = buffers[ours(local)]
            if local == "downsample.1.running_mean":  # the official convolution's bias went in here
                buffer = buffer + official["downsample.0.bias"]
            assert largest_difference(buffer, value) < 1e-7, key
    assert compared == set(parameters)


def test_shift_agrees_with_the_official_one() -> None:
    golden = load("module_shift")
    assert np.array_equal(temporal_shift(make_input(golden["input_shape"]), 8), golden["output"])
    assert np.array_equal(temporal_shift(make_input(golden["input_shape_odd"]), 3), golden["output_odd"])


@pytest.fixture
def network():
    model = build_model("H2CN", "resnet50", 174, 8).double()
    load_weights(model, official_state())
    return model


STAGES = {"maxpool": "maxpool", "conv_fhgc": "motion.bn"} | {f"layer{i}_bak": f"layer{i}" for i in (1, 2, 3, 4)}


def test_network_in_evaluation_agrees_with_the_official_one(network) -> None:
    golden = load("h2cn_r50_s8_112_eval")
    outputs = {}
    for official, name in STAGES.items():
        network.get_submodule(name).register_forward_hook(
            lambda _module, _args, out, official=official: outputs.update({official: out.clone()})
        )
    with torch.inference_mode():
        logits = network.eval()(golden_clip(golden, 8, 5))
    assert largest_difference(logits, golden["logits"]) < 1e-9
    for name, stats in zip(golden["stage_names"], golden["stage_stats"], strict=True):
        if str(name) in STAGES:
            out = torch.relu(outputs[str(name)])  # motion.bn is caught before its ReLU; the others are non-negative
            ours = torch.cat([out.mean()[None], out.std(correction=0)[None], out.contiguous().flatten()[:30]])
            assert largest_difference(ours, stats) < 1e-9, name


def test_network_in_training_agrees_with_the_official_one(network) -> None:
    golden = load("h2cn_r50_s8_64_train")
    network.train()
    network.dropout.p = 0.0
    logits = network(golden_clip(golden, 8, 5))
    assert largest_difference(logits, golden["logits"]) < 1e-9
    loss = nn.functional.cross_entropy(logits, torch.as_tensor(golden["labels"]))
    assert abs(loss.item() - golden["loss"]) < 1e-9
    loss.backward()

    official = official_state()
    parameters, seen = dict(network.named_parameters()), set()
    for name, norm, dot in zip(golden["grad_names"], golden["grad_norms"], golden["grad_dots"], strict=True):
        name = str(name)
        if name == "base_model.conv1.bias" or name.endswith("downsample.0.bias"):
            assert norm < 1e-9  # in front of a BatchNorm: no gradient there, no parameter here
            continue
        gradient = parameters[rename(name)].grad
        official_shape = official[name].shape
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-7), name
        ours = (gradient.reshape(official_shape) * dot_vector(name, official_shape)).sum().item()
        assert ours == pytest.approx(dot, rel=1e-7, abs=1e-7 * norm), name
        seen.add(rename(name))
    assert seen == set(parameters)
    assert all(str(name).startswith("base_model.conv1_temp.") for name in golden["nograd_names"])

    buffers = dict(network.named_buffers())
    for name, norm in zip(golden["buffer_names"], golden["buffer_norms"], strict=True):
        name = str(name)
        buffer = buffers[rename(name)].double()
        bias = name.replace("downsample.1.running_mean", "downsample.0.bias").replace(
            "base_model.bn1.running_mean", "base_model.conv1.bias"
        )
        if bias != name:
            buffer = buffer + official[bias]
        assert buffer.norm().item() == pytest.approx(norm, rel=1e-7), name


def test_frame_hourglass_is_the_equation() -> None:
    """y_t = w0 A(x_{t-1}) + w1 x_t + w2 A(x_{t+1}), written out frame by frame."""
    torch.manual_seed(0)
    module = FrameHourglass(3, expand=3).double()
    x = torch.randn(2, 3, 5, 7, 9, dtype=torch.float64)
    wide = [nn.functional.conv2d(x[:, :, t], module.spatial, padding=2, dilation=2, groups=3) for t in range(5)]
    w = module.temporal[:, :, None, None]
    frames = [
        w[:, 0] * wide[t - 1].repeat_interleave(3, 1)
        + w[:, 1] * x[:, :, t].repeat_interleave(3, 1)
        + w[:, 2] * wide[t + 1].repeat_interleave(3, 1)
        for t in (1, 2, 3)
    ]
    assert torch.allclose(module(x), torch.stack(frames, 2), atol=1e-12, rtol=0)


def test_motion_starts_as_this_frame_minus_a_blend_of_the_next() -> None:
    motion = build_model("H2CN", "resnet18", 5, 2).motion
    assert motion.hourglass1.temporal.tolist() == [[0.0, 1.0, -1.0]] * 3
