#!/usr/bin/env python
"""One table of several merged results: a row for each folder in which pkl_to_results.py wrote its results.json."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from errors import InputError, command, run_script, short, wrong_fields
from opts_types import make_parser

FIELDS = {"top1": float, "mean_class": float, "num_clips": int, "test_crops": int, "videos": int, "models": list}
PROTOCOL = {
    "net": str,
    "arch": str,
    "num_segments": int,
    "dataset": str,
    "frame_order": str,
    "ablate": list[str],
    "training_clips": int,
}
OLDER = {
    "dataset": "",
    "frame_order": "normal",
    "ablate": [],
    "training_clips": 0,
}  # where the protocol does not say it


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


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders of merged score pickles")
    folders = parser.parse_args(argv).folders
    found = [(folder, read_results(folder)) for folder in folders]
    names = [row_name(folder, results) for folder, results in found]
    if len({data_set(results) for _, results in found}) > 1:
        names = [f"{data_set(results)}: {name}" for name, (_, results) in zip(names, found, strict=True)]
    if len(set(names)) < len(names):  # such as one network's views and more views
        names = [f"{name}, {folder}" for name, (folder, _) in zip(names, found, strict=True)]
    width = max(map(len, names))
    print(f"{'':<{width}}  {'views':>6}  {'videos':>7}  {'top-1':>8}  {'mean class':>10}")
    for name, (_, results) in zip(names, found, strict=True):
        views = f"{results['num_clips']} x {results['test_crops']}"
        top1, mean_class = (f"{results[figure]:.2f} %" for figure in ("top1", "mean_class"))
        print(f"{name:<{width}}  {views:>6}  {results['videos']:>7}  {top1:>8}  {mean_class:>10}")
    print("views: clips x crops")


if __name__ == "__main__":
    run_script(main)
