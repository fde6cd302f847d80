"""H2CN (ACM MM 2022): a ResNet with motion modules on two levels.

FMCB, the paper's frame-level module, adds the motion between five adjacent frames of each segment to the stem's
features. In each residual block, channels are shifted between segments, and CMCB, the clip-level module, is a gate from
the motion between segments.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ops.blocks import Parts
from ops.hourglass import ClipHourglass, FrameHourglass
from ops.network import NetworkName
from ops.resnet import Motion, ResNetVideo
from ops.shift import ShiftedConv2d


def h2cn(name: NetworkName, dropout: float, start: str = "difference") -> ResNetVideo:
    """The network without the parts in `name.ablate`; `start`: one of `HOURGLASS_STARTS`, the initial values."""
    options: dict[str, Any] = {"aggregate": "aggregation" not in name.ablate, "start": start}

    def make_parts(_stage: int, _block: int, channels: int) -> Parts:
        shifted = partial(ShiftedConv2d, num_segments=name.num_segments)
        return Parts(
            first_conv=nn.Conv2d if "shift" in name.ablate else shifted,
            gate=None if "cmcb" in name.ablate else ClipMotion(channels, name.num_segments, **options),
        )

    motion = None if "fmcb" in name.ablate else FrameMotion(**options)
    return ResNetVideo(name, dropout, motion, make_parts)


class FrameMotion(Motion):
    """FMCB: five adjacent frames at half resolution -> a motion map that is added to the stem's features.

    2x2 mean -> HgC 5 -> 3 frames -> HgC 3 -> 1 frame with 3 -> 9 channels -> 7x7 convolution -> max-pool.
    """

    frames = 5
    share = 0.5

    def __init__(self, *, aggregate: bool = True, start: str = "difference") -> None:
        """Without `aggregate`, hourglasses are rigid temporal convolutions; `start`: one of `HOURGLASS_STARTS`."""
        super().__init__()
        self.hourglass1 = FrameHourglass(3, aggregate=aggregate)
        self.bn1 = nn.BatchNorm2d(3)
        self.hourglass2 = FrameHourglass(3, expand=3, aggregate=aggregate)
        self.bn2 = nn.BatchNorm2d(9)
        self.conv = nn.Conv2d(9, 64, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        nn.init.normal_(self.hourglass2.temporal, std=(2 / 27) ** 0.5)  # Kaiming, fan out = 9 channels * 3 taps
        with torch.no_grad():
            # In both starts: a frame minus A of the next.
            self.hourglass1.temporal.copy_(torch.tensor([0.0, 1.0, -1.0]).expand(3, 3))
            if start == "difference":
                self.hourglass2.temporal.copy_(torch.eye(3).repeat(3, 1))  # output 3c + t: difference t of colour c
                for spatial in (self.hourglass1.spatial, self.hourglass2.spatial):
                    if spatial is not None:
                        nn.init.dirac_(spatial, groups=len(spatial))  # A is the pixel itself

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(B, 5, 3, H, W) -> [(B, 64, H/8, W/8)], B = N*T."""
        x = _channels_first(self.hourglass1(halved(frames)).transpose(1, 2))  # (B, channels 3, frames 3, H/2, W/2)
        # One mean and variance per channel over all three frames: they are stacked along the height.
        x = self.bn1(x.flatten(2, 3)).unflatten(2, (3, -1)).transpose(1, 2)
        x = self.hourglass2(F.relu(_channels_last(x))).squeeze(1)  # (B, 9, H/2, W/2)
        x = F.relu(_channels_last(self.bn2(_channels_first(x))))
        return [F.relu_(self.maxpool(self.bn(self.conv(x))))]  # max-pool first: the same, on a quarter of the values

    def for_inference(self) -> nn.Module:
        """The same as plain convolutions: BatchNorms folded, hourglass kernels assembled once."""
        from ops.h2cn_inference import FoldedFrameMotion  # which imports this file

        return FoldedFrameMotion(self)


def halved(frames: Tensor) -> Tensor:
    """(B, F, 3, H, W) -> 2x2 means (B, F, 3, H/2, W/2), channels-last with the colours of all frames as channels.

    Sums of neighbouring rows, then of columns, in the memory order of the loader: several times faster than pooling.
    """
    height, width = (side - side % 2 for side in frames.shape[-2:])  # a last odd row or column has no partner
    pixels = frames[..., :height, :width].permute(0, 1, 3, 4, 2).contiguous()  # (B, F, H, W, 3)
    upper, lower = pixels.flatten(3).unflatten(2, (-1, 2)).unbind(3)  # (B, F, H/2, W*3) each
    left, right = (upper + lower).unflatten(3, (-1, 2, 3)).unbind(4)  # (B, F, H/2, W/2, 3) each
    return _channels_last((left + right).div_(4).permute(0, 1, 4, 2, 3))


def _channels_last(x: Tensor) -> Tensor:
    """Convert (..., H, W) to channels-last, in which convolutions are faster."""
    images = x.flatten(1, -3).contiguous(memory_format=torch.channels_last)
    return images.unflatten(1, x.shape[1:-2])


def _channels_first(x: Tensor) -> Tensor:
    """Convert (..., H, W) to channels-first, in which a BatchNorm of few channels is much faster."""
    return x.contiguous()


class ClipMotion(nn.Module):
    """CMCB: a gate per segment and channel, from an HgC over the clip's segments in a few channels.

    1x1 to C/16 channels, BN -> HgC -> mean over space -> 1x1 back to C, BN -> sigmoid -> times the input.
    """

    def __init__(self, channels: int, num_segments: int, *, aggregate: bool = True, start: str = "difference") -> None:
        """For features of C channels; `aggregate` and `start` as in `FrameMotion`."""
        super().__init__()
        self.num_segments = num_segments
        reduced = channels // 16
        self.reduce = nn.Conv2d(channels, reduced, 1, bias=False)
        self.reduce_bn = nn.BatchNorm2d(reduced)
        self.hourglass = ClipHourglass(reduced, aggregate=aggregate)
        if self.hourglass.spatial is not None:  # like every convolution of the ResNet
            nn.init.normal_(self.hourglass.spatial, std=(2 / (9 * reduced)) ** 0.5)
        self.expand = nn.Conv2d(reduced, channels, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(channels)
        if start == "difference":
            nn.init.zeros_(self.expand_bn.weight)  # the gate is 1/2 everywhere

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C, H, W)."""
        pooled = self.hourglass(self.reduce_bn(_channels_first(self.reduce(x))), self.num_segments)  # (N*T, C/16)
        pooled = pooled[:, :, None, None].to(self.expand.weight.dtype)  # float32 until here
        gate = torch.sigmoid(self.expand_bn(self.expand(pooled)))  # (N*T, C, 1, 1)
        return x * gate

    def for_inference(self) -> nn.Module:
        """The same with the means first: with fixed statistics, everything before the sigmoid is linear."""
        from ops.h2cn_inference import FoldedClipMotion

        return FoldedClipMotion(self)
