#!/usr/bin/env python
"""Average the weights of several checkpoints of a network, such as the best epochs of a run, into a new one.

BatchNorm statistics are averaged as well. Checkpoint averaging: arXiv 1706.03762, section 6.1; arXiv 1803.05407.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser
from common.console import answer_help, run_script
from common.errors import InputError, command
from common.files import require_replaceable
from options.groups import add_ema_option


def average_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("weights", nargs="+", metavar="CKPT", help="two or more checkpoints of train.py")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the checkpoint to write")
    add_ema_option(parser)
    return parser


if __name__ == "__main__":
    answer_help(average_parser())  # before torch is loaded

from torch import Tensor

from ops.training.seen_clips import SeenClips, joined, seen_clips
from ops.weights.checkpoint import Weights
from ops.weights.file import save_checkpoint, tensor_digest

SAME = (
    "net", "arch", "ablate", "num_segments", "dataset", "class_names", "multi_label", "input_size", "preprocessing",
    "frame_stride", "frame_rate",
)  # fmt: skip


def averaged_checkpoint(paths: list[str], *, ema: bool = False) -> dict[str, Any]:
    """Content of a checkpoint with the mean weights, for tests and --tune_from; `ema`: average the averaged weights.

    Raises:
        InputError: their networks or classes differ, or two hold the same weights.
    """
    first = Weights.read(paths[0], ema=ema)
    made_for = first.require_trained_on()
    sums: dict[str, Tensor] = {}
    found: dict[str, str] = {}  # digest of the weights -> file
    seen: SeenClips = {}
    for path in paths:
        weights = Weights.read(path, ema=ema)
        weights.require_trained_on().require(path, **{name: getattr(made_for, name) for name in SAME})
        state = weights.build(made_for.class_names).state_dict()
        digest = tensor_digest(state)
        if digest in found:
            raise InputError(f"{found[digest]} and {path} hold the same weights; give each only once")
        found[digest] = path
        for name, value in state.items():
            sums[name] = sums.get(name, 0) + value.double()
        seen = joined(seen, seen_clips(weights.content, path))
    means = {name: (total / len(paths)).to(state[name].dtype) for name, total in sums.items()}
    options = first.content.get("options", {})
    about = {"trained_on": made_for.as_stored(), "seen_clips": seen, "options": options, "mean_of": paths}
    return {"state_dict": means, **about}


def main(argv: list[str] | None = None) -> None:
    args = average_parser().parse_args(argv)
    logging.getLogger().setLevel(logging.WARNING)
    if len(args.weights) < 2:
        raise InputError(f"{args.weights[0]} is only one checkpoint; give two or more to average")
    require_replaceable(args.output, "--output")
    if args.output.resolve() in [Path(path).resolve() for path in args.weights]:
        raise InputError(f"--output {args.output} is one of the checkpoints to average; give another name")
    content = averaged_checkpoint(args.weights, ema=args.ema)
    save_checkpoint(args.output, content)
    test = command("python", "test_models_center_crop.py", "--weights", args.output, "--output_dir", "DIR")
    print(f"{args.output}: the mean of {len(args.weights)} checkpoints. Its accuracy is unknown; test it: {test}")


if __name__ == "__main__":
    run_script(main)
