"""What is made of a check: lines to read, and the lists without what is bad."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError, counted
from common.files import all_or_nothing
from datasets.lists import format_line
from datasets.preparing.checks import ListCheck

MOST_KINDS = 50  # of bad rows
LONGEST_HISTOGRAM = 8  # the largest and the smallest classes that are shown, each; all, if these are all


def describe(check: ListCheck, class_names: Sequence[str], show: int) -> list[str]:
    """Lines for a reader: bad rows (`show` of each kind), the whole, and how many clips the classes have."""
    lines, kinds = [], check.faults_by_kind
    for faults in kinds[:MOST_KINDS]:
        lines += faults[:show]
        if len(faults) > show:
            lines.append(f"... and {counted(len(faults) - show, 'more row')} like this (--show {len(faults)} for all)")
    if kinds[MOST_KINDS:]:
        others = sum(map(len, kinds[MOST_KINDS:]))
        lines.append(f"... and {counted(others, 'bad row')} of other kinds; repair these first")
    lines.append(check.describe())
    lines += [f"  note: {remark}" for remark in check.remarks]
    if not any(check.clips):
        return lines
    order = sorted(range(len(class_names)), key=lambda label: (-check.clips[label], label))
    most, least = order[:LONGEST_HISTOGRAM], order[LONGEST_HISTOGRAM:][-LONGEST_HISTOGRAM:]
    left_out = len(order) - len(most) - len(least)
    largest = max(1, check.clips[order[0]])
    for label in [*most, None, *least] if left_out else order:
        if label is None:
            lines.append(f"  ... {counted(left_out, 'class')} between ...")
            continue
        bar = "#" * round(30 * check.clips[label] / largest)
        lines.append(f"  {check.clips[label]:>7,}  {bar:<30}  {label} {class_names[label]}")
    return lines


def write_clean(folder: Path, checks: dict[str, ListCheck], flag: str) -> list[Path]:
    """Write the lists without their bad rows, and with mended numbers of frames, as train.txt, val.txt and test.txt.

    Raises:
        InputError: the folder cannot be written, a list would replace a checked one, or would be empty.
    """
    paths = {which: folder / f"{which}.txt" for which in checks}
    texts = {w: "".join(format_line(row.record) for row in check.rows if row.record) for w, check in checks.items()}
    for which, check in checks.items():
        if any(path.exists() and path.samefile(check.list_file) for path in paths.values()):
            raise InputError(f"{flag} {folder} would replace the list {check.list_file}; choose another folder")
        if not texts[which]:
            raise InputError(f"{check.list_file} has no good row: there is no clean list to write")
    with all_or_nothing(folder, flag) as scratch:
        for which, text in texts.items():
            (scratch / f"{which}.txt").write_text(text, encoding="utf-8")
    return list(paths.values())
