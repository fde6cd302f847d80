"""ResNet's two residual blocks with a place for a shift and a gate. Parameters bear torchvision's names."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

MakeShift = Callable[[], nn.Module]  # -> a module (N*T, C, H, W) -> the same shape
MakeGate = Callable[[int], nn.Module]  # channels -> a module (N*T, C, H, W) -> the same shape


class ResidualBlock(nn.Module, ABC):
    """shift -> first convolution -> gate -> the other convolutions, plus the un-shifted input.

    A subclass makes `conv1`, `bn1` and what follows, and runs the latter in `after_gate`.
    """

    expansion: int
    conv1: nn.Conv2d
    bn1: nn.BatchNorm2d

    def __init__(self, planes: int, downsample: nn.Module | None, make_shift: MakeShift, make_gate: MakeGate) -> None:
        super().__init__()
        self.shift = make_shift()
        self.gate = make_gate(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C', H/stride, W/stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.gate(self.relu(self.bn1(self.conv1(self.shift(x)))))
        return self.relu(self.after_gate(x).add_(residual))

    @abstractmethod
    def after_gate(self, x: Tensor) -> Tensor:
        """From the gated features to the block's last BatchNorm."""


class Bottleneck(ResidualBlock):
    """shift -> 1x1 -> gate -> 3x3 (stride) -> 1x1. H2CN, figure of the block."""

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int, *parts: Any) -> None:
        super().__init__(planes, *parts)
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)

    def after_gate(self, x: Tensor) -> Tensor:
        return self.bn3(self.conv3(self.relu(self.bn2(self.conv2(x)))))


class BasicBlock(ResidualBlock):
    """shift -> 3x3 (stride) -> gate -> 3x3.

    NOTE: the paper has bottlenecks only; this placement (shift before the first convolution, gate before the
    last 3x3) is ours, the nearest to theirs.
    """

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int, *parts: Any) -> None:
        super().__init__(planes, *parts)
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def after_gate(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(x))


def make_stage(
    block: type[Bottleneck] | type[BasicBlock],
    inplanes: int,
    planes: int,
    blocks: int,
    stride: int,
    make_shift: MakeShift,
    make_gate: MakeGate,
) -> nn.Sequential:
    """One stage: `blocks` blocks, the first with the stride and, where shapes change, a 1x1 downsample."""
    outplanes = planes * block.expansion
    downsample = None
    if stride != 1 or inplanes != outplanes:
        downsample = nn.Sequential(
            nn.Conv2d(inplanes, outplanes, 1, stride=stride, bias=False), nn.BatchNorm2d(outplanes)
        )
    first = block(inplanes, planes, stride, downsample, make_shift, make_gate)
    others = [block(outplanes, planes, 1, None, make_shift, make_gate) for _ in range(blocks - 1)]
    return nn.Sequential(first, *others)
