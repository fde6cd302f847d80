"""Hourglass convolution (HgC), the operator of H2CN (ACM MM 2022).

A temporal convolution that looks at one pixel in three frames misses a motion that has left this pixel. HgC first
aggregates the two outer frames over a neighbourhood A and keeps the pixel of the centre frame: wide, narrow, wide in
space-time, an hourglass. For every channel k

    y_t = w[k, 0] * A(x_{t-1})  +  w[k, 1] * x_t  +  w[k, 2] * A(x_{t+1})

with A a depthwise 3x3 convolution, the same for past and future. No bias.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Hourglass(nn.Module):
    """The parameters of an HgC. Each level of H2CN applies it over time in its own way.

    Weights are 4-D and 2-D, not those of 3-D convolutions, so that `model.to(memory_format=torch.channels_last)` works.
    """

    def __init__(self, channels: int, expand: int = 1, *, aggregate: bool = True) -> None:
        """C input channels, C * `expand` output channels; without `aggregate` (an ablation) A is the pixel itself."""
        super().__init__()
        self.channels, self.expand = channels, expand  # channel c yields channels c*expand ... c*expand + expand-1
        self.spatial = nn.Parameter(torch.empty(channels, 1, 3, 3)) if aggregate else None  # A
        self.temporal = nn.Parameter(torch.empty(channels * expand, 3))  # past, now, future
        if self.spatial is not None:
            nn.init.xavier_normal_(self.spatial)
        # A convolution of kernel 3 with one input channel per group: fan in 3, fan out 3 * channels * expand.
        nn.init.normal_(self.temporal, std=(2.0 / (3 + 3 * channels * expand)) ** 0.5)

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds of the equation: A on every frame, then three products per output value."""
        return (0 if self.spatial is None else 9 * x.numel()) + 3 * y.numel()

    def extra_repr(self) -> str:
        return f"channels={self.channels}, expand={self.expand}, aggregate={self.spatial is not None}"


class FrameHourglass(Hourglass):
    """HgC over adjacent frames: neighbourhood dilated by 2, valid in time (F frames -> F - 2).

    One plain 2-D convolution with all frames in its channels, its kernel assembled from A and w: the same sum as the
    equation, without the three intermediate stacks of frames.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, C, H, W) -> (B, F-2, C*expand, H, W)."""
        frames = x.shape[1]
        y = F.conv2d(x.flatten(1, 2), self.kernel_2d(frames), padding=2, dilation=2)
        return y.unflatten(1, (frames - 2, -1))

    def kernel_2d(self, frames: int) -> Tensor:
        """The kernel for frames stacked in the channels: ((F-2)*C*expand, F*C, 3, 3)."""
        channels, expand = self.channels, self.expand
        narrow = self.temporal.new_zeros(len(self.temporal), 3, 3)  # (C*expand, 3, 3): the pixel itself
        narrow[:, 1, 1] = 1
        wide = narrow if self.spatial is None else self.spatial[:, 0].repeat_interleave(expand, dim=0)
        # (C*expand, 3, 3, 3): output channel, time, height, width
        hourglass = torch.stack([wide, narrow, wide], dim=1) * self.temporal[:, :, None, None]
        kernel = hourglass.new_zeros(frames - 2, channels, expand, frames, channels, 3, 3)
        for c in range(channels):
            for t in range(frames - 2):
                kernel[t, c, :, t : t + 3, c] = hourglass[c * expand : (c + 1) * expand]
        return kernel.flatten(0, 2).flatten(1, 2)


CENTRE = 4  # of the nine taps of a 3x3 kernel, row by row


class ClipHourglass(Hourglass):
    """HgC over the segments of a clip, averaged over space, which is all that the clip-level gate needs.

    Zero beyond the clip's ends (T -> T segments). The mean is linear, so it comes first, and the segments are combined
    as (N*T, C) numbers instead of feature maps:

        mean(y_t) = w[0] * mean(A(x_{t-1}))  +  w[1] * mean(x_t)  +  w[2] * mean(A(x_{t+1}))

    mean(A(x)) is linear as well: each tap of A times the mean of its inputs, `tap_means`.
    """

    def forward(self, x: Tensor, num_segments: int) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C), in float32 or wider."""
        with without_autocast(x.device.type):  # few numbers, in full precision
            means = tap_means(x)  # (N*T, C, 9)
            here = means[..., CENTRE]
            around = here if self.spatial is None else (means * self.spatial.flatten(1)).sum(2)
            return over_segments(around, here, self.temporal, num_segments)

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-adds of the equation, which is applied before the mean."""
        return super().macs(x, x)


def over_segments(around: Tensor, here: Tensor, temporal: Tensor, num_segments: int) -> Tensor:
    """The equation of `ClipHourglass`: mean(A(x)) and mean(x) of each segment -> mean(y), all of (N*T, C)."""
    past, now, future = temporal.unbind(1)  # (C,) each
    around = F.pad(around.unflatten(0, (-1, num_segments)), (0, 0, 1, 1))  # (N, T+2, C)
    y = past * around[:, :-2] + now * here.unflatten(0, (-1, num_segments)) + future * around[:, 2:]
    return y.flatten(0, 1)


def without_autocast(device: str) -> AbstractContextManager:
    """A context of full precision. `device`: a type such as cuda; the meta device has no autocast."""
    known = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if known else nullcontext()


def tap_means(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 9), in float32 or wider: the mean input of each tap of a zero-padded 3x3 kernel.

    The taps above the centre never see the last row, those left of it never the last column, and so on.
    """
    height, width = x.shape[2:]
    dtype = torch.promote_types(x.dtype, torch.float32)
    seen = torch.full((height, width, 3, 3), 1 / (height * width), dtype=dtype, device=x.device)
    seen[-1, :, 0] = seen[0, :, 2] = seen[:, -1, :, 0] = seen[:, 0, :, 2] = 0
    return x.flatten(2).to(dtype) @ seen.flatten(2).flatten(0, 1)  # (B, C, H*W) @ (H*W, 9)
