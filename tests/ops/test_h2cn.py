"""H2CN's modules against the official ones, in float64, and against their equations."""

from functools import partial

import numpy as np
import pytest
import torch
from fill import fill_array, make_input
from golden_data import largest_difference, load
from torch import nn

from ops.blocks import Bottleneck, Parts
from ops.choices import HOURGLASS_STARTS
from ops.h2cn import ClipMotion
from ops.hourglass import FrameHourglass
from ops.models import build_model
from ops.shift import ShiftedConv2d, temporal_shift
from ops.weights.layouts import fold_biases, rename


def frame_hourglass(expand: int) -> nn.Module:
    """FrameHourglass behind the official module's shapes: (N*F, 3, H, W) -> (N*F', 3*expand, H, W)."""

    class Official(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hourglass = FrameHourglass(3, expand)
            self.frames = 5 if expand == 1 else 3

        def forward(self, x):
            return self.hourglass(x.unflatten(0, (-1, self.frames))).flatten(0, 1)

    return Official()


def bottleneck() -> Bottleneck:
    downsample = nn.Sequential(nn.Conv2d(32, 64, 1, stride=2, bias=False), nn.BatchNorm2d(64))
    return Bottleneck(32, 16, 2, downsample, Parts(partial(ShiftedConv2d, num_segments=8), ClipMotion(16, 8)))


MODULES = {  # golden name -> (module, official local name -> ours)
    "fhgc1": (lambda: frame_hourglass(1), lambda key: f"hourglass.{rename(key, 'H2CN')}"),
    "fhgc2": (lambda: frame_hourglass(3), lambda key: f"hourglass.{rename(key, 'H2CN')}"),
    "chgc": (lambda: ClipMotion(64, 8), lambda key: rename(f"mtdin.{key}", "H2CN").removeprefix("gate.")),
    "chgc_1x1": (lambda: ClipMotion(64, 8), lambda key: rename(f"mtdin.{key}", "H2CN").removeprefix("gate.")),
    "bottleneck": (bottleneck, lambda key: rename(key, "H2CN")),
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


def test_frame_hourglass_is_the_equation() -> None:
    """y_t = w0 A(x_{t-1}) + w1 x_t + w2 A(x_{t+1}), written out frame by frame."""
    torch.manual_seed(0)
    module = FrameHourglass(3, expand=3).double()
    x = torch.randn(2, 5, 3, 7, 9, dtype=torch.float64)
    wide = [nn.functional.conv2d(x[:, t], module.spatial, padding=2, dilation=2, groups=3) for t in range(5)]
    w = module.temporal[:, :, None, None]
    frames = [
        w[:, 0] * wide[t - 1].repeat_interleave(3, 1)
        + w[:, 1] * x[:, t].repeat_interleave(3, 1)
        + w[:, 2] * wide[t + 1].repeat_interleave(3, 1)
        for t in (1, 2, 3)
    ]
    assert torch.allclose(module(x), torch.stack(frames, 1), atol=1e-12, rtol=0)


@pytest.mark.parametrize("start", HOURGLASS_STARTS)
def test_motion_starts_as_this_frame_minus_a_blend_of_the_next(start: str) -> None:
    motion = build_model("H2CN", "resnet10", 5, 2, hourglass_start=start).motion
    assert motion.hourglass1.temporal.tolist() == [[0.0, 1.0, -1.0]] * 3


@pytest.mark.parametrize("start", HOURGLASS_STARTS)
def test_a_still_background_cancels_from_the_difference_start(start: str) -> None:
    """A picture that stands still, and a pixel that moves over it: what the second hourglass makes of them."""
    torch.manual_seed(0)
    model = build_model("H2CN", "resnet10", 5, 2, hourglass_start=start)
    frames = torch.rand(1, 1, 3, 16, 16).expand(-1, 5, -1, -1, -1).clone()
    differences = model.motion.hourglass1(frames)
    assert (differences.abs().max() == 0) == (start == "difference")
    frames[0, 3, :, 8, 8] += 1  # in frame 3 alone: the second and third differences hold it
    first, second, third = (model.motion.hourglass2(model.motion.hourglass1(frames))[0, 0, i::3] for i in range(3))
    if start == "difference":
        assert not first.any()
        assert second.flatten(1).count_nonzero(1).tolist() == third.flatten(1).count_nonzero(1).tolist() == [1, 1, 1]
        assert (second[:, 8, 8] < -0.99).all()
        assert (third[:, 8, 8] > 0.99).all()
    gates = [module for module in model.modules() if isinstance(module, ClipMotion)]
    x = torch.randn(2, gates[0].reduce.in_channels, 4, 4)
    assert torch.equal(gates[0](x), x / 2) == (start == "difference")


def training_step(module: nn.Module, x: torch.Tensor, call=None, **options) -> list[torch.Tensor]:
    """Output, gradients and statistics of a step."""
    module.zero_grad()
    y = (module if call is None else call)(x, **options)
    y = y[0] if isinstance(y, list) else y
    y.square().sum().backward()
    return [y.detach(), *(p.grad for p in module.parameters()), *(b.double() for b in module.buffers())]


def same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return all(torch.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(found, expected, strict=True))


def fresh(memory_format: torch.memory_format) -> nn.Module:
    torch.manual_seed(0)
    model = build_model("H2CN", "resnet18", 4, 3, dropout=0.0, hourglass_start="published")
    return model.double().to(memory_format=memory_format)


def test_a_step_in_nchw_has_the_same_numbers() -> None:
    clip = torch.randn(2, 3, 5, 3, 32, 32, dtype=torch.float64)
    layouts = torch.contiguous_format, torch.channels_last
    planes, pixels = (training_step(fresh(layout), clip, normalised=True) for layout in layouts)
    assert same(planes, pixels)


@pytest.mark.parametrize(("part", "shape"), [("layer2.1", (6, 128, 8, 8)), ("motion", (2, 5, 3, 32, 32))])
def test_a_compiled_step_has_the_same_numbers(part: str, shape: tuple[int, ...]) -> None:
    """Of a block and of the motion branch, by the graph that a compiler makes, whatever backend then runs it."""
    x = torch.randn(shape, dtype=torch.float64)
    eager, compiled = (fresh(torch.channels_last).get_submodule(part) for _ in range(2))
    assert same(training_step(compiled, x, torch.compile(compiled, backend="aot_eager")), training_step(eager, x))
