#!/usr/bin/env python
"""Check the lists of a data set against its files, before a run."""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser, number
from common.console import run_script
from common.errors import InputError, counted
from common.files import all_or_nothing
from common.signals import take_sigterm_as_ctrl_c
from datasets.catalogue import resolve
from datasets.lists import format_line
from datasets.preparing.checks import ListCheck, check_data
from datasets.preparing.parallel import StoppedError
from options.groups import add_data_options, data_options

MOST_KINDS = 50  # kinds of bad rows that are shown
SHOWN_CLASSES = 8  # largest classes, and smallest classes, that are shown


def check_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "Check the lists of a data set against the files that they name. Prints one line per bad row, with its remedy. "
        "Exit status: 0 if all rows are good, 1 if there are bad rows, 2 if nothing could be checked."
    )
    parser.add_argument("dataset", help="data set name, as for train.py")
    parser.add_argument("--decode", action="store_true", help="decode every frame (slow), in -j processes")
    parser.add_argument("--write_clean", metavar="DIR", help="write the lists without their bad rows to this folder")
    parser.add_argument("--show", type=number(int, 0), default=3, help="bad rows of each kind to print, per list")
    add_data_options(parser, ("train", "val"))
    return parser


def describe(check: ListCheck, class_names: Sequence[str], show: int) -> list[str]:
    """Lines to print: `show` bad rows of each kind, the totals, remarks, and the number of clips per class."""
    lines, kinds = [], check.faults_by_kind
    for faults in kinds[:MOST_KINDS]:
        lines += faults[:show]
        if len(faults) > show:
            lines.append(f"... and {counted(len(faults) - show, 'more row')} like this (--show {len(faults)} for all)")
    if kinds[MOST_KINDS:]:
        others = sum(map(len, kinds[MOST_KINDS:]))
        lines.append(f"... and {counted(others, 'bad row')} of other kinds; repair these first")
    lines.append(check.summary())
    lines += [f"  note: {remark}" for remark in check.remarks]
    return lines + (histogram(check.clips, class_names) if any(check.clips) else [])


def histogram(clips: Sequence[int], class_names: Sequence[str]) -> list[str]:
    """Bars of the number of clips per class, largest first, for the largest and the smallest classes."""
    order = sorted(range(len(class_names)), key=lambda label: (-clips[label], label))
    lines = [
        f"  {clips[label]:>7,}  {'#' * round(30 * clips[label] / clips[order[0]]):<30}  {label} {class_names[label]}"
        for label in order
    ]
    omitted = len(lines) - 2 * SHOWN_CLASSES
    if omitted > 0:
        lines[SHOWN_CLASSES:-SHOWN_CLASSES] = [f"  ... {counted(omitted, 'class')} between ..."]
    return lines


def write_clean(folder: Path, checks: Mapping[str, ListCheck]) -> list[Path]:
    """Write train.txt, val.txt and test.txt without bad rows and with corrected numbers of frames.

    Refuses to replace a checked list, or to write an empty one.
    """
    paths = [folder / f"{which}.txt" for which in checks]
    texts = {}
    for which, check in checks.items():
        if any(path.exists() and path.samefile(check.list_file) for path in paths):
            raise InputError(f"--write_clean {folder} would replace the list {check.list_file}; choose another folder")
        texts[which] = "".join(format_line(row.record) for row in check.rows if row.record)
        if not texts[which]:
            raise InputError(f"{check.list_file} has no good row, so there is no clean list to write")
    with all_or_nothing(folder, "--write_clean") as scratch:
        for which, text in texts.items():
            (scratch / f"{which}.txt").write_text(text, encoding="utf-8")
    return paths


def main(argv: list[str] | None = None) -> None:
    args = check_parser().parse_args(argv)
    spec = resolve(args.dataset, **data_options(args), need=None)
    if len(spec.lists) == 1:
        logging.info("Only the %s list exists.", *spec.lists)
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
        logging.info("Stopped. The results so far are above.")
        sys.exit(130)
    if stop:
        raise InputError(f"{stop}; the results so far are above")
    if args.write_clean:
        paths = write_clean(Path(args.write_clean), checks)
        logging.info("Clean lists: %s", ", ".join(map(str, paths)))
    if any(check.num_bad for check in checks.values()):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
