"""Peak memory of a call: of its tensors, exactly; and of the whole process, as the system sees it."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

MIB = 2**20


def peak_tensor_bytes(call: Callable[[], object], device: torch.device) -> int:
    """The most memory that tensors hold at a moment of a call, above what they held before it.

    On the CPU the sum over every allocation and release that PyTorch's allocator reports (oneDNN's scratch memory
    included), which is the same each time; on a GPU the allocator's own count.
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
    changes = sorted((e.start_ns(), place, e.nbytes()) for place, e in enumerate(events) if e.name() == "[memory]")
    held = peak = 0
    for _, _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def resident_bytes(pid: int) -> int | None:
    """Memory of a process now; pages that several processes share count in parts. None: the system does not tell."""
    return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def peak_resident_bytes(call: Callable[[], object]) -> int | None:
    """The most memory that this process holds during a call, above what it held before. None without /proc."""
    before = _field(Path("/proc/self/status"), "VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the highest mark so far is forgotten
    except OSError:
        return None
    call()
    peak = _field(Path("/proc/self/status"), "VmHWM")
    return None if before is None or peak is None else peak - before


def _field(path: Path, name: str) -> int | None:
    """Bytes of a line such as `VmRSS:   1234 kB`."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
