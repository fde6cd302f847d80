"""Activation checkpointing (arXiv 1604.06174): blocks keep only their inputs and run again in the backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ops.network import VideoNet


class _Recomputed(nn.Module):
    """Mixin for the class of a block. Its BatchNorms count each batch once, in the forward pass."""

    def forward(self, *inputs: Any) -> Any:
        forward = super().forward
        if not torch.is_grad_enabled():
            return forward(*inputs)
        contexts = lambda: (nullcontext(), _statistics_kept(self))  # noqa: E731  (forward, again)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts)


def recompute_blocks(model: VideoNet) -> None:
    """Recompute every block of a network: all of `VideoNet.layers` except the first and the last.

    A block gets a class of its own rather than another `forward`: copies and DataParallel's replicas keep it.
    """
    for names in model.layers()[1:-1]:
        block = model.get_submodule(names[0])
        kind = type(block)
        block.__class__ = type(kind.__name__, (_Recomputed, kind), {})


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Let the BatchNorms update copies of their statistics in the block.

    Restoring the values would not do: autograd refuses tensors that change between a forward and a backward pass.
    """
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [dict(norm._buffers) for norm in norms]
    for norm in norms:
        norm._buffers.update({name: value if value is None else value.clone() for name, value in norm._buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
