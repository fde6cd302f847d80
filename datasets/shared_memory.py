"""Memory in which a worker process makes what the main process uses, so that nothing is copied on the way."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import get_worker_info


def uint8_memory(shape: Sequence[int]) -> Tensor:
    """A contiguous uint8 tensor, not filled; in a DataLoader's worker it is shared with the main process."""
    if get_worker_info() is None:
        return torch.empty(*shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(math.prod(shape), device="cpu")  # as torch's own `default_collate` does
    return torch.empty(0, dtype=torch.uint8).set_(storage, 0, tuple(shape))  # type: ignore[call-overload]
