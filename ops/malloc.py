"""Memory of the C library on the CPU: --malloc."""

import ctypes
import platform


def keep_freed_memory() -> None:
    """Let this process reuse the memory that it frees.

    By default the GNU C library maps large tensors one by one and unmaps them at once; the page faults take a tenth to
    half of a network's time on the CPU. Other C libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD of malloc.h: map nothing separately, return nothing, grow in large steps
    for parameter, value in ((-4, 0), (-1, -1), (-2, 256 << 20)):
        mallopt(parameter, value)
