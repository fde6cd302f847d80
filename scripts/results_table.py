#!/usr/bin/env python
"""One table of several merged results: a row per folder in which pkl_to_results.py wrote its results.json."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser
from common.console import run_script
from common.errors import InputError, command, short, wrong_fields
from ops.scoring.metrics import accuracy_interval, spread_text

FIELDS = {"top1": float, "mean_class": float, "num_clips": int, "test_crops": int, "videos": int, "models": list}
PROTOCOL = {"net": str, "arch": str, "num_segments": int}
OLDER = {"dataset": "", "frame_order": "normal", "ablate": [], "training_clips": 0}  # fields that older protocols lack
PROTOCOL |= {"dataset": str, "frame_order": str, "ablate": list[str], "training_clips": int}


def read_results(folder: Path) -> dict[str, Any]:
    """What pkl_to_results.py wrote.

    Raises:
        InputError: it is not there, or is no such file.
    """
    path = folder / "results.json"
    try:
        results = json.loads(path.read_bytes())
        wrong = wrong_fields(results, FIELDS)
        models = [] if wrong else results["models"]
        for model in models:
            wrong += wrong_fields(model, {"protocol": dict})
            if not wrong and model["protocol"]:  # empty for pickles of the official code
                wrong += wrong_fields({**OLDER, **model["protocol"]}, PROTOCOL)
        fault = "" if models and not wrong else f"it has no valid {', '.join(wrong or ['models'])}"
    except (OSError, ValueError, RecursionError) as error:
        fault = short(error)
    if fault:
        raise InputError(
            f"cannot read {path} ({fault}); make it with {command('pkl_to_results.py', '--output_dir', folder)}"
        )
    return results


def row_name(folder: Path, results: Mapping[str, Any]) -> str:
    """The networks, what was left out of them, and how they saw the clips; the folder, where no protocol says that."""
    names = []
    for model in results["models"]:
        protocol = model["protocol"]
        if not protocol:
            return str(folder)
        protocol = {**OLDER, **protocol}
        name = "-".join([protocol["net"], *protocol["ablate"]])
        order = protocol["frame_order"]
        order = "" if order == "normal" else f", frames {order}"
        trained = f", {protocol['training_clips']} training clips" if protocol["training_clips"] else ""
        names.append(f"{name} {protocol['arch']}, {protocol['num_segments']} segments{order}{trained}")
    return " + ".join(names)


def data_set(results: Mapping[str, Any]) -> str:
    """Name of the data set; empty where no protocol says it."""
    return results["models"][0]["protocol"].get("dataset", "")


def grouped(names: Sequence[str], found: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for each name and number of views: the mean over its results and their sample standard deviation."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, results in zip(names, found, strict=True):
        groups.setdefault((name, views(results)), []).append(results)
    rows = []
    for (name, of_views), group in groups.items():
        videos = sorted({results["videos"] for results in group})
        spread = (f"{spread_text([results[figure] for results in group])} %" for figure in ("top1", "mean_class"))
        rows.append([name, of_views, " to ".join(map(str, videos[:: len(videos) - 1 or 1])), str(len(group)), *spread])
    return rows


def views(results: Mapping[str, Any]) -> str:
    """Clips x crops."""
    return f"{results['num_clips']} x {results['test_crops']}"


def single(name: str, results: Mapping[str, Any]) -> list[str]:
    """The row of one folder."""
    low, high = accuracy_interval(results["top1"], results["videos"])
    figures = [f"{results['top1']:.2f} %", f"{low:.1f} to {high:.1f}", f"{results['mean_class']:.2f} %"]
    return [name, views(results), str(results["videos"]), *figures]


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders of merged score pickles")
    text = "one row for all folders of the same network and views, such as several seeds or folds: mean and spread"
    parser.add_argument("--mean", action="store_true", help=text)
    args = parser.parse_args(argv)
    found = [read_results(folder) for folder in args.folders]
    names = [row_name(folder, results) for folder, results in zip(args.folders, found, strict=True)]
    if len(set(map(data_set, found))) > 1:
        names = [f"{data_set(results)}: {name}" for name, results in zip(names, found, strict=True)]
    if args.mean:
        heads = ["", "views", "videos", "runs", "top-1", "mean class"]
        rows = grouped(names, found)
        note = "mean ± sample standard deviation over the runs"
    else:
        if len(set(names)) < len(names):  # such as one network's views and more views
            names = [f"{name}, {folder}" for name, folder in zip(names, args.folders, strict=True)]
        heads = ["", "views", "videos", "top-1", "95 % interval", "mean class"]
        rows = [single(name, results) for name, results in zip(names, found, strict=True)]
        note = "95 % interval of top-1 (Wilson): what the number of videos leaves open, not the choice of a seed"
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for first, *others in (heads, *rows):
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]))
    print(f"views: clips x crops; {note}")


if __name__ == "__main__":
    run_script(main)
