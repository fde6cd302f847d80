"""H2CN's two modules for inference: the same functions with BatchNorms folded and constants computed once."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ops.h2cn import ClipMotion, FrameMotion, halved
from ops.hourglass import CENTRE, FrameHourglass, over_segments, without_autocast


class FoldedFrameMotion(nn.Module):
    """`FrameMotion` as plain convolutions, its hourglass kernels assembled once."""

    def __init__(self, motion: FrameMotion) -> None:
        super().__init__()
        self.share = motion.share
        self.conv1 = _folded(motion.hourglass1, 5, motion.bn1)
        self.conv2 = _folded(motion.hourglass2, 3, motion.bn2)
        self.conv = fuse_conv_bn_eval(motion.conv, motion.bn)
        self.maxpool = motion.maxpool

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Like `FrameMotion.forward`."""
        x = halved(frames).flatten(1, 2)  # (B, 15, H/2, W/2)
        x = F.relu_(self.conv2(F.relu_(self.conv1(x))))
        return [F.relu_(self.maxpool(self.conv(x)))]


def _folded(hourglass: FrameHourglass, frames: int, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """An hourglass over F frames with the BatchNorm after it: (B, F*C, H, W) -> (B, (F-2)*C*expand, H, W)."""
    kernel = hourglass.kernel_2d(frames)
    conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=2, dilation=2, bias=False).eval()
    conv.weight = nn.Parameter(kernel)
    repeated = nn.BatchNorm2d(len(kernel), norm.eps).to(kernel).eval()  # the same for every frame
    state = norm.state_dict()
    repeated.load_state_dict({name: value.repeat(frames - 2) if value.ndim else value for name, value in state.items()})
    return fuse_conv_bn_eval(conv, repeated)


class FoldedClipMotion(nn.Module):
    """Takes the hourglass's means of x itself; one matrix does the rest.

    Its entries are the folded 1x1 convolution times the hourglass's factors. The bias from folding is a constant image,
    whose border means are 1 for the whole, 1/H for a row, 1/W for a column and 1/(H*W) for a corner.
    """

    weight: Tensor  # (9*C, 2*C/16): to mean(A(x)) and mean(x) of the reduced features
    bias: Tensor  # (4, 2*C/16): from the whole, rows, columns and corners
    temporal: Tensor  # (C/16, 3)

    def __init__(self, motion: ClipMotion) -> None:
        super().__init__()
        self.num_segments = motion.num_segments
        reduce = fuse_conv_bn_eval(motion.reduce, motion.reduce_bn)
        expand = fuse_conv_bn_eval(motion.expand, motion.expand_bn)
        spatial, from_borders = motion.hourglass.spatial, reduce.weight.new_tensor(TAPS_FROM_BORDERS)
        here = from_borders[CENTRE].expand(reduce.out_channels, -1)  # (C/16, 9)
        around = here if spatial is None else spatial.flatten(1) @ from_borders
        factors = torch.stack([around, here])
        weight = torch.einsum("srb,rc->bcsr", factors, reduce.weight.flatten(1)).flatten(2).flatten(0, 1)
        whole, rows, columns, corners = torch.einsum("srb,r->bsr", factors, reduce.bias).flatten(1).split((1, 2, 2, 4))
        self.register_buffer("weight", weight)
        self.register_buffer("bias", torch.stack([whole[0], rows.sum(0), columns.sum(0), corners.sum(0)]))
        self.register_buffer("temporal", motion.hourglass.temporal.detach().clone())
        self.expand = nn.Linear(expand.in_channels, expand.out_channels).to(weight)
        self.expand.load_state_dict({"weight": expand.weight.flatten(1), "bias": expand.bias})

    def forward(self, x: Tensor) -> Tensor:
        """Like `ClipMotion.forward`, in place."""
        height, width = x.shape[2:]
        whole, rows, columns, corners = self.bias
        constant = whole + rows / height + columns / width + corners / (height * width)  # (2*C/16,)
        with without_autocast(x.device.type):  # few numbers, in full precision
            means = border_means(x).flatten(1)  # (N*T, 9*C), float32 in a network of lower precision
            means = torch.addmm(constant.to(means.dtype), means, self.weight.to(means.dtype))  # (N*T, 2*C/16)
            around, here = means.chunk(2, 1)
            pooled = over_segments(around, here, self.temporal, self.num_segments)
            gate = torch.sigmoid(self.expand(pooled.to(self.expand.weight.dtype)))  # (N*T, C)
        return x.mul_(gate[:, :, None, None].to(x.dtype))  # another type would copy x twice


def border_means(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 9, C), in float32 or wider: sums over the image and its borders, each divided by H*W.

    In order: all pixels; the last and first row; the last and first column; the four corners. `TAPS_FROM_BORDERS` turns
    them into `tap_means`. With many channels and channels-last they are faster to compute, but slower to train: the
    network for inference uses them, which saves 4 % of its time.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    sides = [x[:, :, -1], x[:, :, 0], x[..., -1], x[..., 0]]  # (B, C, W) and (B, C, H)
    sums = [x.sum((2, 3), dtype=dtype), *(side.sum(2, dtype=dtype) for side in sides)]
    corners = [x[:, :, i, j].to(dtype) for i in (-1, 0) for j in (-1, 0)]
    return torch.stack([*sums, *corners], 1) / (x.shape[2] * x.shape[3])


# A row per tap, in the order of the kernel: all pixels, minus a row, minus a column, plus the corner subtracted twice.
TAPS_FROM_BORDERS = (
    (1, -1, 0, -1, 0, 1, 0, 0, 0),
    (1, -1, 0, 0, 0, 0, 0, 0, 0),
    (1, -1, 0, 0, -1, 0, 1, 0, 0),
    (1, 0, 0, -1, 0, 0, 0, 0, 0),
    (1, 0, 0, 0, 0, 0, 0, 0, 0),
    (1, 0, 0, 0, -1, 0, 0, 0, 0),
    (1, 0, -1, -1, 0, 0, 0, 1, 0),
    (1, 0, -1, 0, 0, 0, 0, 0, 0),
    (1, 0, -1, 0, -1, 0, 0, 0, 1),
)
