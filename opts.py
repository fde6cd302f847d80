"""The parsers of the scripts at the top, and those checks of their options that need no file."""

import argparse
from pathlib import Path
from typing import Any

from common.cli import MOST_CLIPS, file_name, given_options, make_parser, number
from common.errors import InputError
from datasets.catalogue import BUILT_IN
from ops.choices import EXPORTED
from ops.models import NETS, require_stride
from ops.scoring.predictions import SUBMISSIONS
from options import groups, testing, training
from options.augmentation import add_augmentation_options, add_mixing_options, check_mixing, complete_augmentation
from options.config_file import config_values

# `python train.py` trains a small network on small frames, in minutes on two CPU cores.
BUILT_IN_DEFAULTS = {
    "arch": "resnet10",
    "num_segments": 8,
    "input_size": 32,
    "batch_size": 8,
    "epochs": 14,
    "optimizer": "adamw",
    "lr": 0.001,
    "wd": 0.05,
    "lr_type": "cos",
    "warmup": 1.0,
    "dropout": 0.2,
    "npb": True,
    "workers": 2,
}
LIVE_WINDOW = 4.0  # seconds
SECONDS = number(float, 0.001)


def train_parser() -> argparse.ArgumentParser:
    """Options of train.py."""
    built_in = ", ".join(f"{name} {value}" for name, value in BUILT_IN_DEFAULTS.items())
    parser = make_parser(
        "Train a video network. Without options: H2CN on the built-in data set.",
        f"The built-in data set ({BUILT_IN}) has its own defaults: {built_in}. "
        "Several processes: torchrun --nproc_per_node 4 train.py ...",
    )
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; an unknown name lists all names")
    parser.add_argument("modality", nargs="?", default="RGB", choices=["RGB"], help="input modality (no optical flow)")
    groups.add_decoder_option(groups.add_data_options(parser, ("train", "val")))
    groups.add_sampling_options(parser)
    training.add_network_options(parser)
    training.add_optimiser_options(parser)
    add_augmentation_options(parser, repeats=True)
    add_mixing_options(parser)
    training.add_label_options(parser)
    training.add_run_options(parser)
    groups.add_device_options(parser)
    return parser


def parse_train(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of train.py, with the built-in data set's defaults if that is trained; refuses contradictions."""
    parser = train_parser()
    given = given_options(parser, argv)
    args = parse_with_built_in_defaults(parser, argv, **config_values(parser, argv))
    _choose_arch(args, given)
    if args.dry_run and (args.evaluate or args.resume):
        raise InputError("--dry_run shows the start of a new run; leave --resume and -e out")
    if args.evaluate and args.resume in (None, "auto"):
        raise InputError("-e needs the checkpoint to evaluate: --resume CKPT")
    if args.resume not in (None, "auto") and args.tune_from:
        raise InputError("--resume continues a run and --tune_from starts one; give one of them")
    if args.tune_from and args.pretrain != "none":
        raise InputError("--tune_from and --pretrain both give the initial weights; give one of them")
    if args.suffix and Path(args.suffix).name != args.suffix:
        raise InputError(f"--suffix {args.suffix} becomes part of a folder's name; give a word without /")
    if args.hourglass_start and args.net != "H2CN":
        raise InputError(f"--hourglass_start {args.hourglass_start} is for H2CN; {args.net} has no hourglasses")
    if "lr_steps" in given and args.lr_type != "step":
        raise InputError(f"--lr_steps needs --lr_type step, but this run has {args.lr_type}; leave it out")
    if args.warmup > args.epochs:
        raise InputError(f"--warmup {args.warmup:g} is longer than --epochs {args.epochs}")
    groups.train_sampling(args)
    check_mixing(args, given)
    training.check_optimiser(args, given)
    training.check_labels(args)
    return args


def parse_with_built_in_defaults(
    parser: argparse.ArgumentParser, argv: list[str] | None, **defaults: Any
) -> argparse.Namespace:
    """Options of a script that trains or shows a training; the built-in data set has its own defaults.

    `defaults` override these.
    """
    parser.set_defaults(**defaults)
    known = parser.parse_known_args(argv)[0]
    if known.dataset == BUILT_IN:
        built_in = {name: value for name, value in BUILT_IN_DEFAULTS.items() if hasattr(known, name)}
        parser.set_defaults(**{**built_in, **defaults})
    args = parser.parse_args(argv)
    require_stride(args.net, args.input_size)
    complete_augmentation(args)
    return args


def _choose_arch(args: argparse.Namespace, given: set[str]) -> None:
    """Some networks have only one backbone."""
    own = None if args.net is None else NETS[args.net].arch
    if own is not None:
        if "arch" in given:
            raise InputError(f"--arch {args.arch}: {args.net} has its own backbone; leave --arch out")
        args.arch = own


def view_parser(crops: int) -> argparse.ArgumentParser:
    """Options of the two test scripts; `crops` is 1 or 3."""
    what = "a centre crop" if crops == 1 else "three crops"
    parser = make_parser(
        f"Score the test list (or, if there is none, the val list) with {what}, one pickle per view. Network and data "
        "set are read from the checkpoint; flags that repeat them are checked against it.",
        "Several processes: torchrun --nproc_per_node 4 %(prog)s ...",
    )
    parser.add_argument("dataset", nargs="?", help="data set name, if not the checkpoint's")
    groups.add_weights_options(parser)
    testing.add_view_options(parser, crops)
    testing.add_output_options(parser)
    group = groups.add_data_options(parser, ("val",))
    text = "prepared list to score; by default the test list if there is one and --val_list is not given"
    group.add_argument("--subset", choices=["val", "test"], help=text)
    groups.add_decoder_option(group)
    parser.set_defaults(data_root=None)  # the training's, if the checkpoint has it
    groups.add_device_options(parser)
    return parser


def parse_test(crops: int, argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the test script for 1 or 3 crops; refuses contradictions."""
    parser = view_parser(crops)
    args = parser.parse_args(argv)
    _choose_arch(args, given_options(parser, argv))
    testing.check_views(args)
    return args


def predict_parser() -> argparse.ArgumentParser:
    """Options of predict.py."""
    parser = make_parser("Classify videos: print the most likely classes of each, or of each window of a long one.")
    text = (
        "video file, folder or .zip of images, folder of videos, list (.txt), stream URL, or number of a webcam; a "
        "stream or webcam is classified while it runs, until Ctrl-C"
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE", help=text)
    groups.add_weights_options(parser)
    add = parser.add_argument
    add("--classes", metavar="FILE", help="class names, one per line, if the weights do not have them")
    add("--root_path", type=Path, help="folder that paths in lists start from; by default that of the list")
    add = parser.add_argument_group("views, as in the test scripts").add_argument
    add("--clips", type=number(int, 1, MOST_CLIPS), default=1, help="clips per video or window")
    add("--crops", type=int, choices=[1, 3], default=1, help="crops per frame")
    text = "larger crops, 256 instead of 224; the default with three crops"
    add("--full_res", action=argparse.BooleanOptionalAction, help=text)
    add = parser.add_argument_group("long videos").add_argument
    text = f"classify each window of this many seconds; webcams and streams: {LIVE_WINDOW:g} by default"
    add("--window", type=SECONDS, metavar="SECONDS", help=text)
    text = "seconds from the start of one window to the next; default: half of --window"
    add("--stride", type=SECONDS, metavar="SECONDS", help=text)
    add("--fps", type=number(float, 0.001), help="frames per second, for images and videos without timestamps")
    add("--timeline", type=file_name(".png"), metavar="FILE.png", help="plot of the class probabilities over time")
    text = "copy of the video with its most likely classes drawn in, without sound"
    add("--save", type=file_name(".mp4"), metavar="FILE.mp4", help=text)
    add = parser.add_argument_group("output").add_argument
    add("--top", type=groups.COUNT, default=5, help="number of classes to print and write")
    add("--csv", type=Path, metavar="FILE", help="table with one row per video (or window)")
    add("--json", type=Path, metavar="FILE", help="the same as JSON")
    group = parser.add_argument_group("reading")
    groups.add_workers(group, "processes that read videos")
    groups.add_decoder_option(group)
    groups.add_device_options(parser)
    return parser


def parse_predict(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of predict.py; refuses contradictions. `live` says whether the source is a webcam or a stream."""
    from datasets.reading.sources import is_live  # here because it loads PyAV

    parser = predict_parser()
    args = parser.parse_args(argv)
    given = given_options(parser, argv)
    _choose_arch(args, given)
    fixed = given.intersection(("net", "arch", "test_segments", "classes", "amp", "compile", "ema"))
    if fixed and Path(args.weights).suffix in EXPORTED:
        raise InputError(f"--{min(fixed)}: {args.weights} is an exported network, in which this is fixed; leave it out")
    args.live = any(map(is_live, args.source))
    if args.live and len(args.source) > 1:
        raise InputError("a webcam or a stream runs until Ctrl-C; give it as the only SOURCE")
    if args.live and args.window is None:
        args.window = LIVE_WINDOW
    for name in ("stride", "fps", "timeline", "save"):
        if args.window is None and getattr(args, name) is not None:
            raise InputError(f"--{name} needs --window SECONDS; add it, or leave --{name} out")
    if args.stride is None and args.window is not None:
        args.stride = args.window / 2
    return args


def results_parser() -> argparse.ArgumentParser:
    """Options of pkl_to_results.py."""
    parser = make_parser(
        "Merge score pickles: softmax of each view (sigmoid for several labels per video), mean over clips and crops, "
        "weighted mean over models.",
        "An (8+16)-frame ensemble: --output_dir DIR8 DIR16, or as in the official code "
        "--multi_segments True --output_dir DIR8 --output_dir1 DIR16.",
    )
    add = parser.add_argument
    add("--output_dir", nargs="+", required=True, metavar="DIR", help="folders of pickles, one per model")
    add("--output_dir1", metavar="DIR", help="folder of the second model, with --multi_segments True")
    add("--multi_segments", type=str.capitalize, choices=["True", "False"], help="True: also merge --output_dir1")
    add("--num_clips", type=number(int, 1, MOST_CLIPS), help="merge clips 0 to NUM_CLIPS - 1; by default all scored")
    add("--test_crops", type=int, choices=[1, 3], help="crops per clip; by default all scored")
    add("--coeff", type=number(float, 0, 1e6), nargs="+", help="weights of the models; equal by default")
    text = "folder for tables and plots; by default the model's --output_dir, and A+B for an ensemble of A and B"
    add("--save_dir", metavar="DIR", help=text)
    text = "also write submission.csv or submission.json for the official test server of this data set"
    add("--submission", choices=list(SUBMISSIONS), help=text)
    text = "also write report.html: all models and their ensemble, with intervals, per-class accuracies and mistakes"
    add("--report", action="store_true", help=text)
    return parser


def parse_results(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of pkl_to_results.py, without contradictions; `output_dir` holds the folders of all models."""
    args = results_parser().parse_args(argv)
    if (args.multi_segments == "True") != (args.output_dir1 is not None):
        raise InputError("--multi_segments True and --output_dir1 DIR belong together; give both or neither")
    if args.output_dir1 is not None:
        args.output_dir = [*args.output_dir, args.output_dir1]
    for i, folder in enumerate(args.output_dir):
        if Path(folder).resolve() in [Path(other).resolve() for other in args.output_dir[:i]]:
            raise InputError(f"--output_dir names {folder} twice; give each model once, and its weight with --coeff")
    args.coeff = args.coeff or [1.0] * len(args.output_dir)
    if len(args.coeff) != len(args.output_dir):
        raise InputError(f"--coeff has {len(args.coeff)} weights for {len(args.output_dir)} folders; give one for each")
    if sum(args.coeff) == 0:
        raise InputError("--coeff: all weights are 0; at least one must be positive")
    return args
