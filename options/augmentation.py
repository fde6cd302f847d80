"""Options of the training augmentation: a preset, and options that override parts of it."""

import argparse
from dataclasses import asdict, fields
from typing import Any

from common.cli import number
from common.errors import InputError
from datasets.augmentation import AUTO_AUGMENTS, MAGNITUDES, PRESETS, Augmentation
from options.groups import COUNT, SHARE, add_crop_options

RANDAUGMENT_OPTIONS = ("ra_ops", "ra_magnitude")


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
        text = "clips per video in each epoch (repeated augmentation)"
        add("--aug_repeats", type=COUNT, default=1, help=text)


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
