"""H2CN (ACM MM 2022) as its equations read: nothing is rearranged or fused for speed.

Tests and benchmarks compare `ops/` with it. It adds H2CN's modules to torchvision's ResNet and shares no code with
`ops/`, but its parameters have the same names, so that one state dict fits both. Axes: N clips, T segments, L frames
per segment.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

FRAMES = 5  # L


class Hourglass(nn.Module):
    """HgC: y_t = w_past A(x_{t-1}) + w_now x_t + w_future A(x_{t+1}); A is a depthwise 3x3 convolution."""

    def __init__(self, channels: int, expand: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.expand, self.dilation = expand, dilation
        self.spatial = nn.Parameter(torch.randn(channels, 1, 3, 3) / 3)  # A
        self.temporal = nn.Parameter(torch.randn(channels * expand, 3))  # past, now, future

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, C, H, W) -> (B, F-2, C*expand, H, W): channel c becomes channels c*expand ... c*expand + expand-1."""
        d = self.dilation
        a = F.conv2d(x.flatten(0, 1), self.spatial, padding=d, dilation=d, groups=x.shape[2]).unflatten(0, x.shape[:2])
        x, a = x.repeat_interleave(self.expand, 2), a.repeat_interleave(self.expand, 2)
        w_past, w_now, w_future = self.temporal[:, :, None, None].unbind(1)  # (C*expand, 1, 1) each
        return w_past * a[:, :-2] + w_now * x[:, 1:-1] + w_future * a[:, 2:]


class FrameMotion(nn.Module):
    """FMCB: a map from the five frames of a segment at half resolution, which is added to the stem's features."""

    def __init__(self) -> None:
        super().__init__()
        self.hourglass1, self.bn1 = Hourglass(3, dilation=2), nn.BatchNorm2d(3)
        self.hourglass2, self.bn2 = Hourglass(3, expand=3, dilation=2), nn.BatchNorm2d(9)
        self.conv, self.bn = nn.Conv2d(9, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64)

    def forward(self, frames: Tensor) -> Tensor:
        """(N*T, 5, 3, H, W) -> (N*T, 64, H/8, W/8)."""
        x = F.avg_pool2d(frames.flatten(0, 1), 2).unflatten(0, (-1, FRAMES))  # (N*T, 5, 3, H/2, W/2)
        for hourglass, bn in ((self.hourglass1, self.bn1), (self.hourglass2, self.bn2)):
            x = hourglass(x)  # two frames fewer
            x = F.relu(bn(x.flatten(0, 1))).unflatten(0, x.shape[:2])  # frames count as batch
        x = F.relu(self.bn(self.conv(x[:, 0])))  # (N*T, 64, H/4, W/4) from (N*T, 9, H/2, W/2)
        return F.max_pool2d(x, 3, stride=2, padding=1)


class ClipMotion(nn.Module):
    """CMCB: a gate per segment and channel, from an HgC over the clip's segments."""

    def __init__(self, channels: int, num_segments: int) -> None:
        super().__init__()
        self.num_segments, reduced = num_segments, channels // 16
        self.reduce, self.reduce_bn = nn.Conv2d(channels, reduced, 1, bias=False), nn.BatchNorm2d(reduced)
        self.hourglass = Hourglass(reduced)
        self.expand, self.expand_bn = nn.Conv2d(reduced, channels, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C, H, W)."""
        b = self.reduce_bn(self.reduce(x)).unflatten(0, (-1, self.num_segments))  # (N, T, C/16, H, W)
        y = self.hourglass(with_empty_ends(b)).flatten(0, 1)  # (N*T, C/16, H, W)
        return x * torch.sigmoid(self.expand_bn(self.expand(F.adaptive_avg_pool2d(y, 1))))


def with_empty_ends(clips: Tensor) -> Tensor:
    """(N, T, C, H, W) -> (N, T+2, C, H, W): a segment of zeros before the first and after the last."""
    return F.pad(clips, (0, 0, 0, 0, 0, 0, 1, 1))


def shift(x: Tensor, num_segments: int) -> Tensor:
    """(N*T, C, H, W): an eighth of the channels come from the next segment, an eighth from the previous one."""
    clips, fold = x.unflatten(0, (-1, num_segments)), x.shape[1] // 8
    padded = with_empty_ends(clips)
    parts = padded[:, 2:, :fold], padded[:, :-2, fold : 2 * fold], clips[:, :, 2 * fold :]
    return torch.cat(parts, 2).flatten(0, 1)


class GatedBasicBlock(BasicBlock):
    """Shift, 3x3, gate, 3x3, plus the unshifted input."""

    gate: ClipMotion

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C', H/stride, W/stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.gate(F.relu(self.bn1(self.conv1(shift(x, self.gate.num_segments)))))
        return F.relu(self.bn2(self.conv2(x)) + residual)


class GatedBottleneck(Bottleneck):
    """Shift, 1x1, gate, 3x3, 1x1, plus the unshifted input."""

    gate: ClipMotion

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C', H/stride, W/stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.gate(F.relu(self.bn1(self.conv1(shift(x, self.gate.num_segments)))))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + residual)


ARCHS = {  # class of the blocks, and their numbers in stages 1 to 4
    "resnet10": (GatedBasicBlock, (1, 1, 1, 1)),
    "resnet18": (GatedBasicBlock, (2, 2, 2, 2)),
    "resnet34": (GatedBasicBlock, (3, 4, 6, 3)),
    "resnet50": (GatedBottleneck, (3, 4, 6, 3)),
    "resnet101": (GatedBottleneck, (3, 4, 23, 3)),
}


class NaiveH2CN(ResNet):
    """H2CN. Clips (N, T, 5, 3, H, W), already normalised -> logits (N, K)."""

    def __init__(self, arch: str, num_class: int, num_segments: int, dropout: float = 0.5) -> None:
        block, depths = ARCHS[arch]
        super().__init__(block, list(depths), num_class)
        self.num_segments, self.motion, self.dropout = num_segments, FrameMotion(), nn.Dropout(dropout)
        for module in list(self.modules()):
            if isinstance(module, GatedBasicBlock | GatedBottleneck):
                module.gate = ClipMotion(module.conv1.out_channels, num_segments)

    @classmethod
    def from_network(cls, model: Any) -> "NaiveH2CN":
        """The naive form of an H2CN of ours without ablations, with its weights, mode, device and type."""
        naive = cls(model.arch, model.num_class, model.num_segments, model.dropout.p).to(model.fc.weight)
        naive.load_state_dict(model.state_dict())
        return naive.train(model.training)

    def forward(self, clip: Tensor) -> Tensor:
        frames = clip.flatten(0, 1).contiguous()  # (N*T, 5, 3, H, W), in memory as well
        stem = F.relu(self.bn1(self.conv1(frames[:, FRAMES // 2])))  # of the key frame
        x = F.max_pool2d(stem, 3, stride=2, padding=1)  # (N*T, 64, H/4, W/4)
        x = 0.5 * x + 0.5 * F.interpolate(self.motion(frames), size=x.shape[-2:], mode="nearest")
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (N*T, C, H/32, W/32)
        logits = self.fc(self.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1)))  # (N*T, K), of each segment
        return logits.unflatten(0, (-1, self.num_segments)).mean(1)
