"""The starts of a run: options.json with its history, and the differences between two starts."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from common.errors import InputError
from common.files import write_json
from ops.runtime import Runtime
from ops.training.run_log import provenance

# Options that do not affect the weights, or that change whenever a run resumes.
NOT_COMPARED = {
    "resume", "evaluate", "print_freq", "workers", "decoder", "malloc", "check_data", "root_log", "root_model", "gpus",
    "eval_teacher", "log_images", "allow_overlap", "save_every", "config", "dry_run", "keep_best",
    "checkpoint_activations",
}  # fmt: skip


def environment(runtime: Runtime) -> dict[str, Any]:
    """Everything besides its options that the numbers of a run depend on."""
    return {
        "device": runtime.device.type,
        "processes": runtime.world_size,
        "GPUs per process": max(len(runtime.gpus), int(runtime.device.type == "cuda")),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # a plain string: its own class cannot be read back
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Changes between two starts of a run: one line per value that both have in "options" or "environment"."""
    lines = []
    for part, mark in (("options", "--"), ("environment", "")):
        old, new = before.get(part, {}), now[part]
        for name in (new.keys() & old.keys()) - NOT_COMPARED:
            texts = _text(old[name]), _text(new[name])
            if texts[0] != texts[1]:
                lines.append(f"{mark}{name}: {texts[0]} -> {texts[1]}")
    return sorted(lines)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not given" if value is None else str(value)


def record_start(path: Path, options: Mapping[str, Any], epoch: int) -> None:
    """Write options.json for a start after `epoch` epochs; earlier starts become its "history", oldest first.

    A file that cannot be read or written raises an `InputError`.
    """
    history: list[Any] = []
    if path.exists():
        try:
            earlier = json.loads(path.read_bytes())
            history = [*earlier.pop("history", []), earlier]
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            raise InputError(f"{path} cannot be read ({error}); move it away to get a new one") from error
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    content = {"options": dict(options), **provenance(), "started": started, "epochs_done": epoch}
    write_json(path, {**content, "history": history})
