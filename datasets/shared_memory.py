"""Memory that worker processes share with the main process, so that batches are not copied on the way.

Each worker has a few slots and reuses them: new shared pages would cost a loader half as much as decoding.
"""

import math
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from common.errors import InputError

MAX_SLOTS = 5  # two batches ready, one in use, the one before it, and one being made; more get new memory

_slots: list[Tensor] = []  # of this worker, each (bytes + 1,) uint8; the last byte says whether it is in use


def uint8_memory(shape: Sequence[int]) -> Tensor:
    """An uninitialised contiguous uint8 tensor; in a DataLoader's worker it is shared with the main process."""
    if get_worker_info() is None:
        return torch.empty(*shape, dtype=torch.uint8)
    size = math.prod(shape)
    slot = _free_slot(size)
    slot[-1] = 1
    return slot[:size].view(*shape)


def _free_slot(size: int) -> Tensor:
    for slot in _slots:
        if slot[-1] == 0 and len(slot) > size:
            return slot
    _slots[:] = [slot for slot in _slots if slot[-1] != 0]  # the free ones are too small
    new = shared_bytes(size + 1)
    if len(_slots) < MAX_SLOTS:
        _slots.append(new)
    return new


def shared_bytes(size: int) -> Tensor:
    """(size,) uint8, shared with other processes; raises an `InputError` if there is no shared memory left."""
    try:
        storage = torch.UntypedStorage._new_shared(size, device="cpu")  # as torch's own `default_collate` does
    except RuntimeError as error:
        raise InputError(
            f"no room for {size / 2**20:.0f} MiB of shared memory ({error}). A batch needs that much, and up to "
            f"{MAX_SLOTS} are held for each worker: take fewer workers (-j; 0 needs none) or smaller batches (-b), or "
            "give the machine more (in Docker: --ipc=host, or --shm-size)"
        ) from error
    return torch.empty(0, dtype=torch.uint8).set_(storage)  # type: ignore[call-overload]


class SharedTensors:
    """Base class of dataclasses with tensors of `uint8_memory`, so that a worker can send them without a copy.

    A slot is free again when the main process has dropped the tensor in it and all views of it.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {name: _to_send(value) if isinstance(value, Tensor) else value for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update((name, value() if isinstance(value, partial) else value) for name, value in state.items())

    def pin_memory(self) -> Any:
        """Called by the DataLoader, for faster copies to the GPU."""
        pinned = {name: value.pin_memory() for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **pinned)  # type: ignore[type-var]


def _to_send(tensor: Tensor) -> Tensor | partial[Tensor]:
    """What another process makes the tensor of: a call if it is in a slot or small, otherwise the tensor itself."""
    if _in_a_slot(tensor):
        slot = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())  # type: ignore[call-overload]
        return partial(_tensor_in, slot, tensor.shape, tensor.stride(), int(tensor.storage_offset()))
    if tensor.is_shared():
        return tensor
    return partial(torch.from_numpy, tensor.numpy())  # torch would use shared memory and a socket for each


def _in_a_slot(tensor: Tensor) -> bool:
    """Whether it is in a slot of this process; only workers have slots."""
    return any(tensor.untyped_storage().data_ptr() == slot.data_ptr() for slot in _slots)


def _tensor_in(slot: Tensor, shape: Sequence[int], stride: Sequence[int], offset: int) -> Tensor:
    """A tensor in a slot, which is marked as free when the tensor and all its views are gone."""
    in_use = slot.numpy()[-1:]
    array = slot.as_strided(shape, stride, offset).numpy()
    # torch.from_numpy keeps a reference to this array, and so does every view of the tensor.
    weakref.finalize(array, in_use.fill, 0).atexit = False
    return torch.from_numpy(array)
