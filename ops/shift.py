"""Temporal shift (TSM, arXiv 1811.08383, section 3): channels move along time, without parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FOLDS = 8  # parts of the channels: the first comes from the next segment, the second from the previous one


def temporal_shift(x: Tensor, num_segments: int) -> Tensor:
    """Shift an eighth of the channels by one segment each way in time: (N*T, C, H, W) -> the same.

    Channels [0, C/8) hold t+1, [C/8, C/4) hold t-1, the rest t; zeros beyond the ends of each clip's T segments.
    """
    fold = x.shape[1] // FOLDS
    if fold == 0:  # torch 2.9 and older cannot pad an empty tensor
        return x
    clips = x.unflatten(0, (-1, num_segments))  # (N, T, C, H, W)
    # Not written into an empty tensor: an exporter turns each such step into many operations.
    ahead = F.pad(clips[:, 1:, :fold], (0, 0, 0, 0, 0, 0, 0, 1))
    back = F.pad(clips[:, :-1, fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([ahead, back, clips[:, :, 2 * fold :]], 2).flatten(0, 1)


class ShiftedConv2d(nn.Conv2d):
    """A convolution of the temporally shifted input: (N*T, C, H, W) -> (N*T, C', H', W').

    Costs little more than the plain convolution, in time and in memory: a quarter of the channels is moved within the
    input while the convolution reads it, then moved back. No shifted copy is written, or kept for the backward pass;
    the input is in memory anyway, for the residual.
    """

    def __init__(self, *args: Any, num_segments: int, **kwargs: Any) -> None:
        """Like `nn.Conv2d`, but a `ValueError` for groups, dilation, or padding other than by a number of zeros."""
        super().__init__(*args, **kwargs)
        plain = (self.groups, self.dilation, self.padding_mode) == (1, (1, 1), "zeros")
        if not plain or isinstance(self.padding, str):
            raise ValueError("a shifted convolution has no groups, no dilation, and padding by a number of zeros")
        self.num_segments = num_segments

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C', H', W')."""
        if torch.compiler.is_compiling():  # which does not allow the input to change
            return self._conv_forward(temporal_shift(x, self.num_segments), self.weight, self.bias)
        weight, bias, device = self.weight, self.bias, x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        return _ShiftedConv.apply(x, weight, bias, self.num_segments, self.stride, self.padding)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_segments={self.num_segments}"


class _ShiftedConv(torch.autograd.Function):
    """conv2d(temporal_shift(x)) and its gradients; the shift is linear, its transpose moves the channels back."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, num_segments: int, stride: Any, padding: Any
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.num_segments, ctx.stride, ctx.padding, ctx.bias = num_segments, stride, padding, bias is not None
        with shifted_in_place(x, num_segments):
            return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        needed = [*ctx.needs_input_grad[:2], ctx.bias]
        geometry = (ctx.stride, ctx.padding, [1, 1], False, [0, 0], 1)
        with shifted_in_place(x, ctx.num_segments):
            grad_x, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
                grad, x, weight, [len(weight)], *geometry, needed
            )
        if grad_x is not None:
            _unshift_(grad_x, ctx.num_segments)
        return grad_x, grad_weight, grad_bias, None, None, None


@contextmanager
def shifted_in_place(x: Tensor, num_segments: int) -> Iterator[None]:
    """Inside, x (N*T, C, H, W) holds `temporal_shift` of itself, and is restored exactly afterwards."""
    ahead, back = _moving(x.data, num_segments)  # .data: hidden from autograd, because it is undone
    kept = [channels.clone(memory_format=torch.contiguous_format) for channels in (ahead, back)]
    ahead[:, :-1], ahead[:, -1] = kept[0][:, 1:], 0
    back[:, 1:], back[:, 0] = kept[1][:, :-1], 0
    try:
        yield
    finally:
        ahead.copy_(kept[0])
        back.copy_(kept[1])


def _unshift_(grad: Tensor, num_segments: int) -> None:
    """The transpose of `temporal_shift`, in place: values return to the segments that they came from."""
    ahead, back = _moving(grad, num_segments)
    for t in range(num_segments - 1, 0, -1):
        ahead[:, t] = ahead[:, t - 1]
    ahead[:, 0] = 0
    for t in range(num_segments - 1):
        back[:, t] = back[:, t + 1]
    back[:, -1] = 0


def _moving(x: Tensor, num_segments: int) -> tuple[Tensor, Tensor]:
    """The channels of x from the next segment and those from the previous one, as views (N, T, H, W, fold)."""
    fold = x.shape[1] // FOLDS
    clips = x.unflatten(0, (-1, num_segments))  # (N, T, C, H, W)
    return clips[:, :, :fold].movedim(2, -1), clips[:, :, fold : 2 * fold].movedim(2, -1)
