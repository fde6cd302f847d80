"""Options in groups, each added to a parser by one function."""

import argparse

from joblib import cpu_count

from common.cli import SEED, number
from datasets.reading.decoders import DECODER_NAMES
from ops.blocks import ARCHS
from ops.h2cn import HOURGLASS_STARTS
from ops.models import ABLATIONS, CONSENSUS_TYPES, NETS
from ops.optimiser import OPTIMISERS
from ops.runtime import AMP_DTYPES, MALLOC
from ops.schedule import LR_STEPS, LR_TYPES

DEFAULT_ARCH = "resnet50"


def add_data_options(parser: argparse.ArgumentParser, lists: tuple[str, ...], *, workers: bool = True) -> None:
    """Add the options that `data_options` reads; `lists`: "train", "val"; `workers`: also --workers, which read."""
    group = parser.add_argument_group("data")
    group.add_argument("--data_root", default="data", help="folder with one folder a data set, as prepared")
    group.add_argument(
        "--root_path", help="frame folders, archives or videos, instead of DATA_ROOT/<data set>/frames (or videos)"
    )
    group.add_argument(
        "--split", metavar="NAME", help="of the prepared lists: train_<NAME>.txt, val_<NAME>.txt (split2, fold1, ...)"
    )
    for name in lists:
        group.add_argument(
            f"--{name}_list",
            help=f"{name} list, lines `path num_frames label` or `path label`, instead of the prepared one",
        )
    group.add_argument("--classes", help="class names, one a line, instead of the prepared classes.txt")
    group.add_argument("--image_tmpl", help="frame file name, such as {:05d}.jpg for 00001.jpg, 00002.jpg, ...")
    if workers:
        few = min(4, cpu_count())  # of the cores that this process may use
        group.add_argument("-j", "--workers", type=number(int, 0), default=few, help="processes that read frames")


def add_decoder_option(parser: argparse.ArgumentParser) -> None:
    text = "of JPEG frames; all give the same pixels. auto: the fastest that is installed"
    parser.add_argument("--decoder", choices=DECODER_NAMES, default="auto", help=text)


def add_augmentation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how training changes clips."""
    group = parser.add_argument_group("augmentation")
    group.add_argument(
        "--input_size", type=number(int, 32), default=224, help="crop in pixels, a multiple of 32 (r2plus1d_18: 16)"
    )
    group.add_argument(
        "--no_flip", action="store_true", help="no horizontal flips (a flipped clip has its mirrored class)"
    )


def add_print_freq(group: argparse._ArgumentGroup) -> None:
    names = ("-p", "--print-freq", "--print_freq")
    group.add_argument(
        *names, dest="print_freq", type=number(int, 1), default=20, help="batches between progress lines"
    )


def add_batch_size(group: argparse._ArgumentGroup, default: int, text: str) -> None:
    names = ("-b", "--batch-size", "--batch_size")
    group.add_argument(*names, dest="batch_size", type=number(int, 1), default=default, help=text)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("devices")
    group.add_argument(
        "--gpus", type=int, nargs="+", help="GPU numbers; several: DataParallel. The first, if not given"
    )
    group.add_argument("--amp", choices=list(AMP_DTYPES), default="off", help="mixed precision")
    group.add_argument("--compile", action="store_true", help="run networks through torch.compile, meant for GPUs")
    group.add_argument(
        "--malloc", choices=MALLOC, default="keep", help="freed memory, on the CPU: keep it (faster) or give it back"
    )


def add_network_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--net", default="H2CN", choices=list(NETS), help="network; the lower-case ones are torchvision's"
    )
    text = f"backbone of H2CN, TDN, TSM and TSN; {DEFAULT_ARCH}, if not given"
    group.add_argument("--arch", choices=list(ARCHS), help=text)
    group.add_argument("--num_segments", type=number(int, 1), default=8, help="segments a clip, T")
    parts = "; ".join(f"{name}: {what}" for name, what in ABLATIONS.items())
    group.add_argument("--ablate", nargs="+", choices=list(ABLATIONS), default=[], help=f"leave out of H2CN: {parts}")
    starts = "; ".join(f"{name}: {what}" for name, what in HOURGLASS_STARTS.items())
    text = f"start of H2CN's hourglasses, unless loaded; {starts}; default: {next(iter(HOURGLASS_STARTS))}"
    group.add_argument("--hourglass_start", choices=list(HOURGLASS_STARTS), help=text)
    group.add_argument("--consensus_type", default="avg", choices=CONSENSUS_TYPES, help="segment scores -> clip score")
    group.add_argument("--dropout", type=number(float, 0, 1), default=0.5, help="dropout before the classifier")
    group.add_argument(
        "--pretrain", default="none", metavar="{none,imagenet,kinetics,FILE}",
        help="start: ImageNet weights of the ResNet, Kinetics-400 weights of torchvision's video network, others by "
        "torchvision's name for them (KINETICS400_IMAGENET22K_V1), or a file",
    )  # fmt: skip
    group.add_argument(
        "--tune_from", metavar="CKPT", help="start from these weights; another class count: new classifier"
    )


def add_optimiser_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("optimiser")
    group.add_argument("--optimizer", default="sgd", choices=list(OPTIMISERS), help="adamw: what transformers need")
    group.add_argument("--epochs", type=number(int, 1), default=60, help="length of the training")
    add_batch_size(group, 8, "clips a batch, over all GPUs (under torchrun: of each process)")
    group.add_argument("--accumulate", type=number(int, 1), default=1, help="batches a step: step = batch-size x this")
    positive = number(float, 0, open_low=True)
    group.add_argument("--lr", "--learning-rate", type=positive, default=0.01, help="learning rate of weights")
    group.add_argument("--lr_type", default="step", choices=LR_TYPES, help="x0.1 at --lr_steps, or half a cosine to 0")
    steps = " ".join(f"{step:g}" for step in LR_STEPS)
    group.add_argument("--lr_steps", type=number(float, 0), nargs="+", help=f"their epochs; {steps}, if not given")
    group.add_argument("--warmup", type=number(float, 0), default=0.0, help="epochs of linear rise from lr / 10")
    group.add_argument("--momentum", type=number(float, 0, 1), default=0.9, help="of SGD; AdamW: its first beta")
    group.add_argument(
        "--wd", "--weight-decay", dest="wd", type=number(float, 0), default=5e-4, help="decay of weights"
    )
    group.add_argument("--gd", "--clip-gradient", dest="gd", type=positive, help="largest L2 norm of the gradient")
    group.add_argument("--label_smoothing", type=number(float, 0, 1), default=0.0, help="share spread over all classes")
    group.add_argument("--fc_lr5", action="store_true", help="classifier: lr x 5 (its bias x 10)")
    group.add_argument("--npb", "--no_partialbn", dest="npb", action="store_true", help="train every BatchNorm")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--root_log", default="runs", help="TensorBoard curves and JSON lines: ROOT_LOG/<run name>/")
    group.add_argument("--root_model", default="runs", help="checkpoints and options: ROOT_MODEL/<run name>/")
    group.add_argument("--suffix", help="put behind the run name <net>_<data set>[_<split>]_<arch>_<segments>f")
    text = "continue a run from its ckpt.pth.tar; `auto`: the newest run of this name, or a new one"
    group.add_argument("--resume", metavar="CKPT", help=text)
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
    text = "train although clips of the val list are also trained on, by this run or by the weights that it starts from"
    group.add_argument("--allow_overlap", action="store_true", help=text)
    text = "look for every listed video first, and stop if one is missing or differs (scripts/check_data.py says more)"
    group.add_argument("--check_data", action="store_true", help=text)
    add_print_freq(group)
    group.add_argument("--seed", type=SEED, default=0, help="of weights, sampling, crops and dropout")
