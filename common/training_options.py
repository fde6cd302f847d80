"""Options of train.py, each group added to its parser by one function."""

import argparse

from common.cli import SEED, file_name, interval, number
from common.errors import InputError
from common.option_groups import COUNT, DEFAULT_ARCH, add_batch_size, add_print_freq
from ops.blocks import ARCHS
from ops.h2cn import HOURGLASS_STARTS
from ops.models import ABLATIONS, CONSENSUS_TYPES, NETS
from ops.optimiser import optimiser_arguments
from ops.schedule import LR_STEPS, LR_TYPES

POSITIVE, SHARE = number(float, 0, open_low=True), number(float, 0, 1)


def add_network_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("network").add_argument
    add("--net", default="H2CN", choices=list(NETS), help="network; lower-case names are torchvision's")
    add("--arch", choices=list(ARCHS), default=DEFAULT_ARCH, help="backbone of H2CN, TDN, TSM and TSN")
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
        "modules that do not train, nor do their BatchNorm statistics: names in the network, such as layer1, and stem "
        "for everything before the first block"
    )
    add("--freeze", nargs="+", default=[], metavar="NAME", help=text)
    add("--linear_probe", action="store_true", help="train the classifier alone; the rest is frozen")
    text = "rate of stochastic depth in the last block, from 0 in the first; by default torchvision's"
    add("--drop_path", type=number(float, 0, 0.99), help=text)
    text = "recompute each block in the backward pass: less memory, about a fifth more time"
    add("--checkpoint_activations", action="store_true", help=text)


def add_optimiser_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("optimiser")
    add = group.add_argument
    text = "sgd, adamw, or another class of torch.optim in lower case; transformers need adamw"
    add("--optimizer", default="sgd", metavar="NAME", help=text)
    text = "more arguments of that class, such as nesterov=True or betas=0.9,0.95"
    add("--optimizer_args", nargs="+", default=[], metavar="KEY=VALUE", help=text)
    add("--epochs", type=COUNT, default=60, help="number of training epochs")
    add_batch_size(group, 8, "clips per batch, over all GPUs (under torchrun: per process)")
    text = "batches per optimiser step: BATCH_SIZE x ACCUMULATE clips (under torchrun: per process)"
    add("--accumulate", type=COUNT, default=1, help=text)
    text = "clips of each video per epoch, one after another in the order (repeated augmentation)"
    add("--aug_repeats", type=COUNT, default=1, help=text)
    add("--lr", "--learning-rate", type=POSITIVE, default=0.01, help="base learning rate")
    add("--lr_type", default="step", choices=LR_TYPES, help="step: x 0.1 at --lr_steps; cos: half a cosine to --min_lr")
    add("--lr_steps", type=number(float, 0), nargs="+", default=LR_STEPS, help="epochs at which --lr_type step decays")
    add("--min_lr", type=number(float, 0), default=0.0, help="lowest learning rate, after the warm-up")
    text = "clips per optimiser step that --lr was chosen for; --lr (and --selector_lr) scale linearly to this run's"
    add("--scale_lr", type=COUNT, metavar="CLIPS", help=text)
    text = "learning rate of each layer as a share of that of the layer after it; 1: all have the same"
    add("--layer_decay", type=number(float, 0, 1, open_low=True), default=1.0, help=text)
    add("--warmup", type=number(float, 0), default=0.0, help="epochs of linear increase from WARMUP_START x lr to lr")
    add("--warmup_start", type=SHARE, default=0.1, help="share of --lr at which the warm-up starts")
    add("--momentum", type=SHARE, default=0.9, help="momentum of SGD (first beta of AdamW)")
    text = (
        "also average the weights: d in average <- d x average + (1 - d) x network after each step, so about the last "
        "1 / (1 - d) steps count; the averages' top-1 then decides the best checkpoint"
    )
    add("--ema", type=number(float, 0, 0.99999), metavar="DECAY", help=text)
    add("--wd", "--weight-decay", dest="wd", type=number(float, 0), default=5e-4, help="weight decay")
    add("--gd", "--clip-gradient", dest="gd", type=POSITIVE, help="clip gradients to this L2 norm")
    add("--label_smoothing", type=SHARE, default=0.0, help="share of the label spread over all classes")
    add("--fc_lr5", action="store_true", help="train the classifier with lr x 5 (its bias with lr x 10)")
    text = "train all BatchNorms; otherwise those of the backbone are frozen, except the first one"
    add("--npb", "--no_partialbn", dest="npb", action="store_true", help=text)
    text = "compute BatchNorm statistics over all processes of torchrun (SyncBatchNorm; GPUs only)"
    add("--sync_bn", action="store_true", help=text)


def add_imbalance_options(parser: argparse.ArgumentParser) -> None:
    from ops.training.class_weights import BETA, CLASS_WEIGHTS

    add = parser.add_argument_group("imbalance of classes").add_argument
    text = (
        "weights of the classes in the training loss; n clips of a class -> inverse: 1 / n; sqrt: 1 / sqrt(n); "
        f"effective: (1 - beta) / (1 - beta^n) with beta {BETA:g}; their mean over the clips is 1"
    )
    add("--class_weights", choices=CLASS_WEIGHTS, default="none", help=text)
    text = "train on equally many clips of every class per epoch, instead of on every video once"
    add("--balanced_sampler", action="store_true", help=text)
    text = "accuracy that decides which epoch is the best: of the videos, or the mean of the classes' accuracies"
    add("--best_by", choices=("top1", "mean_class"), default="top1", help=text)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    add = group.add_argument
    text = "options from a TOML or JSON file, or from a run's options.json; those on the command line override them"
    add("--config", metavar="FILE", help=text)
    text = (
        "make three steps and stop: print all options, sizes, learning rates, time and memory, and draw the learning "
        "rate to FILE.png if given"
    )
    add("--dry_run", nargs="?", const=True, type=file_name(".png"), metavar="FILE.png", help=text)
    add("--root_log", default="runs", help="TensorBoard curves and JSON lines go to ROOT_LOG/<run name>/")
    add("--root_model", default="runs", help="checkpoints and options go to ROOT_MODEL/<run name>/")
    add("--suffix", help="appended to the run name, <net>_<data set>[_<split>]_<arch>_<segments>f")
    text = "continue a run from its ckpt.pth.tar; auto: the newest run of this name, or a new one if there is none"
    add("--resume", metavar="CKPT", help=text)
    text = "interval between checkpoints within an epoch: minutes (30m) or optimiser steps (500)"
    add("--save_every", type=interval, default="30m", metavar="INTERVAL", help=text)
    text = "number of best epochs whose weights are kept; above 1 each has a file ckpt.epoch_N.pth.tar"
    add("--keep_best", type=COUNT, default=1, help=text)
    add("-e", "--evaluate", action="store_true", help="only evaluate --resume CKPT on the val list")
    names = ("--eval-freq", "--eval_freq", "-ef")
    add(*names, dest="eval_freq", type=COUNT, default=1, help="epochs between evaluations")
    text = "train even if clips of the val list are training clips of this run or of the weights it starts from"
    add("--allow_overlap", action="store_true", help=text)
    text = "first check every listed video, and stop if one is missing or differs (see scripts/check_data.py)"
    add("--check_data", action="store_true", help=text)
    add_print_freq(group)
    add("--seed", type=SEED, default=0, help="seed for initial weights, sampling, crops and dropout")
    text = "repeat to the bit on the same machine (slower on GPUs), or fail where torch cannot"
    add("--deterministic", action="store_true", help=text)


def check_optimiser(args: argparse.Namespace, given: set[str]) -> None:
    """Refuse an unknown optimiser or argument of it, and options that contradict one another or that nothing reads."""
    arguments = optimiser_arguments(args.optimizer, args.optimizer_args)
    if "momentum" in given and (args.optimizer not in ("sgd", "adamw") or "betas" in arguments):
        what = "--optimizer_args betas" if "betas" in arguments else f"--optimizer {args.optimizer}"
        raise InputError(f"--momentum is not used with {what}; leave it out")
    if args.linear_probe and (args.freeze or "layer_decay" in given):
        both = "--freeze" if args.freeze else "--layer_decay"
        raise InputError(f"--linear_probe trains the classifier alone; leave {both} out")
    if "warmup_start" in given and not args.warmup:
        raise InputError("--warmup_start needs --warmup, which is 0; leave it out")
    if args.checkpoint_activations and args.compile:
        raise InputError("--checkpoint_activations does not work with --compile; leave one of them out")
