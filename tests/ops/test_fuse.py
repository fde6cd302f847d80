"""Networks prepared for inference give the scores of the trained ones."""

import copy

import pytest
import torch
from golden_data import golden_clip, load, official_state
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ops.fuse import fuse_for_inference
from ops.h2cn_inference import TAPS_FROM_BORDERS, border_means
from ops.hourglass import tap_means
from ops.models import build_model
from ops.network import VideoNet
from ops.runtime import Runtime
from ops.weights.load import load_weights

pytestmark = pytest.mark.slow


def trained(net: str, arch: str | None = None, segments: int = 3, **options) -> VideoNet:
    """A network whose BatchNorms have seen something, in float64."""
    torch.manual_seed(0)
    model = build_model(net, arch, 5, segments, hourglass_start="published", **options).double().eval()
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.normal_(norm.running_mean, std=0.1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias, std=0.1)
    return model


def clip_for(model: VideoNet) -> torch.Tensor:
    return torch.randn(2, model.num_segments, model.frames_per_segment, 3, 32, 64, dtype=torch.float64)


@pytest.mark.parametrize("net", ["H2CN", "TDN"])
def test_golden_logits_stay_and_no_norm_is_left(net: str) -> None:
    golden = load(f"{net.lower()}_r50_s8_112_eval")
    model = build_model(net, "resnet50", 174, 8).double()
    load_weights(model, official_state(net.lower()))
    fused = fuse_for_inference(model)
    assert not any(isinstance(module, _BatchNorm) for module in fused.modules())
    with torch.inference_mode():
        logits = fused(golden_clip(golden, 8, model.frames_per_segment), normalised=True)
    assert (logits - torch.as_tensor(golden["logits"])).abs().max() < 1e-9


@pytest.mark.parametrize(
    ("net", "arch", "options"),
    [
        ("H2CN", "resnet10", {}), ("H2CN", "resnet18", {"ablate": ("aggregation", "shift")}),
        ("H2CN", "resnet10", {"ablate": ("fmcb", "cmcb")}), ("TDN", "resnet18", {}),
        ("TSM", "resnet50", {}), ("TSN", "resnet50", {}), ("r2plus1d_18", None, {}),
    ],
)  # fmt: skip
def test_scores_stay_and_so_does_the_model(net: str, arch: str | None, options: dict) -> None:
    model = trained(net, arch, **options)
    clip = clip_for(model)
    before = copy.deepcopy(model.state_dict())
    prepared = fuse_for_inference(model)
    with torch.inference_mode():
        expected = model(clip, normalised=True)
        scores = prepared(clip, normalised=True)
    assert (scores - expected).abs().max() <= 1e-9 * expected.abs().max()
    assert arch is None or not any(isinstance(module, _BatchNorm) for module in prepared.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in prepared.parameters())


@pytest.mark.parametrize("net", ["H2CN", "TDN"])
def test_both_memory_formats_and_bfloat16(net: str) -> None:
    """NCHW weights give the numbers of channels-last ones; autocast comes as near as its eight bits allow."""
    prepared = fuse_for_inference(trained(net, "resnet10").float())
    clip = clip_for(prepared).float()
    with torch.inference_mode():
        scores = prepared(clip, normalised=True)
        planes = copy.deepcopy(prepared).to(memory_format=torch.contiguous_format)
        assert (planes(clip, normalised=True) - scores).abs().max() <= 1e-5 * scores.abs().max()
        with Runtime(torch.device("cpu")).autocast("bf16"):
            coarse = prepared(clip, normalised=True).float()
    assert (coarse - scores).abs().max() <= 0.05 * scores.abs().max()


class PreActivation(nn.Module):
    """Its norm comes before its convolution, although their names look like a pair."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(torch.relu(self.bn(x)))


class Misdeclared(PreActivation):
    fusable = (("conv", "bn"),)


class Reversed(nn.Sequential):
    """Neighbours that run in another order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self[0](self[1](x))


def with_gate(gate: nn.Module) -> VideoNet:
    model = trained("TSN", "resnet18")
    model.layer2[1].gate = gate.double().eval()
    for norm in gate.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.running_mean)
    return model


@pytest.mark.parametrize("gate", [PreActivation(128), Reversed(nn.Conv2d(128, 128, 1), nn.BatchNorm2d(128))])
def test_only_declared_pairs_are_fused(gate: nn.Module) -> None:
    model = with_gate(gate)
    fused = fuse_for_inference(model)
    clip = clip_for(model)
    with torch.inference_mode():
        expected = model(clip, normalised=True)
        assert (fused(clip, normalised=True) - expected).abs().max() <= 1e-9 * expected.abs().max()
    assert sum(isinstance(module, _BatchNorm) for module in fused.modules()) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_wrong_declaration_is_refused_by_name(dtype: torch.dtype) -> None:
    model = with_gate(Misdeclared(128)).to(dtype)
    with pytest.raises(ValueError, match=r"layer2\.1\.gate \(Misdeclared\).*`fusable`"):
        fuse_for_inference(model)


def test_a_steep_network_is_not_refused_for_its_rounding() -> None:
    """Random statistics saturate TDN's gates: float32 differs by 2 % there."""
    fuse_for_inference(trained("TDN", "resnet50", segments=8).float())


def test_fusing_keeps_the_modes_of_the_model_and_the_random_state() -> None:
    model = trained("TSN", "resnet10").train()
    model.bn1.eval()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fuse_for_inference(model)
    assert torch.equal(torch.rand(1), expected)
    assert model.training
    assert not model.bn1.training


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 1), (5, 4)])
def test_means_of_what_the_nine_taps_see(size: tuple[int, int]) -> None:
    """They make the mean of a depthwise 3x3 convolution, for images down to one pixel; the border means make them."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    kernel = torch.randn(3, 1, 3, 3, dtype=torch.float64)
    expected = nn.functional.conv2d(x, kernel, padding=1, groups=3).mean((2, 3))
    means = tap_means(x)  # (2, 3, 9)
    assert torch.allclose((means * kernel.flatten(1)).sum(2), expected, atol=1e-12, rtol=0)
    from_borders = x.new_tensor(TAPS_FROM_BORDERS) @ border_means(x)  # (2, 9, 3)
    assert torch.allclose(from_borders.transpose(1, 2), means, atol=1e-12, rtol=0)
