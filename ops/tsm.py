"""TSM (arXiv 1811.08383): a ResNet with a temporal shift in its blocks."""

from functools import partial

from torch import nn

from ops.blocks import Parts
from ops.choices import ARCHS
from ops.network import NetworkName, VideoNet
from ops.resnet import ResNetVideo
from ops.shift import ShiftedConv2d


def tsm(name: NetworkName, dropout: float) -> VideoNet:
    """Shift in every block; from ResNet-101 on in every second one, as in the official code."""
    every = 2 if ARCHS[name.arch].depths[2] >= 23 else 1
    shifted = partial(ShiftedConv2d, num_segments=name.num_segments)

    def make_parts(_stage: int, block: int, _channels: int) -> Parts:
        return Parts(first_conv=shifted if block % every == 0 else nn.Conv2d)

    return ResNetVideo(name, dropout, make_parts=make_parts)
