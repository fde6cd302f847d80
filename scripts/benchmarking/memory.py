"""Peak memory of a call: exactly for its tensors, and for the whole process as the system reports it."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

MIB = 2**20


def peak_tensor_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Peak memory of tensors during a call, minus that before it.

    On the CPU this is the sum over all allocations and releases of PyTorch's allocator (oneDNN's scratch memory
    included), which is reproducible; on a GPU it is the allocator's own count.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), order, e.nbytes()) for order, e in enumerate(events) if e.name() == "[memory]")
    held = peak = 0
    for _, _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def resident_bytes(pid: int) -> int:
    """Memory of a process now, shared pages divided among their processes; 0 without /proc."""
    return _field(f"/proc/{pid}/smaps_rollup", "Pss")


def private_bytes(pid: int) -> int:
    """Memory of a process that no other one shares; 0 without /proc."""
    return sum(_field(f"/proc/{pid}/smaps_rollup", name) for name in ("Private_Clean", "Private_Dirty"))


def peak_resident_bytes(call: Callable[[], object]) -> int:
    """Peak memory of this process during a call, minus that before it; 0 without /proc."""
    before = _field("/proc/self/status", "VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        return 0
    call()
    return _field("/proc/self/status", "VmHWM") - before


def _field(path: str, name: str) -> int:
    """Bytes of a line such as `VmRSS:   1234 kB`; 0 without it."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
