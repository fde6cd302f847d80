#!/usr/bin/env python
"""Print parameters and multiply-adds of the networks at several input sizes."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser, number
from common.console import answer_help, run_script
from common.errors import InputError
from ops.choices import ARCHS
from ops.models import NETS, build_model


def info_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--net", nargs="+", choices=list(NETS), default=list(NETS), help="networks to list")
    text = "backbones to list; torchvision's video networks have their own"
    parser.add_argument("--arch", "--archs", nargs="+", choices=list(ARCHS), default=list(ARCHS), help=text)
    parser.add_argument("--num_segments", type=number(int, 1), nargs="+", default=[8, 16], help="segments per clip, T")
    parser.add_argument("--num_class", type=number(int, 1), default=174, help="classes; Something-Something has 174")
    return parser


if __name__ == "__main__":
    answer_help(info_parser())  # before torch is loaded

from ops.flops import count_macs, count_parameters

SIZES = (112, 224, 256)


def main() -> None:
    args = info_parser().parse_args()
    columns = "".join(f"{f'GMACs at {size}':>14}" for size in SIZES)
    print(f"{'net':<13}{'arch':<13}{'segments':>8}{'parameters':>13}{columns}")
    for net in args.net:
        for arch in [NETS[net].arch] if NETS[net].arch else args.arch:
            for segments in args.num_segments:
                try:
                    model = build_model(net, arch, args.num_class, segments)
                except InputError as error:
                    print(f"{net:<13}{arch:<13}{segments:>8}  {error}")
                    continue
                parameters = f"{count_parameters(model) / 1e6:.2f} M"
                fits = {size: size % model.stride == 0 for size in SIZES}
                cells = [f"{count_macs(model, size) / 1e9:.2f}" if fits[size] else "-" for size in SIZES]
                print(f"{net:<13}{arch:<13}{segments:>8}{parameters:>13}" + "".join(f"{cell:>14}" for cell in cells))
    print(f"GMACs: 1e9 multiply-adds per view (often called FLOPs in papers); {args.num_class} classes.")


if __name__ == "__main__":
    run_script(main)
