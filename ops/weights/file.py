"""Checkpoint files: read as tensors and plain values only, written completely or not at all."""

import errno
import hashlib
import json
import logging
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from common.console import WORKER_DIED
from common.errors import InputError, reason
from common.files import file_hash, replacing
from ops.scoring.array_pickles import NUMPY_NAMES

FORMAT = 2  # newest version of the checkpoint's fields: 2 has a position within an epoch, 1 has none
METADATA_KEY = "h2cn"  # name of the JSON in the metadata of published (safetensors) and exported files


class DamagedFileError(InputError):
    """A file whose content differs from what was written."""


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint file to the CPU; it may hold tensors and plain values only.

    The tensors of our checkpoints must match the digest that was saved with them. Files from elsewhere have none: their
    SHA-256 is logged, to compare with the publisher's. A damaged file, or one with other objects, raises a
    `DamagedFileError`; one that does not exist or cannot be read, another `InputError`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; give the path of a file such as runs/NAME/ckpt.best.pth.tar")
    try:
        if path.suffix == ".safetensors":
            content = _read_safetensors(path)
        elif path.suffix in (".onnx", ".pt2"):
            raise InputError(f"{path} is an exported network, which only predict.py accepts; give its checkpoint")
        else:
            _check_archive(path)
            content = _load(path)
        if not isinstance(content, dict):
            raise InputError(
                f"{path} holds a {type(content).__name__}, not a state dict; use a checkpoint of a training run"
            )
        if "digest" in content and content["digest"] != tensor_digest(content):
            raise DamagedFileError(
                f"{path} is damaged: its tensors do not match the digest saved with them; use another copy. If you "
                "changed them on purpose, remove the entry 'digest'"
            )
    except InputError:
        raise
    except Exception as error:  # a damaged file can raise almost anything
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a cut archive points beyond its end
            raise InputError(f"{path} cannot be read: {reason(error)}") from error
        raise DamagedFileError(f"{path} {_fault(path, error)}") from error
    if not {"digest", "format", "trained_on"} & content.keys():
        logging.info("%s is not a checkpoint of this project; its SHA-256 is %s", path, file_hash(path))
    written_as = content.get("format")
    if isinstance(written_as, int) and written_as > FORMAT:
        raise InputError(f"{path} was written by a newer version of this project; update it to read the file")
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a file from elsewhere, or the checkpoint in a file of scripts/publish.py."""
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    with safetensors.safe_open(path, "pt") as file:
        metadata = (file.metadata() or {}).get(METADATA_KEY)
    if metadata is None:
        return tensors
    named = re.search(r"-([0-9a-f]{8})\.safetensors$", path.name)
    if named and hashlib.sha256(data).hexdigest()[:8] != named[1]:
        raise InputError(f"{path} does not match the hash in its name: it is damaged; copy or download it again")
    return {**json.loads(metadata), "state_dict": tensors}


def tensor_digest(content: Any) -> str:
    """SHA-256 of all tensors at any depth of dicts and lists, with their places, types and shapes, in hexadecimal.

    The order of a dict does not matter. It takes 0.1 s per 100 MB.
    """
    digest = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, (dict, list, tuple)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in sorted(items, key=lambda pair: str(pair[0])):
                add(f"{name}/{key}", item)
        elif isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    add("", content)
    return digest.hexdigest()


def _load(path: Path) -> Any:
    """The content, with NumPy scalars converted to plain numbers."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "numpy" in str(error):
            stand_ins = torch.serialization.safe_globals([(stand_in, name) for name, stand_in in NUMPY_NAMES.items()])
            with stand_ins:
                return torch.load(path, map_location="cpu", weights_only=True)
        raise


def _check_archive(path: Path) -> None:
    """Check what torch does not: checksums (0.03 s for 100 MB), and that the file is as large as its content.

    Compressed content, which torch.save never makes, could be thousands of times as large.
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
    """What is wrong with a file of another content, and what to do; torch's own advice would let the file run code."""
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
            f"holds {refused[1]}, not only tensors and plain values: it could run code, so it was not read. Where it "
            "was made, save only the weights: torch.save(model.state_dict(), FILE)"
        )
    return "is not a checkpoint of tensors and plain values, or it is damaged; copy or download it again"


def save_checkpoint(path: Path, content: dict[str, Any], *, previous: Path | None = None) -> None:
    """Write to a temporary file next to `path`, then rename: on an `InputError` the old file remains.

    With `previous`, the replaced file is kept under that name.
    """
    version = FORMAT if "position" in content else 1
    try:
        with replacing(path) as temporary:
            torch.save({"format": version, **content, "digest": tensor_digest(content)}, temporary)
            if previous is not None and path.exists():
                _keep(path, previous)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        if str(error).startswith(WORKER_DIED):  # raised by a signal handler
            raise
        why = error.strerror if isinstance(error, OSError) else "the disk is full"
        if path.parent.exists():
            why = f"{why} ({shutil.disk_usage(path.parent).free >> 20} MiB are free)"
        raise InputError(
            f"cannot write {path}: {why}; free some space or choose another --root_model. "
            "Earlier checkpoints are untouched."
        ) from error


def _keep(path: Path, other: Path) -> None:
    """Hard-link a file to another name, or rename it where hard links do not exist."""
    other.unlink(missing_ok=True)
    try:
        os.link(path, other)
    except OSError:
        os.replace(path, other)
