#!/usr/bin/env python
"""Check the lists of a data set against its files, before a run."""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser, number
from common.console import run_script, take_sigterm_as_ctrl_c
from common.errors import InputError
from common.option_groups import add_data_options
from datasets.catalogue import resolve
from datasets.preparing.check_report import describe, write_clean
from datasets.preparing.checks import check_data
from datasets.preparing.parallel import StoppedError
from opts import data_options


def check_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "Check the lists of a data set against the files that they name: one line a bad row, with what to do. "
        "Exit status: 0 all is good, 1 there are bad rows, 2 nothing could be checked."
    )
    parser.add_argument("dataset", help="data set name, as for train.py")
    parser.add_argument("--decode", action="store_true", help="decode every frame (long), in -j processes")
    parser.add_argument("--write_clean", metavar="DIR", help="write the lists there without what is bad")
    parser.add_argument("--show", type=number(int, 0), default=3, help="bad rows of one kind to print, of each list")
    add_data_options(parser, ("train", "val"))
    return parser


def main(argv: list[str] | None = None) -> None:
    args = check_parser().parse_args(argv)
    spec = resolve(args.dataset, **data_options(args), need=None)
    if len(spec.lists) == 1:
        logging.info("There is no other list than the %s list.", *spec.lists)
    take_sigterm_as_ctrl_c()
    stop = None
    try:
        checks = check_data(spec, decode=args.decode, workers=args.workers)
    except StoppedError as error:
        checks, stop = error.results, error
    for check in checks.values():
        for line in describe(check, spec.class_names, args.show):
            logging.info("%s", line)
    if stop and stop.by_user:
        logging.info("Stopped. Above is what was found until then.")
        sys.exit(130)
    if stop:
        raise InputError(f"{stop}; above is what was found until then")
    if args.write_clean:
        paths = write_clean(Path(args.write_clean), checks, "--write_clean")
        logging.info("Clean lists: %s", ", ".join(map(str, paths)))
    if any(check.faults for check in checks.values()):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
