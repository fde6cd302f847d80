"""Options of train.py, each group added to its parser by one function."""

import argparse

from common.cli import SEED, file_name, interval, number
from common.errors import InputError
from ops.choices import ABLATIONS, ARCHS, BETA, CLASS_WEIGHTS, HOURGLASS_STARTS
from ops.models import CONSENSUS_TYPES, FAMILY, NETS
from ops.schedule import LR_STEPS, LR_TYPES
from options.groups import COUNT, DEFAULT_ARCH, POSITIVE, SHARE, add_batch_size, add_print_freq


def add_network_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("network").add_argument
    add("--net", default="H2CN", choices=list(NETS), help="network; lower-case names are torchvision's")
    add("--arch", choices=list(ARCHS), default=DEFAULT_ARCH, help=f"backbone of {', '.join(FAMILY)}")
    add("--num_segments", type=COUNT, default=8, help="segments per clip, T")
    parts = "; ".join(f"{name}: {what}" for name, what in ABLATIONS.items())
    add("--ablate", nargs="+", choices=list(ABLATIONS), default=[], help=f"leave parts out of H2CN: {parts}")
    starts = "; ".join(f"{name}: {what}" for name, what in HOURGLASS_STARTS.items())
    text = f"initial hourglasses and gates of H2CN, unless loaded; {starts}; default: {next(iter(HOURGLASS_STARTS))}"
    add("--hourglass_start", choices=list(HOURGLASS_STARTS), help=text)
    add("--consensus_type", default="avg", choices=CONSENSUS_TYPES, help="segment scores -> clip score")
    add("--dropout", type=SHARE, default=0.5, help="dropout before the classifier")
    text = (
        "initial weights: ImageNet for the ResNet, Kinetics-400 for torchvision's video networks, other torchvision "
        "weights by their name (KINETICS400_IMAGENET22K_V1), or a file"
    )
    add("--pretrain", default="none", metavar="{none,imagenet,kinetics,FILE}", help=text)
    text = "fine-tune these weights; the classifier is new if the number of classes differs"
    add("--tune_from", metavar="CKPT", help=text)
    text = (
        "modules to freeze, including their BatchNorm statistics: names in the network, such as layer1; stem: "
        "everything before the first block, except the motion branch"
    )
    add("--freeze", nargs="+", default=[], metavar="NAME", help=text)
    add("--linear_probe", action="store_true", help="train only the classifier")
    text = "stochastic depth: rate in the last block (0 in the first); default: torchvision's"
    add("--drop_path", type=number(float, 0, 0.99), help=text)
    text = "recompute blocks in the backward pass: less memory, about a fifth more time"
    add("--checkpoint_activations", action="store_true", help=text)


def add_optimiser_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("optimiser")
    add = group.add_argument
    text = "sgd, adamw or another class of torch.optim, in lower case; transformers need adamw"
    add("--optimizer", default="sgd", metavar="NAME", help=text)
    text = "other arguments of the optimiser, such as nesterov=True or betas=0.9,0.95"
    add("--optimizer_args", nargs="+", default=[], metavar="KEY=VALUE", help=text)
    add("--epochs", type=COUNT, default=60, help="number of training epochs")
    add_batch_size(group, 8, "clips per batch, over all GPUs (under torchrun: per process)")
    text = "batches per optimiser step: BATCH_SIZE x ACCUMULATE clips (under torchrun: per process)"
    add("--accumulate", type=COUNT, default=1, help=text)
    add("--lr", "--learning-rate", type=POSITIVE, default=0.01, help="base learning rate")
    add("--lr_type", default="step", choices=LR_TYPES, help="step: x 0.1 at --lr_steps; cos: half a cosine to --min_lr")
    add("--lr_steps", type=number(float, 0), nargs="+", default=LR_STEPS, help="epochs at which --lr_type step decays")
    add("--min_lr", type=number(float, 0), default=0.0, help="lowest learning rate after the warm-up (end of cos)")
    text = "clips per optimiser step for which --lr was chosen; --lr and --selector_lr are scaled linearly to this run"
    add("--scale_lr", type=COUNT, metavar="CLIPS", help=text)
    text = "learning rate of each block as a share of the next block's; 1: the same for all"
    add("--layer_decay", type=number(float, 0, 1, open_low=True), default=1.0, help=text)
    add("--warmup", type=number(float, 0), default=0.0, help="epochs of warm-up, linear from WARMUP_START x LR to LR")
    add("--warmup_start", type=SHARE, default=0.1, help="learning rate at the start of the warm-up, as a share of --lr")
    add("--momentum", type=SHARE, default=0.9, help="momentum of SGD (first beta of AdamW)")
    text = (
        "also keep averaged weights: after each step, average <- d x average + (1 - d) x network, about the mean of "
        "the last 1 / (1 - d) steps; the averaged weights then choose the best checkpoint"
    )
    add("--ema", type=number(float, 0, 0.99999), metavar="DECAY", help=text)
    add("--wd", "--weight-decay", type=number(float, 0), default=5e-4, help="weight decay")
    add("--gd", "--clip-gradient", type=POSITIVE, help="clip gradients to this L2 norm")
    add("--label_smoothing", type=SHARE, default=0.0, help="share of the label spread over all classes")
    add("--fc_lr5", action="store_true", help="train the classifier with lr x 5 (its bias with lr x 10)")
    text = "train all BatchNorms; by default those of the backbone except the first are frozen"
    add("--npb", "--no_partialbn", action="store_true", help=text)
    text = "compute BatchNorm statistics over all processes (SyncBatchNorm; GPUs only)"
    add("--sync_bn", action="store_true", help=text)


def add_label_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("labels").add_argument
    text = (
        "train on lists with several labels per line (`path 3,5,7`): sigmoids instead of a softmax, binary "
        "cross-entropy averaged over clips and classes; mAP chooses the best epoch"
    )
    add("--multi_label", action="store_true", help=text)
    text = (
        "weight of a class with n clips in the training loss; inverse: 1 / n; sqrt: 1 / sqrt(n); "
        f"effective: (1 - beta) / (1 - beta^n), beta {BETA:g}; scaled to a mean of 1 over the clips"
    )
    add("--class_weights", choices=CLASS_WEIGHTS, default="none", help=text)
    text = "draw equally many clips of each class per epoch, instead of each video once"
    add("--balanced_sampler", action="store_true", help=text)
    text = "metric that chooses the best epoch: top-1, mean class accuracy, mAP; default: top1 (map with --multi_label)"
    add("--best_by", choices=("top1", "mean_class", "map"), help=text)


def check_labels(args: argparse.Namespace) -> None:
    """Set the default of --best_by, and refuse options that do not fit the number of labels per video."""
    args.best_by = args.best_by or ("map" if args.multi_label else "top1")
    if args.best_by == "map" and not args.multi_label:
        raise InputError("--best_by map is for several labels per video; add --multi_label, or leave it out")
    single = {"--label_smoothing": args.label_smoothing > 0, "--balanced_sampler": args.balanced_sampler}
    single |= {"--class_weights": args.class_weights != "none", f"--best_by {args.best_by}": args.best_by != "map"}
    given = [flag for flag, is_given in single.items() if is_given]
    if args.multi_label and given:
        raise InputError(f"{given[0]} is for one label per video; leave it or --multi_label out")
    if args.class_weights != "none" and args.balanced_sampler:
        raise InputError("--class_weights and --balanced_sampler both compensate for rare classes; give one of them")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    add = group.add_argument
    text = (
        "read options from a TOML or JSON file, or from a run's options.json; the command line overrides them, but "
        "cannot switch off what the file switches on"
    )
    add("--config", metavar="FILE", help=text)
    text = (
        "train for three steps and stop: print options, sizes, learning rates, time and memory; FILE.png: also plot "
        "the learning rate"
    )
    add("--dry_run", nargs="?", const=True, type=file_name(".png"), metavar="FILE.png", help=text)
    add("--root_log", default="runs", help="TensorBoard curves and JSON lines go to ROOT_LOG/<run name>/")
    add("--root_model", default="runs", help="checkpoints and options go to ROOT_MODEL/<run name>/")
    add("--suffix", help="appended to the run name, <net>_<data set>[_<split>]_<arch>_<segments>f")
    text = "continue a run from its ckpt.pth.tar; auto: from the newest run of this name, if there is one"
    add("--resume", metavar="CKPT", help=text)
    text = "interval between checkpoints within an epoch: minutes (30m) or optimiser steps (500)"
    add("--save_every", type=interval, default="30m", metavar="INTERVAL", help=text)
    text = "number of best epochs to keep; above 1, each also in a file ckpt.epoch_N.pth.tar"
    add("--keep_best", type=COUNT, default=1, help=text)
    add("-e", "--evaluate", action="store_true", help="only evaluate --resume CKPT on the val list")
    add("--eval-freq", "--eval_freq", "-ef", type=COUNT, default=1, help="epochs between evaluations")
    text = "train even if val clips are training clips of this run or of its initial weights, or overlap with the run's"
    add("--allow_overlap", action="store_true", help=text)
    text = "first check every listed video, as scripts/check_data.py does, and stop at a fault"
    add("--check_data", action="store_true", help=text)
    add_print_freq(group)
    add("--seed", type=SEED, default=0, help="seed for initial weights, sampling, crops and dropout")
    text = "give bit-identical results on the same machine, or stop where torch cannot (slower on GPUs)"
    add("--deterministic", action="store_true", help=text)


def check_optimiser(args: argparse.Namespace, given: set[str]) -> None:
    """Refuse unknown optimisers and arguments, contradictory options, and options that nothing reads."""
    from ops.optimiser import optimiser_arguments  # here because it loads torch

    arguments = optimiser_arguments(args.optimizer, args.optimizer_args)
    if "momentum" in given and (args.optimizer not in ("sgd", "adamw") or "betas" in arguments):
        what = "--optimizer_args betas" if "betas" in arguments else f"--optimizer {args.optimizer}"
        raise InputError(f"--momentum is not used with {what}; leave it out")
    if args.linear_probe and (args.freeze or "layer_decay" in given):
        both = "--freeze" if args.freeze else "--layer_decay"
        raise InputError(f"--linear_probe trains only the classifier; leave {both} out")
    if "warmup_start" in given and not args.warmup:
        raise InputError("--warmup_start needs --warmup; add it, or leave --warmup_start out")
    if args.checkpoint_activations and args.compile:
        raise InputError("--checkpoint_activations does not work with --compile; leave one of them out")
