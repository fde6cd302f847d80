#!/usr/bin/env python
"""Explain a network's scores for a video: write explanation.png and explanation.gif.

Grad-CAM for one class; for H2CN and TDN also the maps of the motion branch, for H2CN also the clip-level gates.
"""

import argparse
import difflib
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser
from common.console import answer_help, run_script
from common.errors import InputError, quoted
from common.files import all_or_nothing
from options.groups import add_decoder_option, add_ema_option, add_frame_options


def explain_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, "It runs on the CPU.")
    parser.add_argument("source", help="video file that FFmpeg reads, or a folder or .zip with one image per frame")
    parser.add_argument("--weights", required=True, metavar="CKPT", help="checkpoint of train.py")
    text = "class that Grad-CAM explains; by default the most likely one"
    parser.add_argument("--class_name", metavar="NAME", help=text)
    text = "folder for explanation.png and explanation.gif"
    parser.add_argument("--output_dir", default="runs/explain", metavar="DIR", help=text)
    add_decoder_option(parser)
    add_frame_options(parser, "; by default as in the training")
    add_ema_option(parser)
    return parser


if __name__ == "__main__":
    answer_help(explain_parser())  # before torch is loaded

import torch
from torch import Tensor

from datasets.lists import VideoRecord
from datasets.plans import EvalPlan
from datasets.preprocessing import eval_preprocessing
from datasets.reading.sources import Source
from datasets.view_dataset import SourceViews
from drawing.clips import save_animation
from drawing.explanation import ExplainedClip, explanation_frames, explanation_sheet
from ops.explaining import Explanation, explain
from ops.scoring.metrics import probabilities
from ops.scoring.score import on_the_cpu
from ops.weights.checkpoint import TrainedOn, Weights, frame_sampling

SHOWN = 3  # classes in the title


def label_of(name: str, class_names: list[str]) -> int:
    if name not in class_names:
        near = ", ".join(map(quoted, difflib.get_close_matches(name, class_names, cutoff=0)))
        raise InputError(f"--class_name {quoted(name)} is not a class of this network; the most similar names: {near}")
    return class_names.index(name)


def explained_clip(name: str, clip: Tensor, found: Explanation, made_for: TrainedOn) -> ExplainedClip:
    """The content of the pictures; `clip` (T, L, 3, H, W) is the only one that `found` explains."""
    class_names = made_for.class_names
    shares = probabilities(on_the_cpu(found.logits), multi_label=made_for.multi_label)[0]
    best = shares.topk(min(SHOWN, len(class_names))).indices.tolist()
    empty = "" if found.grad_cam.any() else ": empty, no feature supports it"
    maps = {f"Grad-CAM for {class_names[int(found.label)]}{empty}": found.grad_cam[0].numpy()}
    for place, map_ in zip(("the stem", "stage 1"), found.motion, strict=False):
        maps[f"added by the motion branch after {place}"] = map_[0].numpy()
    return ExplainedClip(
        clip.movedim(-3, -1).numpy(), name, [f"{100 * shares[k]:.1f} %  {class_names[k]}" for k in best], maps,
        {stage: gates[0].numpy() for stage, gates in found.gates.items()},
    )  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    args = explain_parser().parse_args(argv)
    logging.getLogger().setLevel(logging.WARNING)
    weights = Weights.read(args.weights, ema=args.ema)
    made_for = weights.require_trained_on()
    names = made_for.class_names
    label = None if args.class_name is None else torch.tensor([label_of(args.class_name, names)])
    model = weights.build(names)  # not fused: the gates are read inside
    views = eval_preprocessing(made_for.input_size)
    frames = frame_sampling(made_for, args.frame_stride, args.frame_rate)
    plan = EvalPlan(model.num_segments, model.frames_per_segment, views, **frames)
    source = Source(Path(args.source), VideoRecord(args.source, None, 0))
    clip = SourceViews([source], [plan], args.decoder).read(0).clip(0).movedim(-1, -3)  # (1, T, L, 3, H, W)
    explained = explained_clip(Path(args.source).name, clip[0], explain(model, clip, label), made_for)
    with all_or_nothing(Path(args.output_dir), "--output_dir") as folder:
        explanation_sheet(explained).save(folder / "explanation.png")
        save_animation(explanation_frames(explained), folder / "explanation.gif")
    print(*explained.scores, *(Path(args.output_dir) / f"explanation.{kind}" for kind in ("png", "gif")), sep="\n")


if __name__ == "__main__":
    run_script(main)
