"""A video network small enough to check by hand, with BatchNorm, dropout and a feature map."""

import torch
from torch import Tensor, nn

from ops.models import NetworkEntry
from ops.network import NetworkName, VideoNet


class TinyNet(VideoNet):
    """A convolution on every frame, BatchNorm, a mean over time and space, dropout, a classifier."""

    explained_layer = "pool"

    def __init__(self, segments: int = 4, frames: int = 1, num_class: int = 3, stride: int = 4, pool: int = 1) -> None:
        super().__init__(NetworkName("Tiny", "none", num_class, segments), frames)
        self.conv = nn.Conv3d(3, 6, (1, stride, stride), (1, stride, stride), bias=False)
        self.bn = nn.BatchNorm3d(6)
        self.pool = nn.AvgPool3d((pool, 1, 1))
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(6, num_class)

    def feature_map(self, clip: Tensor) -> Tensor:
        return self.pool(torch.relu(self.bn(self.conv(clip.mean(2).transpose(1, 2)))))

    def logits(self, clip: Tensor) -> Tensor:
        return self.fc(self.dropout(self.feature_map(clip).mean((2, 3, 4))))


TINY = NetworkEntry(lambda name, _dropout: TinyNet(name.num_segments, 1, name.num_class), 1, "none")  # for `NETS`


class NoMap(TinyNet):
    """The same without a feature map to offer."""

    explained_layer = None
    feature_map = VideoNet.feature_map


def random_clips(count: int = 4, segments: int = 4, frames: int = 1, size: int = 16, seed: int = 0) -> Tensor:
    """(N, T, L, 3, H, W) uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, segments, frames, 3, size, size), generator=generator, dtype=torch.uint8)
