"""SV-Mix (arXiv 2309.09534), its selection network: chooses the volumes of two clips, and gives the mixed clip's label.

F is the teacher's feature map (N, C, T', h, w). A mask has one weight for each of its T' * h * w cells; a cell covers
T/T' segments and (H/h) x (W/w) pixels. svmix.py trains the network.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_INNER = 1024  # channels of queries and keys, where the features have more (ResNet-50: 2048)
DEAD_ZONE, MASK_WEIGHT = 0.1, 0.1  # of the mask loss
PLAIN_BELOW = 0.08  # ratios this close to 0 or 1 are mixed as in Mixup: the selector cannot reach them


class Selector(nn.Module):
    """The selective module: attends from a clip to its partner and decides how much of the partner each cell gets.

    Spatial mode: the positions of a time step attend to the partner's at the same step. Temporal mode: the time steps,
    averaged over space, attend to the partner's; a whole frame gets one weight. Both modes share their parameters
    (NOTE: as in the released code; the paper's figure has a module for each).
    """

    def __init__(self, channels: int, inner: int | None = None) -> None:
        """A selector for features of C channels, with `inner` channels of queries and keys."""
        super().__init__()
        self.query = nn.Linear(channels + 1, inner or min(channels, LARGEST_INNER))  # also of the keys
        self.value = nn.Linear(channels + 1, 1)
        with torch.no_grad():  # at the start the partner's weight is about sigmoid(4 (0.5 - lambda))
            self.value.weight[:, -1] = 4.0
            self.value.bias.zero_()

    def forward(self, features: Tensor, partner: Tensor, ratio: float, spatial: bool) -> Tensor:
        """The teacher's features (N, C, T', h, w) -> the partner's weight in each cell, (N, T', h, w) in (0, 1).

        `partner` (N,) are positions in the batch; `ratio` is lambda, roughly the weight of the own clip.
        """
        _, _, steps, height, width = features.shape
        tokens = features.flatten(3).permute(0, 2, 3, 1)  # (N, T', h*w, C)
        if not spatial:
            tokens = tokens.mean(2)  # (N, T', C)
        own = F.pad(tokens, (0, 1), value=ratio - 0.5)  # the ratio enters only here, as one more channel
        other = F.pad(tokens[partner], (0, 1), value=0.5 - ratio)
        query, key, value = self.query(own), self.query(other), self.value(other)
        attention = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        weight = (attention @ value).sigmoid()  # (N, T', h*w, 1) or (N, T', 1)
        if spatial:
            return weight.view(-1, steps, height, width)
        return weight[..., None].expand(-1, -1, height, width)


def spread(cells: Tensor, segments: int, height: int, width: int) -> Tensor:
    """(N, T', h, w) -> (N, T, H, W): each cell's value for all its segments and pixels. T', h, w divide T, H, W."""
    for axis, size in enumerate((segments, height, width), start=1):
        cells = cells.repeat_interleave(size // cells.shape[axis], axis)
    return cells


def mask_loss(other: Tensor, ratio: float) -> Tensor:
    """Keeps the partner's weights (N, T', h, w) near the ratio: 0.1 * max(|1 - mean - lambda| - 0.1, 0)."""
    return MASK_WEIGHT * F.relu((1 - other.mean() - ratio).abs() - DEAD_ZONE)


def saliency_share(features: Tensor, other: Tensor, partner: Tensor) -> Tensor:
    """The own label's share (N,): the fraction of the mixed clip's saliency that is the own clip's, in (0, 1).

    Saliency is a softmax over all cells of a clip, of the teacher's features (N, C, T', h, w) averaged over channels;
    `other` (N, T', h, w) are the weights of the partner (N,).
    """
    saliency = features.mean(1).flatten(1).softmax(1).view_as(other)  # (N, T', h, w)
    own_part = (saliency * (1 - other)).sum((1, 2, 3))
    other_part = (saliency[partner] * other).sum((1, 2, 3))
    return own_part / (own_part + other_part)
