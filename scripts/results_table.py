#!/usr/bin/env python
"""One table of several results: a row per folder in which pkl_to_results.py wrote its results.json."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import make_parser
from common.console import run_script
from common.errors import InputError, command, reason, short, wrong_fields
from ops.scoring.metrics import accuracy_interval, spread_text
from ops.scoring.protocol import complete_protocol

Results = dict[str, Any]  # the content of a results.json
FIELDS = {"top1": float, "mean_class": float, "num_clips": int, "test_crops": int, "videos": int, "models": list}


def read_results(folder: Path) -> Results:
    """Read and check a folder's results.json."""
    path = folder / "results.json"
    try:
        results = json.loads(path.read_bytes())
        if isinstance(results, dict) and results.get("labelled") is False:
            raise InputError(f"{path}: its list of videos has no labels, so it has no accuracies; do not give {folder}")
        if isinstance(results, dict) and "map" in results:
            raise InputError(f"{path}: its videos have several labels, so it has no top-1; leave {folder} out")
        wrong = wrong_fields(results, FIELDS) or ([] if results["models"] else ["models"])
        for model in [] if wrong else results["models"]:
            wrong += wrong_fields(model, {"protocol": dict})
            if not wrong and model["protocol"]:  # empty for pickles of the official code
                model["protocol"] = complete_protocol(model["protocol"])
        if wrong:
            raise ValueError(f"it has no valid {', '.join(wrong)}")
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        cure = command("pkl_to_results.py", "--output_dir", folder)
        raise InputError(f"cannot read {path} ({short(reason(error))}); make it with {cure}") from error
    return results


def row_name(folder: Path, results: Results, *, data_set: bool) -> str:
    """The networks and how they saw the clips, with or without the data set; the folder if no protocol is known."""
    protocols = [model["protocol"] for model in results["models"]]
    if not all(protocols):
        return str(folder)
    names = []
    for protocol in protocols:
        name = "-".join([protocol["net"], *protocol["ablate"]])
        name += f" {protocol['arch']}, {protocol['num_segments']} segments"
        if protocol["frame_order"] != "normal":
            name += f", frames {protocol['frame_order']}"
        if protocol["training_clips"]:
            name += f", {protocol['training_clips']} training clips"
        names.append(name)
    return f"{protocols[0]['dataset']}: " * data_set + " + ".join(names)


def views(results: Results) -> str:
    return f"{results['num_clips']} x {results['test_crops']}"


def single_row(name: str, results: Results) -> list[str]:
    low, high = accuracy_interval(results["top1"], results["videos"])
    accuracies = [f"{results['top1']:.2f} %", f"{low:.1f} to {high:.1f}", f"{results['mean_class']:.2f} %"]
    return [name, views(results), str(results["videos"]), *accuracies]


def mean_row(name: str, group: Sequence[Results]) -> list[str]:
    """Means and sample standard deviations over the results of one network and number of views."""
    videos = sorted({results["videos"] for results in group})
    shown = str(videos[0]) if len(videos) == 1 else f"{videos[0]} to {videos[-1]}"
    spreads = [f"{spread_text([results[key] for results in group])} %" for key in ("top1", "mean_class")]
    return [name, views(group[0]), shown, str(len(group)), *spreads]


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders with a results.json")
    text = "one row for all folders of the same network and views, such as several seeds or folds: mean and spread"
    parser.add_argument("--mean", action="store_true", help=text)
    args = parser.parse_args(argv)
    for folder in args.folders:
        if sum(folder.resolve() == other.resolve() for other in args.folders) > 1:
            raise InputError(f"{folder} is given twice; give each run once")
    found = [read_results(folder) for folder in args.folders]
    data_sets = {model["protocol"].get("dataset") for results in found for model in results["models"]}
    several = len(data_sets) > 1
    names = [row_name(folder, results, data_set=several) for folder, results in zip(args.folders, found, strict=True)]
    if args.mean:
        heads = ["", "views", "videos", "runs", "top-1", "mean class"]
        groups: dict[tuple[str, str], list[Results]] = {}
        for name, results in zip(names, found, strict=True):
            groups.setdefault((name, views(results)), []).append(results)
        rows = [mean_row(name, group) for (name, _), group in groups.items()]
        note = "mean ± sample standard deviation over the runs"
    else:
        if len(set(names)) < len(names):  # such as the same network with other views
            names = [f"{name}, {folder}" for name, folder in zip(names, args.folders, strict=True)]
        heads = ["", "views", "videos", "top-1", "95 % interval", "mean class"]
        rows = [single_row(name, results) for name, results in zip(names, found, strict=True)]
        note = "95 % interval of top-1 (Wilson) for this number of videos; other seeds may differ by more"
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for first, *others in (heads, *rows):
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *cells]))
    print(f"views: clips x crops; {note}")


if __name__ == "__main__":
    run_script(main)
