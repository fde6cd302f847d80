"""Options of the training augmentation: a preset, and flags that change parts of it."""

import argparse
from dataclasses import asdict, fields
from typing import Any

from common.cli import number
from common.errors import InputError
from common.option_groups import COUNT, add_crop_options
from datasets.augmentation import AUTO_AUGMENTS, MAGNITUDES, PRESETS, Augmentation

SHARE = number(float, 0, 1)
RANDAUGMENT_OPTIONS = ("ra_ops", "ra_magnitude")


def add_augmentation_options(parser: argparse.ArgumentParser) -> None:
    add = add_crop_options(parser).add_argument
    text = (
        "tsn: multi-scale crop and flip; mae, as VideoMAE: random resized crop (0.08), flip, RandAugment (4 operations "
        "of magnitude 21), random erasing (0.25); the options below replace parts of it"
    )
    add("--preset", choices=list(PRESETS), default="tsn", help=text)
    text = "crop a random part of AREA to 1 of the frame's area instead of TSN's multi-scale crop; 0: TSN's"
    add("--random_resized_crop", type=SHARE, metavar="AREA", help=text)
    text = "trivial: TrivialAugment, one random change per clip; randaugment: RandAugment; neither mirrors clips"
    add("--auto_augment", choices=AUTO_AUGMENTS, help=text)
    add("--ra_ops", type=COUNT, help="RandAugment: operations per clip, 2 unless the preset says otherwise")
    text = f"RandAugment: strength from 0 to {MAGNITUDES - 1}, 9 unless the preset says otherwise"
    add("--ra_magnitude", type=number(int, 0, MAGNITUDES - 1), help=text)
    text = "multiply brightness, contrast and saturation by factors from 1 - S to 1 + S; 0: do not"
    add("--color_jitter", type=SHARE, metavar="S", help=text)
    add("--gray", type=SHARE, metavar="P", help="probability that a clip becomes grey")
    text = "probability that a rectangle of 2 to 33 %% of the area is erased, at the same place in all frames of a clip"
    add("--random_erasing", type=SHARE, metavar="P", help=text)


def preset_values(name: str) -> dict[str, Any]:
    """The options of a preset; none if there is no such preset."""
    return asdict(PRESETS[name]) if name in PRESETS else {}


def complete_augmentation(args: argparse.Namespace) -> None:
    """Take the options that are not given from the preset; refuses settings of RandAugment without RandAugment."""
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
    """The augmentation that complete options describe."""
    settings = {field.name: getattr(args, field.name) for field in fields(Augmentation)}
    return Augmentation(**{name: value for name, value in settings.items() if value is not None})
