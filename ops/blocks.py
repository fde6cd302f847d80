"""ResNet's two residual blocks, with torchvision's names and with places for temporal modules."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from ops.choices import ARCHS


class Parts(NamedTuple):
    """The temporal modules of a residual block, if any."""

    first_conv: Callable[..., nn.Conv2d] = nn.Conv2d  # builds the first convolution, with the arguments of nn.Conv2d
    gate: nn.Module | None = None  # after the first convolution; (N*T, C, H, W) -> the same shape
    last: nn.Module | None = None  # after the whole block; (N*T, C * expansion, H, W) -> the same shape


# (stage from 1, block in it from 0, channels C after its first convolution) -> parts
MakeParts = Callable[[int, int, int], Parts]


def no_parts(_stage: int, _block: int, _channels: int) -> Parts:
    """A plain ResNet block."""
    return Parts()


class ResidualBlock(nn.Module, ABC):
    """First convolution -> gate -> the other convolutions, plus the input -> last.

    A subclass makes `conv1`, `bn1` and the other convolutions, and runs the latter in `after_gate`.
    """

    expansion: int  # output channels per channel of the first convolution
    conv1: nn.Conv2d
    bn1: nn.BatchNorm2d

    def __init__(self, downsample: nn.Module | None, parts: Parts) -> None:
        super().__init__()
        self.gate = parts.gate or nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.last = parts.last or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C', H/stride, W/stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.gate(self.relu(self.bn1(self.conv1(x))))
        return self.last(self.relu(self.after_gate(x).add_(residual)))

    @abstractmethod
    def after_gate(self, x: Tensor) -> Tensor:
        """From the gated features to the output of the block's last BatchNorm."""


class Bottleneck(ResidualBlock):
    """1x1 -> gate -> 3x3 (stride) -> 1x1."""

    expansion = 4
    # Each norm follows its convolution directly: `ops/fuse.py` folds it into the convolution for inference.
    fusable = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None, parts: Parts) -> None:
        super().__init__(downsample, parts)
        self.conv1 = parts.first_conv(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)

    def after_gate(self, x: Tensor) -> Tensor:
        return self.bn3(self.conv3(self.relu(self.bn2(self.conv2(x)))))


class BasicBlock(ResidualBlock):
    """3x3 (stride) -> gate -> 3x3.

    NOTE: the paper has bottlenecks only. Shifting before the first convolution and gating before the last 3x3 is our
    choice, the closest to theirs.
    """

    expansion = 1
    fusable = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, inplanes: int, planes: int, stride: int, downsample: nn.Module | None, parts: Parts) -> None:
        super().__init__(downsample, parts)
        self.conv1 = parts.first_conv(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def after_gate(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(x))


def block_class(arch: str) -> type[Bottleneck] | type[BasicBlock]:
    """The blocks of one of `ARCHS`."""
    return Bottleneck if ARCHS[arch].bottlenecks else BasicBlock


def make_stage(arch: str, stage: int, make_parts: MakeParts) -> nn.Sequential:
    """One stage (1 to 4) of a ResNet; its first block has the stride and, where shapes change, a 1x1 downsample."""
    block, depths = block_class(arch), ARCHS[arch].depths
    planes, stride = 64 * 2 ** (stage - 1), 1 if stage == 1 else 2
    inplanes = 64 if stage == 1 else planes // 2 * block.expansion
    outplanes = planes * block.expansion
    downsample = None
    if stride != 1 or inplanes != outplanes:
        downsample = nn.Sequential(
            nn.Conv2d(inplanes, outplanes, 1, stride=stride, bias=False), nn.BatchNorm2d(outplanes)
        )
    blocks = [block(inplanes, planes, stride, downsample, make_parts(stage, 0, planes))]
    for number in range(1, depths[stage - 1]):
        blocks.append(block(outplanes, planes, 1, None, make_parts(stage, number, planes)))
    return nn.Sequential(*blocks)
