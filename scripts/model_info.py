#!/usr/bin/env python
"""Print a table of the networks: parameters, and multiply-adds at 224 and 256 pixels."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from errors import run_script
from ops.blocks import ARCHS
from ops.flops import count_macs, count_parameters
from ops.models import NETS, build_model

SIZES = (224, 256)


def info_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--net", nargs="+", default=list(NETS), help="networks to list")
    parser.add_argument("--arch", "--archs", nargs="+", default=list(ARCHS), help="backbones to list")
    parser.add_argument("--num_segments", type=int, nargs="+", default=[8, 16], help="segments a clip")
    parser.add_argument("--num_class", type=int, default=174, help="classes (174: Something-Something)")
    return parser


def main() -> None:
    args = info_parser().parse_args()
    columns = "".join(f"{f'GMACs at {size}':>14}" for size in SIZES)
    print(f"{'net':<6}{'arch':<11}{'segments':>9}{'parameters':>13}{columns}")
    for net in args.net:
        for arch in args.arch:
            for segments in args.num_segments:
                model = build_model(net, arch, args.num_class, segments)
                parameters = f"{count_parameters(model) / 1e6:.2f} M"
                macs = "".join(f"{count_macs(model, size) / 1e9:>14.2f}" for size in SIZES)
                print(f"{net:<6}{arch:<11}{segments:>9}{parameters:>13}{macs}")
    print(f"GMACs: 1e9 multiply-adds (papers often print them as FLOPs) of one view; {args.num_class} classes.")


if __name__ == "__main__":
    run_script(main)
