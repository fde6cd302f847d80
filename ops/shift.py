"""Temporal shift (TSM, arXiv 1811.08383, section 3): channels that move along time, free of parameters."""

import torch
from torch import Tensor, nn


def temporal_shift(x: Tensor, num_segments: int, fold_div: int = 8) -> Tensor:
    """Let a part of the channels look one segment ahead and another part one back.

    Args:
        x: (N*T, C, H, W), the segments of a clip one after the other.
        num_segments: T.
        fold_div: C // fold_div channels take the next segment's values, as many the previous one's.

    Returns:
        (N*T, C, H, W): channels [0, fold) hold t+1, [fold, 2*fold) hold t-1, the rest t; zeros beyond the ends.
    """
    fold = x.shape[1] // fold_div
    clips = x.unflatten(0, (-1, num_segments))  # (N, T, C, H, W)
    out = torch.empty_like(clips)
    out[:, :-1, :fold] = clips[:, 1:, :fold]
    out[:, -1, :fold] = 0
    out[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
    out[:, 0, fold : 2 * fold] = 0
    out[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
    return out.flatten(0, 1)


class TemporalShift(nn.Module):
    """`temporal_shift` as a part that a block is built with."""

    def __init__(self, num_segments: int, fold_div: int = 8) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.fold_div = fold_div

    def forward(self, x: Tensor) -> Tensor:
        """(N*T, C, H, W) -> (N*T, C, H, W)."""
        return temporal_shift(x, self.num_segments, self.fold_div)

    def extra_repr(self) -> str:
        return f"num_segments={self.num_segments}, fold_div={self.fold_div}"
