"""Options that several scripts share, each group added to a parser by one function."""

import argparse
from typing import Any

from joblib import cpu_count

from common.cli import number
from common.errors import InputError
from datasets.reading.decoders import DECODER_NAMES
from datasets.sampling import TRAIN_SAMPLINGS
from ops.choices import AMP, ARCHS, MALLOC
from ops.models import NETS

DEFAULT_ARCH = "resnet50"
COUNT, POSITIVE, SHARE = number(int, 1), number(float, 0, open_low=True), number(float, 0, 1)


def add_data_options(
    parser: argparse.ArgumentParser, lists: tuple[str, ...], *, workers: bool = True
) -> argparse._ArgumentGroup:
    """Add the options that `data_options` reads; `lists`: "train", "val"; `workers`: also --workers; their group."""
    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--data_root", default="data", help="folder with one subfolder per prepared data set")
    text = "folder of frame folders, archives or videos, instead of DATA_ROOT/<data set>/frames (or videos)"
    add("--root_path", help=text)
    text = "use the prepared lists train_<NAME>.txt and val_<NAME>.txt (split2, fold1, ...)"
    add("--split", metavar="NAME", help=text)
    for name in lists:
        text = f"{name} list with lines `path num_frames label` or `path label`, instead of the prepared one"
        add(f"--{name}_list", help=text)
    add("--classes", help="class names, one per line, instead of the prepared classes.txt")
    add("--image_tmpl", help="file names of frames, such as {:05d}.jpg for 00001.jpg, 00002.jpg, ...")
    if workers:
        add_workers(group, "processes that read frames")
    return group


def data_options(args: argparse.Namespace) -> dict[str, str | None]:
    """The options that locate the data, for `datasets.catalogue.resolve`; refuses a list that is given twice."""
    names = ("data_root", "split", "root_path", "train_list", "val_list", "classes", "image_tmpl")
    options = {name: getattr(args, name, None) for name in names}
    given = [f"--{name} {options[name]}" for name in ("train_list", "val_list") if options[name] is not None]
    if options["split"] is not None and given:
        raise InputError(f"--split {options['split']} and {given[0]} both name a list; give one of them")
    return options


def add_workers(group: argparse._ArgumentGroup, text: str) -> None:
    few = min(4, cpu_count())  # of the cores that this process may use
    group.add_argument("-j", "--workers", type=number(int, 0), default=few, help=text)


def add_decoder_option(group: argparse._ActionsContainer) -> None:
    text = "JPEG decoder; all give the same pixels, auto selects the fastest installed one"
    group.add_argument("--decoder", choices=DECODER_NAMES, default="auto", help=text)


def add_crop_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options for cropping and flipping training clips; returns their group."""
    group = parser.add_argument_group("augmentation")
    text = "side of the square crop in pixels, a multiple of 32 (of 16 for r2plus1d_18)"
    group.add_argument("--input_size", type=number(int, 32), default=224, help=text)
    text = "no horizontal flips (a flipped clip gets the mirror class)"
    group.add_argument("--no_flip", action="store_true", help=text)
    return group


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `train_sampling` reads."""
    group = parser.add_argument_group("sampling")
    text = (
        "random: a segment at a random place in each of T equal parts of the video; dense: segments --frame_stride "
        "apart, from a random start; validation uses the centre of each part (dense: the middle of the video)"
    )
    group.add_argument("--sampling", choices=TRAIN_SAMPLINGS, default="random", help=text)
    add_frame_options(group)


def add_frame_options(group: argparse._ActionsContainer, default: str = "") -> None:
    """Add --frame_stride and --frame_rate; `default`: the end of their help texts."""
    text = f"dense clips: frames from the start of one segment to the start of the next{default}"
    group.add_argument("--frame_stride", type=number(int, 1, 10_000), metavar="FRAMES", help=text)
    text = f"read video files at RATE frames per second (by timestamps); 0: every frame{default}"
    group.add_argument("--frame_rate", type=number(float, 0, 1000), metavar="RATE", help=text)


def train_sampling(args: argparse.Namespace) -> dict[str, Any]:
    """The frame stride and frame rate of training clips, 0 if not given; refuses contradictions."""
    require_read_stride(args)
    if args.sampling == "dense" and args.frame_stride is None:
        raise InputError("--sampling dense needs --frame_stride; add it")
    return {"frame_stride": args.frame_stride or 0, "frame_rate": args.frame_rate or 0.0}


def require_read_stride(args: argparse.Namespace) -> None:
    if args.frame_stride is not None and args.sampling not in ("auto", "dense"):
        raise InputError(f"--frame_stride {args.frame_stride} needs --sampling dense, not {args.sampling}; change one")


def add_print_freq(group: argparse._ArgumentGroup) -> None:
    text = "batches between progress lines; in training, also between points of curves"
    group.add_argument("-p", "--print-freq", "--print_freq", type=COUNT, default=20, help=text)


def add_batch_size(group: argparse._ArgumentGroup, default: int, text: str) -> None:
    group.add_argument("-b", "--batch-size", "--batch_size", type=COUNT, default=default, help=text)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("devices").add_argument
    add("--gpus", type=int, nargs="+", help="GPU numbers; several use DataParallel; default: the first GPU")
    text = "mixed precision; auto: bf16 on GPUs and processors that have it (AVX-512 BF16, AMX), otherwise off"
    add("--amp", choices=[*AMP, "auto"], default="off", help=text)
    add("--compile", action="store_true", help="compile networks with torch.compile, meant for GPUs")
    text = "on the CPU, keep freed memory for reuse (faster) or return it to the system"
    add("--malloc", choices=MALLOC, default="keep", help=text)


def add_ema_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ema", action="store_true", help="use the averaged weights of train.py --ema")


def add_weights_options(parser: argparse.ArgumentParser) -> None:
    """Add --weights, and the options that say what a file from elsewhere does not."""
    add = parser.add_argument
    add("--weights", required=True, metavar="CKPT", help="checkpoint of this project, official code or torchvision")
    add("--net", choices=list(NETS), help="network, if the weights do not name it; H2CN if not given")
    add("--archs", "--arch", dest="arch", choices=list(ARCHS), help="backbone, if the weights do not name it")
    add("--test_segments", type=COUNT, help="segments per clip, if the weights do not say")
    add_frame_options(parser, "; default: as in training")
    add_ema_option(parser)
