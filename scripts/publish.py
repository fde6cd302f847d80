#!/usr/bin/env python
"""Write the weights of a checkpoint for sharing: NAME-HASH.safetensors, with classes and accuracy in its metadata.

HASH is the beginning of the file's SHA-256, as torch.hub expects. The file loads wherever a checkpoint does.
"""

import argparse
import hashlib
import json
import logging
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser
from common.console import answer_help, run_script
from common.errors import InputError, wrong_fields
from common.files import all_or_nothing
from common.version import project_version
from ops.choices import DTYPES
from options.groups import add_ema_option


def publish_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("weights", metavar="CKPT", help="checkpoint of train.py")
    parser.add_argument("--output_dir", type=Path, default=Path(), help="folder for the file")
    text = "start of the file name; by default network, data set, backbone and segments, as in runs/"
    parser.add_argument("--name", help=text)
    text = "type of the stored weights; float16 halves the file size, and networks still compute in float32"
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help=text)
    add_ema_option(parser)
    return parser


if __name__ == "__main__":
    answer_help(publish_parser())  # before torch is loaded

import safetensors.torch
import torch

from ops.network import VideoNet, not_finite
from ops.scoring.metrics import FIGURES
from ops.scoring.score import on_the_cpu
from ops.weights.checkpoint import Weights
from ops.weights.file import METADATA_KEY, tensor_digest

CLIPS = 8  # number of random clips whose logits are compared


def file_content(weights: Weights, model: VideoNet, dtype: torch.dtype) -> bytes:
    """The weights with their metadata as the content of a safetensors file.

    Raises:
        InputError: a value is too large for the dtype.
    """
    state = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in model.state_dict().items()
    }
    too_large = not_finite(state)
    if too_large is not None:
        raise InputError(f"{weights.path}: {too_large} is too large for {dtype}; publish with --dtype float32")
    about = {
        "trained_on": weights.require_trained_on().as_stored(),
        "figures": accuracies(weights),
        "version": project_version(),
        "digest": tensor_digest({"state_dict": state}),
    }
    # One key: safetensors writes several in random order, and the hash would change from run to run.
    return safetensors.torch.save(state, {METADATA_KEY: json.dumps(about)})


def accuracies(weights: Weights) -> dict[str, float]:
    """Top-1 and top-5, or mAP, of the checkpoint's epoch in percent, by curve name; empty if it was not evaluated."""
    figures = weights.content.get("figures", {})
    return {
        name: figures[name] for name in ("val/top1", "val/top5", "val/map") if not wrong_fields(figures, {name: float})
    }


@torch.inference_mode()
def largest_difference(model: VideoNet, published: VideoNet, size: int) -> tuple[float, float]:
    """The largest difference between the logits of random clips, and the largest logit."""
    shape = (CLIPS, model.num_segments, model.frames_per_segment, 3, size, size)
    clips = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected, found = (torch.cat([on_the_cpu(each(clip)) for clip in clips.split(1)]) for each in (model, published))
    return float((found - expected).abs().max()), float(expected.abs().max())


def main(argv: list[str] | None = None) -> None:
    args = publish_parser().parse_args(argv)
    logging.getLogger().setLevel(logging.WARNING)
    weights = Weights.read(args.weights, ema=args.ema)
    made_for = weights.require_trained_on()
    model = weights.build(made_for.class_names)
    content = file_content(weights, model, getattr(torch, args.dtype))
    name = args.name or f"{made_for.net}_{made_for.dataset}_{made_for.arch}_{made_for.num_segments}f"
    name = re.sub(r"[^\w.-]", "_", name)
    path = args.output_dir / f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.safetensors"
    with all_or_nothing(args.output_dir, "--output_dir") as scratch:
        (scratch / path.name).write_bytes(content)
        published = Weights.read(str(scratch / path.name)).build(made_for.class_names)
        difference, largest = largest_difference(model, published, made_for.input_size)
    main = "map" if made_for.multi_label else "top1"
    share = accuracies(weights).get(f"val/{main}")
    shown = "unknown" if share is None else f"{share:.2f} %"
    print(f"{path}: {len(content) / 1e6:.1f} MB, {FIGURES[main]} {shown}")
    print(f"logits of {CLIPS} random clips differ by at most {difference:.2g}; the largest logit is {largest:.3g}")


if __name__ == "__main__":
    run_script(main)
