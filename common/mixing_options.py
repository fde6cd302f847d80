"""The options of mixing (--mix ...): their group, their defaults by method, and what contradicts them."""

import argparse
from typing import Any

from common.cli import number
from common.errors import InputError
from ops.mixing.methods import ALPHAS, MIXES, SPATIAL_ALPHA, TEMPORAL_ALPHA

# Options that only a mixing reads, and those that only SV-Mix reads, with their defaults.
MIX_DEFAULTS = {"mix_prob": 1.0, "log_images": 2}
SVMIX_DEFAULTS = {"mix_switch_prob": 0.5, "selector_lr": 0.04, "teacher_decay": 0.999, "eval_teacher": False}


def add_mixing_options(parser: argparse.ArgumentParser) -> None:
    """Add --mix and what belongs to it; unset options are None until `complete_mixing`."""
    group = parser.add_argument_group("mixing of clips and labels")
    group.add_argument("--mix", choices=MIXES, default="none", help="method; svmix learns what to mix (SV-Mix)")
    group.add_argument(
        "--mix_prob", type=number(float, 0, 1), help="probability that a batch is mixed; 1, if not given"
    )
    alphas = ", ".join(f"{name} {alpha:g}" for name, alpha in ALPHAS.items())
    alphas += f", svmix {SPATIAL_ALPHA:g} in space and {TEMPORAL_ALPHA:g} in time"
    group.add_argument(
        "--mix_alpha", type=number(float, 0, open_low=True),
        help=f"the ratio is drawn from Beta(alpha, alpha); if not given: {alphas}",
    )  # fmt: skip
    group.add_argument(
        "--log_images", type=number(int, 0), help="mixed clips in TensorBoard each epoch; 2, if not given"
    )
    probability = number(float, 0, 1)
    text = "svmix: probability of choosing volumes in space, not whole frames; 0.5, if not given"
    group.add_argument("--mix_switch_prob", type=probability, help=text)
    text = "svmix: learning rate of the selector, which follows the schedule of --lr; 0.04, if not given"
    group.add_argument("--selector_lr", type=number(float, 0, open_low=True), help=text)
    text = "svmix: share of the teacher that stays after each step, the rest is the network's; 0.999, if not given"
    group.add_argument("--teacher_decay", type=probability, help=text)
    text = "svmix: evaluate the teacher, too (val/teacher_top1); the best checkpoint is the network's"
    group.add_argument("--eval_teacher", action="store_true", default=None, help=text)


def svmix_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `ops.mixing.svmix.SvMixSettings` takes, as far as it is given."""
    options = {
        "selector_lr": args.selector_lr, "network_lr": args.lr, "switch_prob": args.mix_switch_prob,
        "teacher_decay": args.teacher_decay, "alpha": args.mix_alpha,
        "partial_bn": not args.npb, "amp": args.amp,
    }  # fmt: skip
    return {name: value for name, value in options.items() if value is not None}


def complete_mixing(args: argparse.Namespace) -> None:
    """Fill the defaults in, for the method that is chosen.

    Raises:
        InputError: an option that nothing would read, or batches of one clip.
    """
    readers = {"--mix": ["mix_alpha", *MIX_DEFAULTS], "--mix svmix": list(SVMIX_DEFAULTS)}
    used = {"--mix": args.mix != "none", "--mix svmix": args.mix == "svmix"}
    for reader, names in readers.items():
        given = [name for name in names if getattr(args, name) is not None]
        if given and not used[reader]:
            raise InputError(f"--{given[0]} belongs to {reader}, and this run has --mix {args.mix}; leave it out")
    if args.mix == "none":
        return
    if args.batch_size < 2:
        raise InputError("--batch-size 1: --mix mixes the clips of a batch with one another; give 2 or more")
    for name, default in {**MIX_DEFAULTS, **(SVMIX_DEFAULTS if args.mix == "svmix" else {})}.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
