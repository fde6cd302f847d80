#!/usr/bin/env python
"""Export the network of a checkpoint to ONNX (.onnx) or torch.export (.pt2), and check that its logits do not change.

The exported network takes uint8 clips (N, T, L, 3, H, W) at the checkpoint's input size, for any N, and returns logits
(N, K). Normalisation is included, and BatchNorms are folded. A file whose logits differ is not written.
"""

import argparse
import importlib.util
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser, number
from common.console import answer_help, run_script
from common.errors import InputError, command, reason, short
from common.files import all_or_nothing
from common.version import project_version
from ops.choices import EXPORTED
from options.groups import add_ema_option


def export_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("weights", metavar="CKPT", help="checkpoint of train.py, or a file of scripts/publish.py")
    text = f"files to write; the suffix, {' or '.join(EXPORTED)}, chooses the format"
    parser.add_argument("--output", type=Path, nargs="+", required=True, metavar="FILE", help=text)
    text = "export for the clip size of tests with --full_res: 256 pixels for an input size of 224"
    parser.add_argument("--full_res", action="store_true", help=text)
    text = "also time the network on the CPU: in PyTorch, compiled, and from each file, alternately"
    parser.add_argument("--latency", action="store_true", help=text)
    parser.add_argument("--batch_size", type=number(int, 1), default=1, help="clips per call, with --latency")
    parser.add_argument("--rounds", type=number(int, 1), default=15, help="timed calls of each variant, with --latency")
    add_ema_option(parser)
    return parser


if __name__ == "__main__":
    answer_help(export_parser())  # before torch is loaded

import torch
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from datasets.preprocessing import eval_preprocessing
from ops.fuse import fuse_for_inference
from ops.network import VideoNet
from ops.runtime import Runtime, start_runtime
from ops.weights.checkpoint import Weights
from ops.weights.exported import INPUT, OUTPUT, read_exported, require_pt2
from ops.weights.file import METADATA_KEY
from scripts.benchmarking.measuring import Spread, alternate, ratios
from scripts.benchmarking.report import describe, machine, print_table

TOLERANCE = 1e-4  # of the check, relative to the largest logit
BATCH_SIZES = (1, 2, 5)  # of the check
DYNAMIC_BATCH = {"clip": {0: torch.export.Dim("N", min=1)}}  # of `VideoNet.forward`
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_writers(outputs: list[Path]) -> None:
    """Refuse other formats, ONNX without its packages, and .pt2 in an old torch."""
    for path in outputs:
        if path.suffix not in EXPORTED:
            raise InputError(f"--output {path}: the suffix chooses the format; give {' or '.join(EXPORTED)}")
        if path.suffix == ".pt2":
            require_pt2(path)
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing and any(path.suffix == ".onnx" for path in outputs):
        install = command("pip", "install", *missing, "-c", "constraints.txt")
        raise InputError(f"ONNX needs {', '.join(missing)}: {install}; or export to .pt2")


def noise(model: VideoNet, size: int, count: int) -> Tensor:
    """Random clips (N, T, L, 3, H, W) uint8."""
    shape = (count, model.num_segments, model.frames_per_segment, 3, size, size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def moving_photograph(model: VideoNet, size: int, count: int) -> Tensor:
    """Clips (N, T, L, 3, H, W) uint8 of a photograph that moves to the right, each from another height."""
    photograph = torch.from_numpy(load_sample_image("china.jpg").copy()).movedim(-1, 0)[None]  # (1, 3, 427, 640)
    image = nn.functional.interpolate(photograph.float(), (size, size), mode="bilinear", antialias=True).byte()
    frames = torch.cat([image.roll(2 * i, 3) for i in range(model.num_segments * model.frames_per_segment)])
    clips = torch.stack([frames.roll(8 * i, 2) for i in range(count)])  # (N, T*L, 3, H, W)
    return clips.unflatten(1, (model.num_segments, model.frames_per_segment))


def export(network: VideoNet, clips: Tensor) -> torch.export.ExportedProgram:
    """The network as a program for any number of clips of this size."""
    try:
        program = torch.export.export(network, (clips,), dynamic_shapes=DYNAMIC_BATCH, strict=False)
    except Exception as error:  # such as code that depends on values
        raise InputError(f"torch.export cannot export {network.net}: {short(reason(error), 500)}") from error
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # names the folders of this machine
    program.example_inputs = None
    return program


def file_content(program: torch.export.ExportedProgram, suffix: str, metadata: str, net: str) -> bytes:
    """The program as the content of a file of this format."""
    if suffix == ".pt2":
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={f"{METADATA_KEY}.json": metadata})
        return buffer.getvalue()
    import onnx

    for library in ("onnxscript", "onnx_ir"):
        logging.getLogger(library).setLevel(logging.WARNING)  # they log each simplification
    try:
        names: Any = {"input_names": [INPUT], "output_names": [OUTPUT]}
        exported = torch.onnx.export(program, dynamo=True, verbose=False, dynamic_shapes=DYNAMIC_BATCH, **names)
    except Exception as error:  # such as an operator that ONNX lacks
        raise InputError(f"ONNX cannot express {net}: {short(reason(error), 500)}; export to .pt2") from error
    assert exported is not None
    model = exported.model_proto
    onnx.helper.set_model_props(model, {METADATA_KEY: metadata})
    return model.SerializeToString()


def require_same_logits(model: VideoNet, exported: Callable[[Tensor], Tensor], size: int, name: str) -> None:
    """Compare logits on noise and on a photograph, in batches of several sizes, and print the largest difference."""
    batches = [make(model, size, count) for make in (noise, moving_photograph) for count in BATCH_SIZES]
    with torch.inference_mode():
        expected = torch.cat([model(clips) for clips in batches])
    found = torch.cat([exported(clips) for clips in batches])
    difference, largest = (float(values.abs().max()) for values in (found - expected, expected))
    if not difference <= TOLERANCE * largest:
        raise InputError(
            f"{name}: the logits differ from those of {model.net} by {difference:.2g}; the largest logit is "
            f"{largest:.3g}. The file was not written; use the other format, and report this"
        )
    print(
        f"{name}: logits differ from the network's by at most {difference:.1e} in batches of {BATCH_SIZES}; the "
        f"largest logit is {largest:.3g}, the tolerance {TOLERANCE * largest:.1e}"
    )


def compiled(network: VideoNet) -> dict[str, Callable[[Tensor], Tensor]]:
    """The network through torch.compile; nothing, with a message, if that does not work here."""
    try:
        start_runtime([], compiled=True)
    except InputError as error:
        print(error)
        return {}
    return {"torch.compile": torch.compile(network, dynamic=False)}


def print_latency(variants: dict[str, Callable[[Tensor], Tensor]], clips: Tensor, rounds: int) -> None:
    """Time the variants in turns; the first is the base of the ratios."""
    calls = {name: partial(torch.inference_mode()(run), clips) for name, run in variants.items()}
    times = alternate(calls, rounds=rounds, warmup=3)
    print(f"\n{describe(machine(torch.device('cpu'), 'keep'))}; clips {tuple(clips.shape)}")
    base = next(iter(times.values()))
    rows = [[name, Spread.of(taken).text(1, 1000), ratios(taken, base).text()] for name, taken in times.items()]
    print_table(["network", "ms", f"time x {next(iter(times))}"], rows)


def main(argv: list[str] | None = None) -> None:
    args = export_parser().parse_args(argv)
    require_writers(args.output)
    logging.getLogger().setLevel(logging.WARNING)
    start_runtime([])
    weights = Weights.read(args.weights, ema=args.ema)
    made_for = weights.require_trained_on()
    model = Runtime(torch.device("cpu")).place(weights.build(made_for.class_names))
    network = fuse_for_inference(model)
    size = eval_preprocessing(made_for.input_size, full_res=args.full_res).crop_size
    facts = {"frames_per_segment": model.frames_per_segment, "size": size, "weights_sha256": weights.hash}
    metadata = json.dumps({"trained_on": made_for.as_stored(), "version": project_version(), **facts})

    program = export(network, noise(model, size, 2))
    for path in args.output:
        with all_or_nothing(path.parent, "--output") as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's exporters
            file = scratch / path.name
            file.write_bytes(file_content(program, path.suffix, metadata, model.net))
            require_same_logits(model, read_exported(file), size, str(path))
    if args.latency:
        files = {str(path): read_exported(path) for path in args.output}
        clips = noise(model, size, args.batch_size)
        print_latency({"eager": network, **compiled(network), **files}, clips, args.rounds)


if __name__ == "__main__":
    run_script(main)
