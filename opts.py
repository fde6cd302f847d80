"""Every option of every script: parsers in groups, and the checks that need no file."""

import argparse
import os
import shlex

from datasets.catalogue import BUILT_IN
from datasets.sampling import FRAME_ORDERS
from errors import InputError
from ops.blocks import ARCHS
from ops.models import ABLATIONS, CONSENSUS_TYPES, NETS
from ops.optimiser import OPTIMISERS
from ops.runtime import AMP_DTYPES
from ops.schedule import LR_TYPES
from ops.torchvision_nets import TORCHVISION, TORCHVISION_NETS
from opts_types import clip_numbers, make_parser, number, true_or_false

DEFAULT_ARCH, BUILT_IN_ARCH = "resnet50", "resnet18"
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


def add_data_options(parser: argparse.ArgumentParser, lists: tuple[str, ...]) -> None:
    """Add the options that `data_options` reads; `lists`: "train", "val"."""
    group = parser.add_argument_group("data")
    group.add_argument("--data_root", default="data", help="folder with one folder a data set, as prepared")
    group.add_argument(
        "--root_path", help="frame folders, archives or videos, instead of DATA_ROOT/<data set>/frames (or videos)"
    )
    for name in lists:
        group.add_argument(
            f"--{name}_list",
            help=f"{name} list, lines `path num_frames label` or `path label`, not the prepared",
        )
    group.add_argument("--classes", help="class names, one a line, instead of the prepared classes.txt")
    group.add_argument("--image_tmpl", help="frame file name, such as {:05d}.jpg for 00001.jpg, 00002.jpg, ...")
    group.add_argument(
        "-j", "--workers", type=number(int, 0), default=min(4, os.cpu_count() or 1), help="processes that read frames"
    )


def add_augmentation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how training changes clips."""
    group = parser.add_argument_group("augmentation")
    group.add_argument("--input_size", type=number(int, 32), default=224, help="crop in pixels, a multiple of 32")
    group.add_argument(
        "--no_flip", action="store_true", help="no horizontal flips (a flipped clip has its mirrored class)"
    )


def _add_print_freq(group: argparse._ArgumentGroup) -> None:
    names = ("-p", "--print-freq", "--print_freq")
    group.add_argument(
        *names, dest="print_freq", type=number(int, 1), default=20, help="batches between progress lines"
    )


def _add_batch_size(group: argparse._ArgumentGroup, default: int, text: str) -> None:
    names = ("-b", "--batch-size", "--batch_size")
    group.add_argument(*names, dest="batch_size", type=number(int, 1), default=default, help=text)


def _add_device_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("devices")
    group.add_argument(
        "--gpus", type=int, nargs="+", help="GPU numbers; several: DataParallel. The first, if not given"
    )
    group.add_argument("--amp", choices=list(AMP_DTYPES), default="off", help="mixed precision")


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
    _add_network_options(parser)
    _add_optimiser_options(parser)
    add_data_options(parser, ("train", "val"))
    add_augmentation_options(parser)
    _add_run_options(parser)
    _add_device_options(parser)
    return parser


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--net", default="H2CN", choices=list(NETS), help="network; the lower-case ones are torchvision's"
    )
    text = f"backbone of H2CN, TDN, TSM and TSN; {DEFAULT_ARCH}, if not given"
    group.add_argument("--arch", choices=list(ARCHS), help=text)
    group.add_argument("--num_segments", type=number(int, 1), default=8, help="segments a clip, T")
    parts = "; ".join(f"{name}: {what}" for name, what in ABLATIONS.items())
    group.add_argument("--ablate", nargs="+", choices=list(ABLATIONS), default=[], help=f"leave out of H2CN: {parts}")
    group.add_argument("--consensus_type", default="avg", choices=CONSENSUS_TYPES, help="segment scores -> clip score")
    group.add_argument("--dropout", type=number(float, 0, 1), default=0.5, help="dropout before the classifier")
    group.add_argument(
        "--pretrain", default="none", metavar="{none,imagenet,kinetics,FILE}",
        help="start: ImageNet weights of the ResNet, Kinetics-400 weights of torchvision's video network, or a file",
    )  # fmt: skip
    group.add_argument(
        "--tune_from", metavar="CKPT", help="start from these weights; another class count: new classifier"
    )


def _add_optimiser_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("optimiser")
    group.add_argument("--optimizer", default="sgd", choices=list(OPTIMISERS), help="adamw: what transformers need")
    group.add_argument("--epochs", type=number(int, 1), default=60, help="length of the training")
    _add_batch_size(group, 8, "clips a batch, over all GPUs (under torchrun: of each process)")
    group.add_argument("--accumulate", type=number(int, 1), default=1, help="batches a step: step = batch-size x this")
    positive = number(float, 0, open_low=True)
    group.add_argument("--lr", "--learning-rate", type=positive, default=0.01, help="learning rate of weights")
    group.add_argument("--lr_type", default="step", choices=LR_TYPES, help="x0.1 at --lr_steps, or half a cosine to 0")
    group.add_argument("--lr_steps", type=float, nargs="+", default=[30, 45, 55], help="epochs of the steps")
    group.add_argument("--warmup", type=number(float, 0), default=0.0, help="epochs of linear rise from lr / 10")
    group.add_argument("--momentum", type=number(float, 0, 1), default=0.9, help="of SGD; AdamW: its first beta")
    group.add_argument(
        "--wd", "--weight-decay", dest="wd", type=number(float, 0), default=5e-4, help="decay of weights"
    )
    group.add_argument("--gd", "--clip-gradient", dest="gd", type=positive, help="largest L2 norm of the gradient")
    group.add_argument("--label_smoothing", type=number(float, 0, 1), default=0.0, help="share spread over all classes")
    group.add_argument("--fc_lr5", action="store_true", help="classifier: lr x 5 (its bias x 10)")
    group.add_argument("--npb", "--no_partialbn", dest="npb", action="store_true", help="train every BatchNorm")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--root_log", default="runs", help="TensorBoard curves and JSON lines: ROOT_LOG/<run name>/")
    group.add_argument("--root_model", default="runs", help="checkpoints and options: ROOT_MODEL/<run name>/")
    group.add_argument("--suffix", help="put behind the run name <net>_<data set>_<arch>_<segments>f")
    group.add_argument(
        "--resume", metavar="CKPT", help="continue a run; `auto`: the newest of this name, or start anew"
    )
    group.add_argument("-e", "--evaluate", action="store_true", help="only evaluate --resume CKPT on the val list")
    group.add_argument(
        "--eval-freq",
        "--eval_freq",
        "-ef",
        dest="eval_freq",
        type=number(int, 1),
        default=1,
        help="epochs between evaluations",
    )
    text = "look for every listed video first, and stop if one is missing or differs (scripts/check_data.py says more)"
    group.add_argument("--check_data", action="store_true", help=text)
    _add_print_freq(group)
    group.add_argument("--seed", type=number(int, 0), default=0, help="of weights, sampling, crops and dropout")


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
    if args.warmup > args.epochs:
        raise InputError(f"--warmup {args.warmup:g} is longer than --epochs {args.epochs}")
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
    stride = TORCHVISION_NETS[args.net].stride if args.net in TORCHVISION_NETS else 32
    if args.input_size % stride:
        near = max(stride, stride * round(args.input_size / stride))
        raise InputError(
            f"--input_size {args.input_size} is not a multiple of {stride}, {args.net}'s stride; the nearest is {near}"
        )
    return args


def _chosen_arch(net: str | None, given: str | None, default: str | None) -> str | None:
    """The backbone; torchvision's video networks come in one form each."""
    if net not in TORCHVISION_NETS:
        return given or default
    if given is not None:
        raise InputError(f"--arch {given}: {net} has its own backbone; leave --arch out")
    return TORCHVISION


def view_parser(crops: int) -> argparse.ArgumentParser:
    """Options of the two test scripts; `crops` is 1 or 3."""
    what = "centre crop" if crops == 1 else "three crops"
    parser = make_parser(
        f"Score the val list with {what}, one pickle a view. Networks and data set are read from the checkpoint; "
        "flags that repeat it are checked against it."
    )
    parser.add_argument("dataset", nargs="?", help="data set name, if not the checkpoint's")
    parser.add_argument("--weights", required=True, metavar="CKPT", help="ours, or an official layout of the network")
    parser.add_argument("--net", choices=list(NETS), help="if the weights don't say it; then H2CN if not given")
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
    group.add_argument("--seed", type=number(int, 0), default=0, help="of random starts and of a shuffle")
    group = parser.add_argument_group("output")
    group.add_argument("--output_dir", required=True, metavar="DIR", help="for <clip>_crop<crop>.pkl")
    group.add_argument("--overwrite", action="store_true", help="score views again that are there")
    _add_batch_size(group, 16, "videos a batch")
    _add_print_freq(group)
    add_data_options(parser, ("val",))
    parser.set_defaults(data_root=None)  # the training's, if the checkpoint knows it
    _add_device_options(parser)
    return parser


def data_options(args: argparse.Namespace) -> dict[str, str | None]:
    """The options that say where the data are, for `datasets.catalogue.resolve`."""
    names = ("data_root", "root_path", "train_list", "val_list", "classes", "image_tmpl")
    return {name: getattr(args, name, None) for name in names}


def resume_command(argv: list[str]) -> str:
    """The command that continues a run: the same with `--resume auto`."""
    arguments = list(argv)
    if "--resume" in arguments:
        at = arguments.index("--resume")
        del arguments[at : at + 2]
    return shlex.join(["python", *arguments, "--resume", "auto"])


def parse_predict(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of predict.py."""
    return predict_parser().parse_args(argv)


def predict_parser() -> argparse.ArgumentParser:
    """Options of predict.py."""
    parser = make_parser("Name what happens in one video: a video file, or a folder or archive of frames.")
    parser.add_argument("source", help="video file that FFmpeg reads, or a folder or .zip with one JPEG a frame")
    parser.add_argument("--weights", required=True, metavar="CKPT", help="checkpoint of train.py")
    parser.add_argument("--top", type=number(int, 1), default=5, help="classes to print")
    _add_device_options(parser)
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
    parser.add_argument("--num_clips", type=number(int, 1), default=1, help="clips 0 ... NUM_CLIPS-1 are merged")
    parser.add_argument("--test_crops", type=int, choices=[1, 3], default=1, help="crops a clip")
    parser.add_argument("--coeff", type=number(float, 0), nargs="+", help="weight of each model; equal, if not given")
    parser.add_argument("--save_dir", metavar="DIR", help="for tables and plot; the first --output_dir, if not given")
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
    return args
