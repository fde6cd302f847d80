#!/usr/bin/env python
"""Check all that the project does with this machine's GPUs, in about 8 minutes on a card such as an H100.

Prints one verdict per check, then a table of what was found; the exit status is 1 if a check fails. Without a GPU it
runs small checks of what a CPU allows.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is imported: its profiler is silent then

from common.cli import make_parser, number
from common.console import run_script, take_sigterm_as_ctrl_c
from common.errors import InputError
from common.files import write_whole
from ops.runtime import start_runtime
from scripts.benchmarking.report import require_writable, describe, machine, write_report
from scripts.gpu_checks import numerics, speed, trainings
from scripts.gpu_checks.bench import Bench, Fact, Skip

Check = Callable[[Bench], Iterator[Fact]]
# Guesses for an H100: 5 to 15 s each; logits, tests and speed 40, compiled 70, accuracy 50; the rest is the last one's.
CHECKS: dict[str, tuple[str, Check]] = {
    "device": ("what there is, and whether it computes", numerics.device),
    "logits": ("every network, as built and fused, in every precision, against float64 on the CPU", numerics.logits),
    "gradients": ("of H2CN, against float64 on the CPU", numerics.gradients),
    "group": ("NCCL (gloo) and DistributedDataParallel in a group of one process", numerics.group),
    "pinned": ("batches are pinned, and arrive as they were", numerics.pinned),
    "train": ("a short training with --gpus 0 learns", trainings.plain),
    "resume": ("it goes on where it ended, under --amp bf16", trainings.resume),
    "fp16": ("a training with --amp fp16; the gradient scaler works", trainings.fp16),
    "svmix": ("a training with --mix svmix", trainings.svmix),
    "tests": ("both test scripts and the merge: scores as in training and on the CPU", trainings.tests),
    "torchrun": ("a training by one process per card, and by a lone one", trainings.torchrun),
    "parallel": ("a training by DataParallel on all cards, --amp bf16", trainings.parallel),
    "memory": ("of training steps", speed.memory),
    "speed": ("of evaluation and training step: H2CN, TSN, TSM, TDN, naive H2CN", speed.speed),
    "compiled": ("a training with --compile --amp bf16", trainings.compiled),
    "accuracy": ("H2CN of make demo: above 75 %", trainings.accuracy),
    "speed_compiled": ("the same by torch.compile, as far as the time goes", partial(speed.speed, compiled=True)),
}


@dataclass
class Result:
    """What became of a check."""

    name: str
    verdict: str = "PASS"
    reason: str = ""
    facts: list[Fact] = field(default_factory=list)
    seconds: float = 0.0


def run_check(name: str, bench: Bench) -> Result:
    """Run a check. Whatever it raises is its own verdict, and the others go on."""
    result, start = Result(name), time.monotonic()
    try:
        bench.require_time(0)
        for fact in CHECKS[name][1](bench):
            result.facts.append(fact)
    except Skip as skip:
        result.verdict, result.reason = "PASS" if result.facts else "SKIP", str(skip)
    except Exception as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        result.verdict, result.reason = "FAIL", f"{type(error).__name__}: {last}"
    wrong = ["{}: {} (must be {})".format(*fact.cells()) for fact in result.facts if not fact.ok]
    if wrong:
        result.verdict, result.reason = "FAIL", "; ".join([*wrong, *filter(None, [result.reason])])
    result.seconds = time.monotonic() - start
    return result


def markdown(about: str, results: Sequence[Result]) -> str:
    """A table with one row per check and per fact."""
    rows = [["check", "what", "found", "bounds"], ["---"] * 4]
    for result in results:
        rows.append([f"**{result.name}**", f"{result.seconds:.0f} s", f"**{result.verdict}**", result.reason])
        rows += [["", *fact.cells()] for fact in result.facts]
    return "\n".join([about, "", *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def check_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    names = list(CHECKS)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="run these checks")
    parser.add_argument("--list", action="store_true", help="name the checks")
    parser.add_argument("--limit", type=number(float, 0), default=480, help="seconds; later no check starts")
    parser.add_argument("-b", "--batch_size", type=number(int, 1), default=16, help="for memory and speed, on a GPU")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="new folder for data, runs and what the scripts print")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that is found")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = check_parser().parse_args(argv)
    if args.list:
        print("\n".join(f"{name:<16} {text}" for name, (text, _) in CHECKS.items()))
        return
    require_writable(args.json)
    require_writable(args.markdown, "--markdown")
    take_sigterm_as_ctrl_c()
    runtime = start_runtime(None)
    about = {**machine(runtime.device), "malloc": "keep"}
    print(describe(about), flush=True)
    if runtime.device.type == "cpu":
        print("No GPU here: small checks of what a CPU allows.", flush=True)
    results = []
    with ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(TemporaryDirectory(prefix="gpu_check.")))
        try:
            folder.mkdir(parents=True, exist_ok=args.keep is None)
        except OSError as error:
            raise InputError(f"--keep {folder}: {error.strerror}; give a folder that is not there yet") from error
        bench = Bench(runtime, folder.resolve(), time.monotonic() + args.limit, args.batch_size)
        for name in args.only:
            results.append(result := run_check(name, bench))
            print(f"{result.verdict}  {name:<16}{result.seconds:5.0f} s  {result.reason}".rstrip(), flush=True)
    table = markdown(describe(about), results)
    print(f"\n{table}")
    write_report(args.json, {"machine": about, "checks": [asdict(result) for result in results]})
    if args.markdown:
        write_whole(args.markdown, table)
    failed = [result.name for result in results if result.verdict == "FAIL"]
    if failed:
        print(f"Failed: {', '.join(failed)}. --only runs them again, --keep keeps what the scripts print.")
        sys.exit(1)
    print("No check failed.")


if __name__ == "__main__":
    run_script(main)
