"""What a measurement says: Markdown tables that docs can take as they are, the machine, and JSON."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from joblib import cpu_count

from common.errors import InputError
from common.files import write_whole
from ops.training.run_log import provenance

PACKAGES = ("numpy", "pillow", "av", "simplejpeg", "torchcodec")


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Markdown."""
    print("\n| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def machine(device: torch.device) -> dict[str, Any]:
    """Processor, cores, threads, device, and the versions that speed depends on."""
    return {
        "cpu": _cpu_name(),
        "cores": cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        **provenance(),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def describe(about: Mapping[str, Any]) -> str:
    """One line of `machine`."""
    packages = [f"{name} {about[name]}" for name in ("python", "torch", "torchvision", *PACKAGES) if name in about]
    parts = [f"{about['cpu']}, {about['cores']} cores, {about['threads']} threads", *packages, about["device"]]
    if about["malloc"] == "keep":
        parts.append("freed memory kept")
    return "; ".join(parts)


def check_target(path: Path | None, flag: str = "--json") -> None:
    """Whether a file can be written, before anything is measured.

    Raises:
        InputError: it cannot.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        what = "a folder" if path.is_dir() else f"in a folder that is not there, {path.parent}"
        raise InputError(f"{flag} {path} is {what}; give a file in a folder that is there")


def write_report(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write all that was measured; with None do nothing.

    Raises:
        InputError: it cannot be written.
    """
    if path is None:
        return
    try:
        write_whole(path, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another --json") from error


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
