#!/usr/bin/env python
"""Compare speed and memory with references: variants are measured in turns, results are ratios.

`model` and `step`: evaluation and training step of the networks. `loader`: training clips from files. `views`: a test
with many views. `growth`: time and memory against segments, pixels, batch size and workers. `scaling`: steps of several
processes, long lists, checkpoints. See docs/BENCHMARKS.md and docs/SCALING.md.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences torch's profiler, if set before torch is imported

from common.cli import make_parser, number
from common.console import answer_help, log_lines_to, run_script
from common.files import require_replaceable, write_json
from ops.choices import MALLOC

# Their help, and their modules, which are loaded when the command is given. The function `run` of a module measures,
# prints, and returns the content of the JSON file.
COMMANDS = {
    "model": ("Evaluation of the networks.", "model_and_step"),
    "step": ("Training step of the networks.", "model_and_step"),
    "loader": ("Training clips from files.", "loading"),
    "views": ("The data of a test with many views.", "views"),
    "scaling": ("Processes, long lists, checkpoints.", "scaling"),
    "growth": ("Growth of time and memory with size.", "growth"),
}


def benchmark_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with the options of the commands that occur in `argv`."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (about, module) in COMMANDS.items():
        own = commands.add_parser(name, help=about, description=about)
        if name in argv:
            benchmark = import_module(f"scripts.benchmarking.{module}")
            benchmark.add_options(own)
            own.set_defaults(run=benchmark.run)
        own.add_argument("--rounds", type=number(int, 1), default=9, help="turns of each variant")
        own.add_argument("--threads", type=number(int, 1), help="PyTorch threads in this process")
        text = "keep freed memory or return it, on the CPU"
        own.add_argument("--malloc", choices=MALLOC, default="system", help=text)
        own.add_argument("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    return parser


if __name__ == "__main__":
    answer_help(benchmark_parser(sys.argv))  # before torch is loaded

import torch

from ops.malloc import keep_freed_memory
from scripts.benchmarking.report import describe, machine


def main(argv: list[str] | None = None) -> None:
    args = benchmark_parser(sys.argv if argv is None else argv).parse_args(argv)
    log_lines_to(sys.stderr)
    require_replaceable(args.json, "--json")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.malloc == "keep":
        keep_freed_memory()
    about = machine(torch.device(getattr(args, "device", "cpu")), args.malloc)
    print(describe(about))
    found = args.run(args)
    if args.json:
        write_json(args.json, {"benchmark": args.command, "machine": about, **found})


if __name__ == "__main__":
    run_script(main)
