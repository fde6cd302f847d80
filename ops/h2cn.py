"""The two motion modules of H2CN (ACM MM 2022): FMCB between adjacent frames, CMCB between segments."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ops.hourglass import ClipHourglass, FrameHourglass
from ops.resnet import Motion


class FrameMotion(Motion):
    """FMCB: five adjacent frames at half resolution -> a motion map that is added to the stem's features.

    2x2 mean -> HgC 5 -> 3 frames -> HgC 3 -> 1 frame with 3 -> 9 channels -> 7x7 convolution -> max-pool.
    """

    frames = 5
    shares = (0.5, 0.5)

    def __init__(self, out_channels: int = 64, *, aggregate: bool = True) -> None:
        """FMCB; `aggregate` False: its hourglasses are rigid temporal convolutions (an ablation)."""
        super().__init__()
        self.hourglass1 = FrameHourglass(3, aggregate=aggregate)
        self.bn1 = nn.BatchNorm2d(3)
        self.hourglass2 = FrameHourglass(3, expand=3, aggregate=aggregate)
        self.bn2 = nn.BatchNorm2d(9)
        self.conv = nn.Conv2d(9, out_channels, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        with torch.no_grad():  # at the start: this frame minus a random blend of the next one's neighbourhood
            self.hourglass1.temporal.copy_(torch.tensor([0.0, 1.0, -1.0]).expand(3, 3))
        nn.init.normal_(self.hourglass2.temporal, std=(2 / 27) ** 0.5)  # Kaiming, fan out = 9 channels * 3 taps

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(B, 5, 3, H, W) -> [(B, 64, H/8, W/8)], B = N*T."""
        x = F.avg_pool2d(frames.flatten(0, 1), 2).unflatten(0, (-1, self.frames))  # (B, 5, 3, H/2, W/2)
        x = self.hourglass1(x.transpose(1, 2).contiguous())  # (B, 3, 3, H/2, W/2), axes (batch, channel, frame)
        # One mean and variance a channel over all three frames: they lie under one another in the height.
        x = F.relu(self.bn1(x.flatten(2, 3))).unflatten(2, (3, -1))
        x = F.relu(self.bn2(self.hourglass2(x).squeeze(2)))  # (B, 9, H/2, W/2)
        return [self.maxpool(F.relu(self.bn(self.conv(x))))]


class ClipMotion(nn.Module):
    """CMCB: a gate for each frame and channel, from an HgC over the clip's segments in a few channels.

    1x1 to C/16 channels, BN -> HgC -> mean over space -> 1x1 back to C, BN -> sigmoid -> times the input.
    """

    def __init__(self, channels: int, num_segments: int, reduction: int = 16, *, aggregate: bool = True) -> None:
        """CMCB for features of C channels; `aggregate` as in `FrameMotion`."""
        super().__init__()
        self.num_segments = num_segments
        reduced = channels // reduction
        self.reduce = nn.Conv2d(channels, reduced, 1, bias=False)
        self.reduce_bn = nn.BatchNorm2d(reduced)
        self.hourglass = ClipHourglass(reduced, aggregate=aggregate)
        if self.hourglass.spatial is not None:  # as every convolution of the ResNet
            nn.init.normal_(self.hourglass.spatial, std=(2 / (9 * reduced)) ** 0.5)
        self.expand = nn.Conv2d(reduced, channels, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C, H, W)."""
        pooled = self.hourglass(self.reduce_bn(self.reduce(x)), self.num_segments)
        gate = torch.sigmoid(self.expand_bn(self.expand(pooled[:, :, None, None])))  # (N*T, C, 1, 1)
        return x * gate
