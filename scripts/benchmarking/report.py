"""Reports: Markdown tables, one line about the machine, and JSON."""

import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from joblib import cpu_count

from common.errors import counted
from ops.training.run_log import provenance

PACKAGES = ("numpy", "pillow", "av", "simplejpeg", "torchcodec", "onnxruntime")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table after an empty line."""
    print(f"\n{table(head, rows)}")


def machine(device: torch.device, malloc: str) -> dict[str, Any]:
    """Processor, cores, threads, device, what is done with freed memory, and the versions that speed depends on."""
    about = {
        "cpu": _cpu_name(),
        "cores": cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "malloc": malloc,
        **provenance(),
    }
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            about[package] = version(package)
    return about


def _cpu_name() -> str:
    with suppress(OSError):
        if found := re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return found[1]
    return platform.processor() or platform.machine()


def describe(about: Mapping[str, Any]) -> str:
    """`machine` in one line."""
    packages = [f"{name} {about[name]}" for name in ("python", "torch", "torchvision", *PACKAGES) if name in about]
    cores = f"{counted(about['cores'], 'core')}, {counted(about['threads'], 'thread')}"
    parts = [f"{about['cpu']}, {cores}", *packages, about["device"]]
    if about["malloc"] == "keep":
        parts.append("freed memory kept")
    return "; ".join(parts)
