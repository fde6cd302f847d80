#!/usr/bin/env python
"""Compare speed and memory with references: variants are measured in turns, results are ratios.

`model` and `step`: evaluation and training step of the networks. `loader`: training clips from files. `views`: a test
with many views. `growth`: time and memory against segments, pixels, batch size and workers. `scaling`: steps of several
processes, long lists, checkpoints. See docs/BENCHMARKS.md and docs/SCALING.md.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences torch's profiler, if set before torch is imported

import torch

from common.cli import add_command, make_parser, number
from common.console import log_lines_to, run_script
from common.files import require_replaceable
from ops.runtime import MALLOC, keep_freed_memory
from scripts.benchmarking import growth, loading, model_and_step, scaling, views
from scripts.benchmarking.report import describe, machine, write_report

COMMANDS = {
    "model": ("Evaluation of the networks.", model_and_step.add_options, partial(model_and_step.run, training=False)),
    "step": ("Training step of the networks.", model_and_step.add_options, partial(model_and_step.run, training=True)),
    "loader": ("Training clips from files.", loading.add_options, loading.run),
    "views": ("The data of a test with many views.", views.add_options, views.run),
    "scaling": ("Processes, long lists, checkpoints.", scaling.add_options, scaling.run),
    "growth": ("Growth of time and memory with size.", growth.add_options, growth.run),
}


def benchmark_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, add_options, run) in COMMANDS.items():
        own = add_command(commands, name, text, text)
        add_options(own)
        own.add_argument("--rounds", type=number(int, 1), default=9, help="turns of each variant")
        own.add_argument("--threads", type=number(int, 1), help="PyTorch threads in this process")
        own.add_argument(
            "--malloc", choices=MALLOC, default="system", help="keep freed memory or return it, on the CPU"
        )
        own.add_argument("--json", type=Path, metavar="FILE", help="write all measurements to this file")
        own.set_defaults(run=run)
    return parser


def main(argv: list[str] | None = None) -> None:
    args = benchmark_parser().parse_args(argv)
    log_lines_to(sys.stderr)
    require_replaceable(args.json, "--json")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.malloc == "keep":
        keep_freed_memory()
    about = {**machine(torch.device(getattr(args, "device", "cpu"))), "malloc": args.malloc}
    print(describe(about))
    write_report(args.json, {"benchmark": args.command, "machine": about, **args.run(args)})


if __name__ == "__main__":
    run_script(main)
