"""TDN (arXiv 2012.10071): a ResNet with differences of adjacent frames, and of segments."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ops.blocks import Parts, make_stage, no_parts
from ops.network import NetworkName
from ops.resnet import Motion, ResNetVideo


def tdn(name: NetworkName, dropout: float) -> ResNetVideo:
    """Differences of frames, and in the blocks of stages 2 to 4 of segments."""

    def make_parts(stage: int, _block: int, channels: int) -> Parts:
        if stage == 1:
            return Parts()
        size = channels, name.num_segments
        return Parts(gate=nn.Sequential(LongTermDifference(*size), LearnableShift(*size)))

    motion = ShortTermDifference(make_stage(name.arch, 1, no_parts), name.num_segments)
    return ResNetVideo(name, dropout, motion, make_parts)


class ShortTermDifference(Motion):
    """S-TDM: the four differences of five adjacent frames -> maps that join the stem's and stage 1's output.

    Differences (12 channels) -> 2x2 mean -> 7x7 convolution -> max-pool gives the first map; a copy of stage 1 turns it
    into the second.
    """

    frames = 5
    fusable = (("conv", "bn"),)

    def __init__(self, stage1: nn.Module, num_segments: int) -> None:
        super().__init__()
        self.share = 0.5 if num_segments == 8 else 0.25  # as in the official code
        self.conv = nn.Conv2d(12, 64, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage1 = stage1

    def init_from(self, resnet: Mapping[str, Tensor]) -> list[str]:
        """As every motion branch, and its stage 1 from the ResNet's."""
        names = super().init_from(resnet)
        stage1 = {key.removeprefix("layer1."): value for key, value in resnet.items() if key.startswith("layer1.")}
        self.stage1.load_state_dict(stage1)
        return names + [f"stage1.{key}" for key in stage1]

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(B, 5, 3, H, W) -> [(B, 64, H/8, W/8), (B, C, H/8, W/8)], B = N*T."""
        differences = (frames[:, 1:] - frames[:, :-1]).flatten(1, 2)  # (B, 12, H, W)
        x = F.avg_pool2d(differences, 2).contiguous(memory_format=torch.channels_last)
        x = self.maxpool(F.relu(self.bn(self.conv(x))))
        return [x, self.stage1(x)]


class LongTermDifference(nn.Module):
    """L-TDM: weights features by gates from the differences to the next and to the previous segment.

    In C/16 channels: b, and c, which is b after a depthwise 3x3 convolution. The differences c_{t+1} - b_t and
    c_{t-1} - b_t, zero at the clip's ends, each at three scales, give two gates; the output is x + x * their mean.
    """

    fusable = tuple((name, f"{name}_bn") for name in ("reduce", "half_scale", "full_scale", "expand"))

    def __init__(self, channels: int, num_segments: int) -> None:
        super().__init__()
        self.num_segments = num_segments
        reduced = channels // 16
        self.reduce = nn.Conv2d(channels, reduced, 1, bias=False)
        self.reduce_bn = nn.BatchNorm2d(reduced)
        self.spatial = nn.Conv2d(reduced, reduced, 3, padding=1, groups=reduced, bias=False)
        self.half_scale = nn.Conv2d(reduced, reduced, 3, padding=1, bias=False)
        self.half_scale_bn = nn.BatchNorm2d(reduced)
        self.full_scale = nn.Conv2d(reduced, reduced, 3, padding=1, bias=False)
        self.full_scale_bn = nn.BatchNorm2d(reduced)
        self.expand = nn.Conv2d(reduced, channels, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C, H, W)."""
        here = self.reduce_bn(self.reduce(x))
        there = self.spatial(here).unflatten(0, (-1, self.num_segments))  # (N, T, C/16, H, W)
        here = here.unflatten(0, (-1, self.num_segments))
        to_next = F.pad(there[:, 1:] - here[:, :-1], (0, 0, 0, 0, 0, 0, 0, 1))
        to_previous = F.pad(there[:, :-1] - here[:, 1:], (0, 0, 0, 0, 0, 0, 1, 0))
        # Next first: the official BatchNorms update their statistics in this order, twice per step.
        gates = [self.gate(difference.flatten(0, 1)) for difference in (to_next, to_previous)]
        return x + x * (0.5 * gates[0] + 0.5 * gates[1])

    def gate(self, difference: Tensor) -> Tensor:
        """(N*T, C/16, H, W) differences -> (N*T, C, H, W) gates in (-0.5, 0.5)."""
        window = [min(2, side) for side in difference.shape[-2:]]  # a single pixel cannot be halved
        half = self.half_scale_bn(self.half_scale(F.avg_pool2d(difference, window)))
        half = F.interpolate(half, size=difference.shape[-2:], mode="nearest")
        full = self.full_scale_bn(self.full_scale(difference))
        mean = (difference + half + full) / 3
        return torch.sigmoid(self.expand_bn(self.expand(mean))) - 0.5


class LearnableShift(nn.Module):
    """A depthwise convolution over the segments with three taps, initialised as TSM's shift. Zero beyond the ends."""

    def __init__(self, channels: int, num_segments: int) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.temporal = nn.Parameter(torch.zeros(channels, 3))  # previous, this, next segment
        fold = channels // 8
        with torch.no_grad():
            self.temporal[:fold, 2] = 1
            self.temporal[fold : 2 * fold, 0] = 1
            self.temporal[2 * fold :, 1] = 1

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C, H, W)."""
        clips = x.unflatten(0, (-1, self.num_segments))  # (N, T, C, H, W)
        previous, this, following = self.temporal[:, :, None, None].unbind(1)  # (C, 1, 1) each
        out = this * clips
        out[:, 1:] += previous * clips[:, :-1]
        out[:, :-1] += following * clips[:, 1:]
        return out.flatten(0, 1)

    def macs(self, _x: Tensor, y: Tensor) -> int:
        """Multiply-adds: three products per value."""
        return 3 * y.numel()
