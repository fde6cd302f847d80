#!/usr/bin/env python
"""Measure speed and memory against references, variant by variant in turns, and print ratios.

`model` and `step`: evaluation and training step of the networks. `loader`: training clips from files. `views`: a test
of many views. `growth`: time and memory against segments, pixels, batch and workers. See docs/BENCHMARKS.md.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is imported: its profiler is silent then

import torch

from common.cli import HelpFormatter, make_parser, number
from common.console import log_lines_to, run_script
from ops.runtime import MALLOC, keep_freed_memory
from scripts.benchmarking import growth, loading, model_and_step, views
from scripts.benchmarking.report import check_target, describe, machine, write_report


def benchmark_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, add_options, run) in COMMANDS.items():
        own = commands.add_parser(name, help=text, description=text, formatter_class=HelpFormatter, allow_abbrev=False)
        add_options(own)
        own.add_argument("--rounds", type=number(int, 1), default=9, help="turns of each variant")
        own.add_argument("--threads", type=number(int, 1), help="of PyTorch in this process")
        own.add_argument("--malloc", choices=MALLOC, default="system", help="of freed memory, as in train.py")
        own.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
        own.set_defaults(run=run)
    return parser


COMMANDS = {
    "model": ("Evaluation of the networks.", model_and_step.add_options, partial(model_and_step.run, training=False)),
    "step": ("Training step of the networks.", model_and_step.add_options, partial(model_and_step.run, training=True)),
    "loader": ("Training clips from files.", loading.add_options, loading.run),
    "views": ("The data of a test of many views.", views.add_options, views.run),
    "growth": ("Time and memory against size.", growth.add_options, growth.run),
}


def main(argv: list[str] | None = None) -> None:
    args = benchmark_parser().parse_args(argv)
    log_lines_to(sys.stderr)
    check_target(args.json)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.malloc == "keep":
        keep_freed_memory()
    about = {**machine(torch.device(getattr(args, "device", "cpu"))), "malloc": args.malloc}
    print(describe(about))
    write_report(args.json, {"benchmark": args.command, "machine": about, **args.run(args)})


if __name__ == "__main__":
    run_script(main)
