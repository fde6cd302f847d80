"""Options of the training augmentation, a preset with parts to override, and of the mixing of clips and labels."""

import argparse
from dataclasses import asdict, fields
from typing import Any

from common.cli import number
from common.errors import InputError
from datasets.augmentation import AUTO_AUGMENTS, MAGNITUDES, PRESETS, Augmentation
from ops.choices import ALPHAS, MIXES, SPATIAL_ALPHA, TEMPORAL_ALPHA
from options.groups import COUNT, POSITIVE, SHARE, add_crop_options

RANDAUGMENT_OPTIONS = ("ra_ops", "ra_magnitude")
# Options that only a mixing method reads, and those that only SV-Mix reads.
MIX_OPTIONS = ("mix_prob", "mix_alpha", "mix_off_epochs", "log_images")
SVMIX_OPTIONS = ("mix_switch_prob", "selector_lr", "teacher_decay", "eval_teacher")


def add_augmentation_options(parser: argparse.ArgumentParser, *, repeats: bool = False) -> None:
    """Add the options of the augmentation; `repeats`: also --aug_repeats."""
    add = add_crop_options(parser).add_argument
    text = (
        "tsn: multi-scale crop, flip; mae (VideoMAE): random resized crop (0.08), flip, RandAugment (4 operations, "
        "magnitude 21), random erasing (0.25); the options below override it"
    )
    add("--preset", choices=list(PRESETS), default="tsn", help=text)
    text = "smallest crop as a share of the frame's area (the largest is 1); 0: TSN's multi-scale crop instead"
    add("--random_resized_crop", type=SHARE, metavar="AREA", help=text)
    text = "trivial: TrivialAugment, one operation per clip; randaugment: RandAugment; neither mirrors clips"
    add("--auto_augment", choices=AUTO_AUGMENTS, help=text)
    add("--ra_ops", type=COUNT, help="RandAugment: operations per clip; default: the preset's, otherwise 2")
    text = f"RandAugment: magnitude, 0 to {MAGNITUDES - 1}; default: the preset's, otherwise 9"
    add("--ra_magnitude", type=number(int, 0, MAGNITUDES - 1), help=text)
    text = "multiply brightness, contrast and saturation by random factors from 1 - S to 1 + S; 0: off"
    add("--color_jitter", type=SHARE, metavar="S", help=text)
    add("--gray", type=SHARE, metavar="P", help="probability of converting a clip to grey")
    text = "probability of erasing a rectangle, 2 to 33 %% of the area, the same in all frames of a clip"
    add("--random_erasing", type=SHARE, metavar="P", help=text)
    if repeats:
        add("--aug_repeats", type=COUNT, default=1, help="clips per video in each epoch (repeated augmentation)")


def preset_values(name: str) -> dict[str, Any]:
    """The options of a preset; none if there is no such preset."""
    return asdict(PRESETS[name]) if name in PRESETS else {}


def complete_augmentation(args: argparse.Namespace) -> None:
    """Fill in options that are not given from the preset; refuse RandAugment settings without RandAugment."""
    preset = preset_values(args.preset)
    chosen = args.auto_augment or preset["auto_augment"]
    if chosen != "randaugment":
        for name in RANDAUGMENT_OPTIONS:
            if getattr(args, name) is not None:
                raise InputError(f"--{name} needs --auto_augment randaugment, but this run has {chosen}; leave it out")
            preset[name] = None
    for name, value in preset.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def chosen_augmentation(args: argparse.Namespace) -> Augmentation:
    """The augmentation described by options that `complete_augmentation` has filled in."""
    settings = {field.name: getattr(args, field.name) for field in fields(Augmentation)}
    return Augmentation(**{name: value for name, value in settings.items() if value is not None})


def add_mixing_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("mixing of clips and labels").add_argument
    text = "mixing method; svmix (SV-Mix) learns what to mix; several others (mixup,cutmix): one of them per batch"
    add("--mix", type=mix_names, default="none", metavar="{" + ",".join(MIXES) + "}", help=text)
    add("--mix_prob", type=SHARE, default=1.0, help="probability that a batch is mixed")
    defaults = ", ".join(f"{name} {alpha:g}" for name, alpha in ALPHAS.items())
    defaults += f", svmix {SPATIAL_ALPHA:g} in space and {TEMPORAL_ALPHA:g} in time"
    text = f"the mixing ratio is drawn from Beta(alpha, alpha); one per method (0.8,1); default: {defaults}"
    add("--mix_alpha", type=alphas, metavar="ALPHA", help=text)
    add("--mix_off_epochs", type=number(int, 0), default=0, metavar="N", help="do not mix in the last N epochs")
    add("--log_images", type=number(int, 0), default=2, help="mixed clips per epoch shown in TensorBoard")
    text = "svmix: probability of choosing volumes in space rather than whole frames"
    add("--mix_switch_prob", type=SHARE, default=0.5, help=text)
    text = "svmix: base learning rate of the selector; follows the schedule of --lr"
    add("--selector_lr", type=POSITIVE, default=0.04, help=text)
    text = "svmix: d in teacher <- d x teacher + (1 - d) x network after each step"
    add("--teacher_decay", type=SHARE, default=0.999, help=text)
    text = "svmix: also evaluate the teacher (val/teacher_top1); it does not choose the best checkpoint"
    add("--eval_teacher", action="store_true", help=text)


def mix_names(text: str) -> str:
    """An argparse type: a mixing method, or several methods without parameters, separated by commas."""
    names = text.split(",")
    if text not in MIXES and not (len(set(names)) == len(names) and set(names) <= set(ALPHAS)):
        some = ", ".join(ALPHAS)
        raise argparse.ArgumentTypeError(f"{text!r}: choose from {', '.join(MIXES)}, or several of {some}")
    return text


def alphas(text: str) -> list[float]:
    """An argparse type: positive numbers, separated by commas."""
    return [POSITIVE(part) for part in text.split(",")]


def check_mixing(args: argparse.Namespace, given: set[str]) -> None:
    """Refuse options that nothing reads, and set the other unused ones to None."""
    for method, names, used in (
        ("--mix", MIX_OPTIONS, args.mix != "none"),
        ("--mix svmix", SVMIX_OPTIONS, args.mix == "svmix"),
    ):
        for name in () if used else names:
            if name in given:
                raise InputError(f"--{name} needs {method}, but this run has --mix {args.mix}; leave it out")
            setattr(args, name, None)
    if args.mix == "none":
        return
    if args.batch_size < 2:
        raise InputError("--batch-size 1: --mix needs at least 2 clips per batch; give 2 or more")
    if args.mix_off_epochs >= args.epochs:
        raise InputError(
            f"--mix_off_epochs {args.mix_off_epochs} leaves none of --epochs {args.epochs} to --mix {args.mix}; give "
            "fewer, or leave --mix out"
        )
    methods = args.mix.split(",")
    if args.mix_alpha is not None and len(args.mix_alpha) not in (1, len(methods)):
        raise InputError(
            f"--mix_alpha has {len(args.mix_alpha)} numbers for {args.mix}; give one for all, or one for each"
        )
