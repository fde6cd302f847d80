"""The parsers of the scripts at the top, and the checks of their options that need no file."""

import argparse
import os
from pathlib import Path

from common.cli import MOST_CLIPS, SEED, clip_numbers, make_parser, number, true_or_false
from common.errors import InputError, command
from common.mixing_options import add_mixing_options, complete_mixing
from common.option_groups import (
    DEFAULT_ARCH,
    add_augmentation_options,
    add_batch_size,
    add_data_options,
    add_decoder_option,
    add_device_options,
    add_network_options,
    add_optimiser_options,
    add_print_freq,
    add_run_options,
)
from datasets.catalogue import BUILT_IN
from datasets.sampling import FRAME_ORDERS
from ops.blocks import ARCHS
from ops.models import NETS, require_stride
from ops.schedule import LR_STEPS

BUILT_IN_ARCH = "resnet18"
# What `python train.py` without options trains: a small network on small frames, minutes on two CPU cores.
BUILT_IN_DEFAULTS = {
    "num_segments": 8,
    "input_size": 32,
    "batch_size": 8,
    "epochs": 20,
    "lr": 0.02,
    "lr_type": "cos",
    "warmup": 1.0,
    "dropout": 0.2,
    "npb": True,
    "workers": 2,
}


def train_parser() -> argparse.ArgumentParser:
    """Options of train.py."""
    defaults = {"arch": BUILT_IN_ARCH, **BUILT_IN_DEFAULTS}
    built_in = ", ".join(f"{name} {value}" for name, value in defaults.items())
    parser = make_parser(
        "Train a video network. Without options: H2CN on the built-in data set.",
        f"On the built-in data set ({BUILT_IN}) these defaults differ: {built_in}. "
        "Several processes: torchrun --nproc_per_node 4 train.py ...",
    )
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; a wrong one lists the known ones")
    parser.add_argument(
        "modality", nargs="?", default="RGB", choices=["RGB"], help="input; optical flow is not offered"
    )
    add_network_options(parser)
    add_optimiser_options(parser)
    add_data_options(parser, ("train", "val"))
    add_decoder_option(parser)
    add_augmentation_options(parser)
    add_mixing_options(parser)
    add_run_options(parser)
    add_device_options(parser)
    return parser


def parse_train(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of train.py, with the built-in data set's defaults where it is trained.

    Raises:
        InputError: options that contradict one another.
    """
    args = parse_with_built_in_defaults(train_parser(), argv)
    args.arch = _chosen_arch(args.net, args.arch, BUILT_IN_ARCH if args.dataset == BUILT_IN else DEFAULT_ARCH)
    if args.evaluate and args.resume in (None, "auto"):
        raise InputError("-e needs the checkpoint to evaluate: --resume CKPT")
    if args.resume not in (None, "auto") and args.tune_from:
        raise InputError("--resume continues a run and --tune_from starts one; give one of them")
    if args.tune_from and args.pretrain != "none":
        raise InputError("--tune_from and --pretrain both give the start; give one of them")
    if args.suffix and Path(args.suffix).name != args.suffix:
        raise InputError(f"--suffix {args.suffix} is put behind the run's name; give a word without /")
    if args.hourglass_start and args.net != "H2CN":
        raise InputError(
            f"--hourglass_start {args.hourglass_start} is an option of H2CN; {args.net} has no hourglasses"
        )
    if args.lr_steps and args.lr_type != "step":
        raise InputError(f"--lr_steps are of --lr_type step; this run has {args.lr_type}")
    args.lr_steps = args.lr_steps or LR_STEPS
    if args.warmup > args.epochs:
        raise InputError(f"--warmup {args.warmup:g} is longer than --epochs {args.epochs}")
    complete_mixing(args)
    return args


def parse_with_built_in_defaults(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Options of a script that trains or shows a training: the built-in data set has defaults of its own.

    Raises:
        InputError: an input size that is no multiple of the network's stride.
    """
    known = parser.parse_known_args(argv)[0]
    if known.dataset == BUILT_IN:
        parser.set_defaults(**{name: value for name, value in BUILT_IN_DEFAULTS.items() if hasattr(known, name)})
    args = parser.parse_args(argv)
    require_stride(args.net, args.input_size)
    return args


def _chosen_arch(net: str | None, given: str | None, default: str | None) -> str | None:
    """The backbone; some networks have only one."""
    own = None if net is None else NETS[net].arch
    if own is None:
        return given or default
    if given is not None:
        raise InputError(f"--arch {given}: {net} has its own backbone; leave --arch out")
    return own


def view_parser(crops: int) -> argparse.ArgumentParser:
    """Options of the two test scripts; `crops` is 1 or 3."""
    what = "centre crop" if crops == 1 else "three crops"
    parser = make_parser(
        f"Score the test list, or else the val list, with {what}, one pickle a view. Networks and data set are read "
        "from the checkpoint; flags that repeat it are checked against it."
    )
    parser.add_argument("dataset", nargs="?", help="data set name, if not the checkpoint's")
    parser.add_argument("--weights", required=True, metavar="CKPT", help="of this project, official, or torchvision's")
    parser.add_argument("--net", choices=list(NETS), help="if the weights don't say it; H2CN, if nothing does")
    parser.add_argument("--archs", "--arch", dest="arch", choices=list(ARCHS), help="if the weights don't say it")
    parser.add_argument("--test_segments", type=number(int, 1), help="segments a clip, if the weights don't say it")
    group = parser.add_argument_group("views")
    group.add_argument("--test_crops", type=int, choices=[crops], default=crops, help="crops a frame, this script's")
    if crops == 1:
        group.add_argument("--full_res", action="store_true", help="short side to 256, centre 256, instead of 224")
    else:
        group.add_argument(
            "--full_res", action=argparse.BooleanOptionalAction, default=True, help="crops of 256; else of 224"
        )
    group.add_argument("--clip_index", type=clip_numbers, default="0", help="clips to score: 0, 0-9 or 0,3,5")
    group.add_argument(
        "--sampling", choices=["auto", "centre", "random"], default="auto",
        help="auto: random starts for Kinetics or clips above 0, else the centre of each segment",
    )  # fmt: skip
    text = "shuffled, reversed: does the network use time at all?"
    group.add_argument("--frame_order", choices=FRAME_ORDERS, default="normal", help=text)
    group.add_argument("--seed", type=SEED, default=0, help="of random starts and of a shuffle")
    group = parser.add_argument_group("output")
    group.add_argument("--output_dir", required=True, metavar="DIR", help="for <clip>_crop<crop>.pkl")
    group.add_argument("--overwrite", action="store_true", help="score views again that are there")
    add_batch_size(group, 16, "videos a batch, each with one clip and all its crops; their frames lie on the device")
    add_print_freq(group)
    add_data_options(parser, ("val",))
    text = "prepared list to score; the test list, if there is one and no --val_list is given"
    parser.add_argument("--subset", choices=["val", "test"], help=text)
    add_decoder_option(parser)
    parser.set_defaults(data_root=None)  # the training's, if the checkpoint knows it
    add_device_options(parser)
    return parser


def data_options(args: argparse.Namespace) -> dict[str, str | None]:
    """The options that say where the data are, for `datasets.catalogue.resolve`.

    Raises:
        InputError: a list is given twice.
    """
    names = ("data_root", "split", "root_path", "train_list", "val_list", "classes", "image_tmpl")
    options = {name: getattr(args, name, None) for name in names}
    given = [f"--{name} {options[name]}" for name in ("train_list", "val_list") if options[name] is not None]
    if options["split"] is not None and given:
        raise InputError(f"--split {options['split']} names the lists, and so does {given[0]}; give one of them")
    return options


def resume_command(argv: list[str], resume: str) -> str:
    """The command that continues a run: the same with `--resume` as given, under torchrun if it was."""
    arguments = [part for part in argv if not part.startswith("--resume=")]
    if "--resume" in arguments:
        at = arguments.index("--resume")
        del arguments[at : at + 2]
    start = ["python"]
    if "LOCAL_WORLD_SIZE" in os.environ:
        nodes = os.environ.get("GROUP_WORLD_SIZE", "1")
        start = ["torchrun", *(["--nnodes", nodes] if nodes != "1" else [])]
        start += ["--nproc_per_node", os.environ["LOCAL_WORLD_SIZE"]]
    return command(*start, *arguments, "--resume", resume)


def parse_predict(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of predict.py."""
    return predict_parser().parse_args(argv)


def predict_parser() -> argparse.ArgumentParser:
    """Options of predict.py."""
    parser = make_parser("Name what happens in one video: a video file, or a folder or archive of frames.")
    parser.add_argument("source", help="video file that FFmpeg reads, or a folder or .zip with one JPEG a frame")
    parser.add_argument("--weights", required=True, metavar="CKPT", help="checkpoint of train.py")
    parser.add_argument("--top", type=number(int, 1), default=5, help="classes to print")
    add_decoder_option(parser)
    add_device_options(parser)
    return parser


def results_parser() -> argparse.ArgumentParser:
    """Options of pkl_to_results.py."""
    parser = make_parser(
        "Merge score pickles: softmax of each view, mean over clips and crops, weighted mean over models.",
        "An (8+16)-frame ensemble: --output_dir DIR8 DIR16, or as in the official code "
        "--multi_segments True --output_dir DIR8 --output_dir1 DIR16.",
    )
    parser.add_argument("--output_dir", nargs="+", required=True, metavar="DIR", help="folder of pickles, one a model")
    parser.add_argument("--output_dir1", metavar="DIR", help="folder of the second model, with --multi_segments True")
    parser.add_argument("--multi_segments", type=true_or_false, default=False, help="True: merge --output_dir1 too")
    there = "; all that are there, if not given"
    parser.add_argument("--num_clips", type=number(int, 1, MOST_CLIPS), help=f"clips, from 0, that are merged{there}")
    parser.add_argument("--test_crops", type=int, choices=[1, 3], help=f"crops a clip{there}")
    parser.add_argument("--coeff", type=number(float, 0, 1e6), nargs="+", help="weight of a model; equal, if not given")
    text = "for tables and plot; if not given, the model's --output_dir, and for an ensemble of A and B the folder A+B"
    parser.add_argument("--save_dir", metavar="DIR", help=text)
    return parser


def parse_results(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of pkl_to_results.py; `output_dir` then holds the folders of all models.

    Raises:
        InputError: options that contradict one another.
    """
    args = results_parser().parse_args(argv)
    if args.multi_segments != (args.output_dir1 is not None):
        raise InputError("--multi_segments True and --output_dir1 DIR belong together; give both or none")
    if args.output_dir1 is not None:
        args.output_dir = [*args.output_dir, args.output_dir1]
    args.coeff = args.coeff or [1.0] * len(args.output_dir)
    if len(args.coeff) != len(args.output_dir):
        raise InputError(f"--coeff has {len(args.coeff)} weights for {len(args.output_dir)} folders; give one each")
    if sum(args.coeff) == 0:
        raise InputError("--coeff: all weights are 0; at least one must be above")
    return args


def parse_test(crops: int, argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the test script for 1 or 3 crops.

    Raises:
        InputError: options that contradict one another.
    """
    args = view_parser(crops).parse_args(argv)
    args.arch = _chosen_arch(args.net, args.arch, None)
    if args.sampling == "centre" and args.clip_index != [0]:
        raise InputError(
            "--sampling centre gives every clip the same frames, so there is only --clip_index 0; "
            "for more clips: --sampling random"
        )
    if args.subset == "test" and args.val_list is not None:
        raise InputError(f"--subset test is the prepared test list, --val_list {args.val_list} another; give one")
    return args
