"""Checkpoint files: read as tensors and plain values only, written completely or not at all."""

import hashlib
import json
import os
import pickle
import re
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from common.console import WORKER_DIED
from common.errors import InputError
from common.files import replacing
from ops.scoring.array_pickles import NUMPY_NAMES

FORMAT = 1  # version of the checkpoint's fields
METADATA_KEY = "h2cn"  # name of the JSON in the metadata of published (safetensors) and exported files


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint file to the CPU; it may hold tensors and plain values only.

    Raises:
        InputError: the file does not exist, is damaged, or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; give the path of a file such as runs/NAME/ckpt.best.pth.tar")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        if path.suffix in (".onnx", ".pt2"):
            raise InputError(f"{path} is an exported network, which only predict.py takes; give its checkpoint")
        _check_archive(path)
        content = _load(path)
    except InputError:
        raise
    except Exception as error:  # a damaged file can raise almost anything
        raise InputError(f"{path} {_fault(path, error)}") from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path} holds a {type(content).__name__}, not a state dict; use a checkpoint of a training run"
        )
    written_as = content.get("format")
    if isinstance(written_as, int) and written_as > FORMAT:
        raise InputError(f"{path} was written by a newer version of this project; update it to read the file")
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a file from elsewhere, or the checkpoint in a file of scripts/publish.py.

    Raises:
        InputError: the hash in the name of the published file is not its own.
    """
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    with safetensors.safe_open(path, "pt") as file:
        metadata = (file.metadata() or {}).get(METADATA_KEY)
    if metadata is None:
        return tensors
    named = re.search(r"-([0-9a-f]{8})\.safetensors$", path.name)
    if named and hashlib.sha256(data).hexdigest()[:8] != named[1]:
        raise InputError(f"{path} is not the file that its name says: it is damaged; copy or download it again")
    return {**json.loads(metadata), "state_dict": tensors}


def _load(path: Path) -> Any:
    """The content; NumPy's numbers in it become plain numbers."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "numpy" in str(error):
            stand_ins = torch.serialization.safe_globals([(stand_in, name) for name, stand_in in NUMPY_NAMES.items()])
            with suppress(AttributeError), stand_ins:  # torch 2.5 does not accept pairs
                return torch.load(path, map_location="cpu", weights_only=True)
        raise


def _check_archive(path: Path) -> None:
    """Check what torch does not: checksums (0.03 s for 100 MB), and that the file is as large as its content.

    Raises:
        InputError: the content is compressed, as torch.save never does, and could be thousands of times as large.
        zipfile.BadZipFile: the file is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        compressed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if compressed or sum(member.file_size for member in members) > path.stat().st_size:
            raise InputError(
                f"{path} is a packed archive or a TorchScript program, not a checkpoint; unpack it, or save the "
                "program's weights"
            )
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)


def _fault(path: Path, error: Exception) -> str:
    """The fault of an unreadable file, with its remedy; torch's own advice is to let it run code."""
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    if isinstance(error, safetensors.SafetensorError):
        return f"cannot be read as safetensors: {error}; is the copy complete?"
    with path.open("rb") as file:
        start = file.read(300)
    if start.startswith(b"\x1f\x8b") or start[257:262] == b"ustar":
        return "is a packed archive, not a checkpoint; unpack it"
    start = start.lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself; get the file with: git lfs pull"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a checkpoint; download the file again"
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and refused:
        return (
            f"holds {refused[1]}, not only tensors and plain values: it could run code, so it was not read. Save "
            "only the weights, where they were made: torch.save(model.state_dict(), FILE)"
        )
    return "is not a checkpoint of tensors and plain values, or it is damaged; copy or download it again"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write to a temporary file next to `path`, then rename: if that fails, the old file remains.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with replacing(path) as temporary:
            torch.save({"format": FORMAT, **content}, temporary)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        if str(error).startswith(WORKER_DIED):  # raised by a signal handler
            raise
        reason = error.strerror if isinstance(error, OSError) else "the disk is full"
        if path.parent.exists():
            reason = f"{reason} ({shutil.disk_usage(path.parent).free >> 20} MiB are free)"
        raise InputError(
            f"cannot write {path}: {reason}; free some space or choose another --root_model. "
            "Earlier checkpoints are untouched."
        ) from error
