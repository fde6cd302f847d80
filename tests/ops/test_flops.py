"""Multiply-adds: torch's count, the equations of our faster forms, and an error for what neither knows."""

import pytest
import torch
from torch import Tensor, nn

from ops.flops import count_macs
from ops.models import build_model


class Scale(nn.Module):
    """A product of weights that torch does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(64, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class CountedScale(Scale):
    def macs(self, x: Tensor, y: Tensor) -> int:
        return y.numel()


class ScaledConv(Scale):
    """The same product after a convolution, which torch counts, in a container that is not called itself."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(64, 64, 1, bias=False)])

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.convs[0](x))


class CountedParts(nn.Sequential):
    """Its count includes that of its parts."""

    def macs(self, _x: Tensor, y: Tensor) -> int:
        return 3 * y.numel()


class Similarity(nn.Module):
    """A product of two matrices without weights."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(2)  # (N*T, C, H*W)
        return (rows @ rows.transpose(1, 2) @ rows).view_as(x)


def macs(gate: nn.Module) -> int:
    model = build_model("TSN", "resnet10", 5, 2)
    model.layer1[0].gate = gate
    return count_macs(model, 32)


def test_products_in_modules_are_counted() -> None:
    values = 2 * 64 * 8 * 8  # of the gate's input
    assert macs(Similarity()) - macs(nn.Identity()) == 2 * values * 64
    assert macs(CountedScale()) - macs(nn.Identity()) == values
    assert macs(CountedParts(CountedScale(), ScaledConv())) - macs(nn.Identity()) == 3 * values


def test_weights_that_torch_does_not_count_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"layer1\.0\.gate \(Scale\).*macs\(self"):
        macs(Scale())
    with pytest.raises(ValueError, match=r"layer1\.0\.gate \(ScaledConv\)"):
        macs(ScaledConv())


@pytest.mark.parametrize("net", ["H2CN", "TDN"])
def test_hourglasses_and_shifts_count_by_their_equations(net: str) -> None:
    """The first block's: 64 channels (4 reduced) of 2 segments of 8 x 8 pixels."""
    model = build_model(net, "resnet10", 5, 2)
    if net == "H2CN":
        model.layer1[0].gate = nn.Identity()
        whole = count_macs(build_model(net, "resnet10", 5, 2), 32)
        pixels = 2 * 8 * 8
        assert whole - count_macs(model, 32) == 64 * 4 * pixels + (9 + 3) * 4 * pixels + 4 * 64 * 2
    else:
        model.layer2[0].gate[1] = nn.Identity()
        assert count_macs(build_model(net, "resnet10", 5, 2), 32) - count_macs(model, 32) == 3 * 128 * 2 * 4 * 4
