"""Exported networks, the .onnx and .pt2 files of scripts/export.py: read, checked and run.

`torch.export.load` unpickles objects, evaluates expressions, calls functions and loads compiled libraries that a .pt2
file names. Only archives without any of these, beyond what scripts/export.py writes, are loaded.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.errors import InputError, reason, short, wrong_fields
from ops.weights.checkpoint import TrainedOn
from ops.weights.file import METADATA_KEY

INPUT, OUTPUT = "clips", "logits"  # names in an ONNX graph

_PT2_TORCH = "2.9"  # the first version that stores tensors in .pt2 files without pickling them

Run = Callable[[Tensor], Tensor]  # clips (N, T, L, 3, H, W) uint8 on the CPU -> logits (N, K)

# All files in the archive of an exported network, without the name of its folder.
_MEMBERS = re.compile(
    rf"archive_format|archive_version|byteorder|\.data/\w+|extra/{METADATA_KEY}\.json|models/model\.json"
    r"|data/sample_inputs/model\.pt|data/(weights/weight|constants/tensor)_\d+"
    r"|data/(weights/model_weights|constants/model_constants)_config\.json"
)
_OPERATOR = re.compile(
    r"torch\.ops\.(aten\.(?!from_file|__)\w+\.(?!__)\w+|higher_order\.wrap_with_autocast)|_operator\.mul"
)
_SIZE = re.compile(r"((Mul|Add|Integer|Symbol)\(|(positive|integer)=True|[\ds'*+), -])+")  # such as 8 * N
_TREE = re.compile(r'(builtins\.(tuple|dict)|type|context|children_spec|null|[\d\[\]{}:,"\s])+')  # a tensor in a tuple
# Fields of the program that torch evaluates, and their values in an exported network.
_EVALUATED = {"target": _OPERATOR, "as_operator": _OPERATOR, "expr_str": _SIZE, "in_spec": _TREE, "out_spec": _TREE}


class ExportedNet:
    """A network from an exported file, with the facts of its checkpoint. It runs on the CPU."""

    def __init__(self, path: Path, trained_on: TrainedOn, frames_per_segment: int, size: int, run: Run) -> None:
        self.path, self.trained_on, self._run = path, trained_on, run
        self.class_names, self.input_size = trained_on.class_names, trained_on.input_size
        self.num_segments = trained_on.num_segments
        self.frames_per_segment = frames_per_segment
        self.size = size  # H = W in pixels; with --full_res larger than the input size of the training

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips (N, T, L, 3, H, W) uint8, H = W = `size` (else a `ValueError`) -> logits (N, K) on the CPU."""
        wanted = (self.num_segments, self.frames_per_segment, 3, self.size, self.size)
        if clips.shape[1:] != wanted or clips.dtype != torch.uint8:
            sizes = ", ".join(map(str, wanted))
            raise ValueError(
                f"the clips are {tuple(clips.shape)} of {clips.dtype}; {self.path} takes (N, {sizes}) of torch.uint8"
            )
        with torch.inference_mode():
            return self._run(clips.cpu())


def read_exported(path: Path) -> ExportedNet:
    """Read a file of scripts/export.py; an `InputError` if it is missing, damaged, from elsewhere or could run code."""
    readers = {".onnx": _read_onnx, ".pt2": _read_pt2}
    if path.suffix not in readers or not path.is_file():
        raise InputError(f"no exported network at {path}; give an .onnx or .pt2 file of scripts/export.py")
    try:
        metadata, run = readers[path.suffix](path)
        about = json.loads(metadata) if metadata else {}
    except InputError:
        raise
    except Exception as error:  # a damaged file can raise almost anything
        raise InputError(f"{path} cannot be read ({short(reason(error), 200)}); export the checkpoint again") from error
    sizes = {"frames_per_segment": int, "size": int}
    trained_on = None if wrong_fields(about, sizes) else TrainedOn.of(about, str(path))
    if trained_on is None:
        raise InputError(f"{path} does not name its network and classes; give a file of scripts/export.py")
    return ExportedNet(path, trained_on, about["frames_per_segment"], about["size"], run)


def _read_onnx(path: Path) -> tuple[str | None, Run]:
    """The metadata, and the network in ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{path} needs ONNX Runtime: pip install onnxruntime -c constraints.txt") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would slow down the rest
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(clips: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: clips.numpy()})[0])

    return session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), run


def require_pt2(path: Path) -> None:
    """Refuse .pt2 files in versions of torch that pickle their weights."""
    if torch.__version__ < _PT2_TORCH:
        raise InputError(
            f"{path} needs torch {_PT2_TORCH} or newer, this is {torch.__version__}; update torch, or use an .onnx file"
        )


def _read_pt2(path: Path) -> tuple[str, Run]:
    """The metadata, and the network in torch."""
    require_pt2(path)
    with zipfile.ZipFile(path) as archive:
        _require_plain(path, archive)
        (name,) = [name for name in archive.namelist() if name.endswith(f"/extra/{METADATA_KEY}.json")]
        metadata = archive.read(name).decode()
    return metadata, torch.export.load(path).module()


def _require_plain(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive with more than tensors, known operators and sizes: it could run code."""
    files = {name.partition("/")[2]: name for name in archive.namelist()}
    if not {"models/model.json", "data/sample_inputs/model.pt"} <= files.keys():
        raise InputError(
            f"{path} is not an exported network; give a file of scripts/export.py. If it is a checkpoint, rename it to "
            "end in .pth.tar"
        )
    strange = [name for name in files if not _MEMBERS.fullmatch(name)]
    if len(files) < len(archive.namelist()) or archive.getinfo(files["data/sample_inputs/model.pt"]).file_size:
        strange.append("example inputs, or two files of one name")
    for name, full in files.items():
        if name.endswith("_config.json"):
            entries = json.loads(archive.read(full))["config"].items()
            strange += [f"{key}, which is pickled" for key, entry in entries if entry["use_pickle"]]
    for key, value in _fields(json.loads(archive.read(files["models/model.json"]))):
        if (key in _EVALUATED and not _EVALUATED[key].fullmatch(str(value))) or (key == "guards_code" and value):
            strange.append(f"{key} {value!r}")
    if strange:
        raise InputError(
            f"{path} holds {short(strange[0])}: it could run code, so it was not read. Export your checkpoint again; "
            "from other people, accept only .onnx files"
        )


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of all dictionaries in JSON data."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _fields(inner)
    if isinstance(value, dict):
        yield from value.items()
