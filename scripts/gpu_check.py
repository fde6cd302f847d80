#!/usr/bin/env python
"""Check everything that the project does with this machine's GPUs, in about 8 minutes on a card such as an H100.

Prints one verdict per check, then a table of all results; the exit status is 1 if a check fails. Without a GPU it runs
small versions of the checks that a CPU allows.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences torch's profiler, if set before torch is imported

from common.cli import make_parser, number
from common.console import answer_help, run_script
from common.errors import InputError
from common.files import require_replaceable, write_json, write_whole
from common.signals import take_sigterm_as_ctrl_c


def check_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run only these checks")
    parser.add_argument("--list", action="store_true", help="list the checks and exit")
    parser.add_argument("--limit", type=number(float, 0), default=480, help="in seconds; no check starts after it")
    text = "clips per batch in memory and speed, on a GPU"
    parser.add_argument("-b", "--batch_size", type=number(int, 1), default=16, help=text)
    text = "new folder in which data, runs and the output of the scripts are kept"
    parser.add_argument("--keep", type=Path, metavar="DIR", help=text)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to this file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to this file")
    return parser


if __name__ == "__main__":
    answer_help(check_parser())  # before torch is loaded

from ops.runtime import start_runtime
from scripts.benchmarking.report import describe, machine, table
from scripts.gpu_checks import numerics, speed, trainings
from scripts.gpu_checks.bench import Bench, Fact, Skip

# In this order, so that --limit cuts the least important ones. On an H100 most take 5 to 15 s; logits, tests and speed
# about 40, compiled 70, accuracy 50; speed_compiled takes the remaining time.
IN_ORDER: list[Callable[[Bench], Iterator[Fact]]] = [
    numerics.device, numerics.logits, numerics.gradients, numerics.group, numerics.pinned,
    trainings.train, trainings.resume, trainings.fp16, trainings.svmix, trainings.tests, trainings.torchrun,
    trainings.parallel, speed.memory, speed.speed, trainings.compiled, trainings.accuracy, speed.speed_compiled,
]  # fmt: skip
CHECKS = {check.__name__: check for check in IN_ORDER}


@dataclass
class Result:
    name: str
    verdict: str = "PASS"
    reason: str = ""
    facts: list[Fact] = field(default_factory=list)
    seconds: float = 0.0


def run_check(name: str, bench: Bench) -> Result:
    """Run a check. Any exception becomes its verdict; the other checks still run."""
    result, start = Result(name), time.monotonic()
    try:
        bench.require_time(0)
        for fact in CHECKS[name](bench):
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
    rows = []
    for result in results:
        rows.append([f"**{result.name}**", f"{result.seconds:.0f} s", f"**{result.verdict}**", result.reason])
        rows += [["", *fact.cells()] for fact in result.facts]
    return f"{about}\n\n{table(['check', 'what', 'found', 'bounds'], rows)}\n"


def main(argv: list[str] | None = None) -> None:
    args = check_parser().parse_args(argv)
    if args.list:
        for name, check in CHECKS.items():
            print(f"{name:<16} {(check.__doc__ or '').splitlines()[0]}")
        return
    unknown = [name for name in args.only if name not in CHECKS]
    if unknown:
        raise InputError(f"--only {unknown[0]}: there is no such check; choose from {', '.join(CHECKS)}")
    require_replaceable(args.json, "--json")
    require_replaceable(args.markdown, "--markdown")
    take_sigterm_as_ctrl_c()
    runtime = start_runtime(None)
    about = machine(runtime.device, "keep")
    print(describe(about), flush=True)
    if runtime.device.type == "cpu":
        print("No GPU found: small versions of the checks that run on a CPU.", flush=True)
    results = []
    with ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(TemporaryDirectory(prefix="gpu_check.")))
        try:
            folder.mkdir(parents=True, exist_ok=args.keep is None)
        except OSError as error:
            raise InputError(f"--keep {folder}: {error.strerror}; give a new folder") from error
        bench = Bench(runtime, folder.resolve(), time.monotonic() + args.limit, args.batch_size)
        for name in args.only or CHECKS:
            results.append(result := run_check(name, bench))
            print(f"{result.verdict}  {name:<16}{result.seconds:5.0f} s  {result.reason}".rstrip(), flush=True)
    report = markdown(describe(about), results)
    print(f"\n{report}")
    if args.json:
        write_json(args.json, {"machine": about, "checks": [asdict(result) for result in results]})
    if args.markdown:
        write_whole(args.markdown, report)
    failed = [result.name for result in results if result.verdict == "FAIL"]
    if failed:
        print(f"Failed: {', '.join(failed)}. Rerun them with --only; --keep DIR keeps the output of the scripts.")
        sys.exit(1)
    print("No check failed.")


if __name__ == "__main__":
    run_script(main)
