"""Command lines: parsers whose help omits empty defaults, types of options, and the command that resumes a run."""

import argparse
import os
import re
from collections.abc import Callable, Iterable, Sequence
from math import inf
from pathlib import Path
from typing import Any

from common.errors import command


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Prints defaults, except empty ones: None, an empty list, a switch that is off; the usage in one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)

    def _format_usage(self, usage: Any, actions: Iterable[argparse.Action], _groups: Any, prefix: str | None) -> str:
        shown = [action for action in actions if action.required or not action.option_strings]
        text = super()._format_usage(usage, shown, [], prefix)
        if prefix == "":  # the beginning of a subcommand's usage
            return text
        return text.replace(self._prog, f"{self._prog} [options]", 1)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        if isinstance(action.default, list):  # as on the command line
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    """As `make_parser`; its subcommands are of the same kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=HelpFormatter, allow_abbrev=False)


def make_parser(description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    return _Parser(description=description, epilog=epilog)


def given_options(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> set[str]:
    """Names of the options on the command line, including those given their default value."""
    absent = object()
    unset = argparse.Namespace(**{action.dest: absent for action in parser._actions})
    return {name for name, value in vars(parser.parse_args(argv, unset)).items() if value is not absent}


def number(kind: type, low: float, high: float = float("inf"), *, open_low: bool = False) -> Callable[[str], float]:
    """An argparse type: a number of `kind` in [low, high], or in (low, high] with `open_low`."""

    def convert(text: str) -> float:
        value = kind(text)
        if not low <= value <= high or (open_low and value == low) or value == float("inf"):
            limits = f"above {low:g}" if open_low else f"{low:g} or more"
            limits += "" if high == float("inf") else f", at most {high:g}"
            raise argparse.ArgumentTypeError(f"{text} is out of range: {limits}")
        return value

    convert.__name__ = {int: "whole number", float: "number"}[kind]  # argparse prints it in "invalid ... value"
    return convert


def file_name(suffix: str) -> Callable[[str], Path]:
    """An argparse type: the path of a file to write, which must have this suffix."""

    def convert(text: str) -> Path:
        if not text.lower().endswith(suffix):
            raise argparse.ArgumentTypeError(f"{text} must end in {suffix}")
        return Path(text)

    return convert


SEED = number(int, 0, 2**32 - 1)  # the range that all generators accept
MOST_CLIPS = 10_000  # per video


def clip_numbers(text: str) -> list[int]:
    """An argparse type: "3", "0-9" or "0,3,5" -> sorted clip numbers."""
    clips: set[int] = set()
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            clips.update(range(int(first), min(int(last if dash else first), MOST_CLIPS) + 1))
    except ValueError:
        clips.clear()
    if not clips or max(clips) >= MOST_CLIPS:
        what = f"write a clip as 0, a range as 0-9, or a list as 0,3,5; all below {MOST_CLIPS}"
        raise argparse.ArgumentTypeError(f"{text!r}: {what}")
    return sorted(clips)


def interval(text: str) -> str:
    """An argparse type: "30m" or "500", for `steps_and_seconds`."""
    if not re.fullmatch(r"\s*\d+\s*|\s*(\d+\.?\d*|\.\d+)\s*m", text) or min(steps_and_seconds(text)) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: write minutes as 30m, or steps of the optimiser as 500; above 0")
    return text


def steps_and_seconds(text: str) -> tuple[float, float]:
    """ "500" -> (500, inf), "30m" -> (inf, 1800)."""
    return (inf, 60 * float(text[:-1])) if text.endswith("m") else (int(text), inf)


def shard(text: str) -> tuple[int, int]:
    """An argparse type: "2/4" -> (2, 4), the second of four shards."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(f"{text!r}: write the second of four shards as 2/4")
    return number, count


def resume_command(argv: list[str], resume: str) -> str:
    """The command that continues a run: the given one with `--resume` replaced, under torchrun if it ran there."""
    arguments = [part for part in argv if not part.startswith("--resume=")]
    if "--resume" in arguments:
        at = arguments.index("--resume")
        del arguments[at : at + 2]
    start = ["python"]
    if "LOCAL_WORLD_SIZE" in os.environ:
        nodes = os.environ.get("GROUP_WORLD_SIZE", "1")
        start = ["torchrun", *(["--nnodes", nodes] if nodes != "1" else [])]
        start += ["--nproc_per_node", os.environ["LOCAL_WORLD_SIZE"]]
    return command(*start, *arguments, "--resume", resume)
