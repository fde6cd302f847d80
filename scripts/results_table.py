#!/usr/bin/env python
"""One table of several merged results: a row for each folder in which pkl_to_results.py wrote its results.json."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from errors import InputError, run_script
from opts_types import make_parser


def read_results(folder: Path) -> dict[str, Any]:
    """What pkl_to_results.py wrote.

    Raises:
        InputError: it is not there, or is no such file.
    """
    path = folder / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        results["top1"], results["mean_class"], results["models"]  # noqa: B018 (asked for here, to be missed here)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"cannot read {path} ({error}); make it with pkl_to_results.py --output_dir {folder}"
        ) from error
    return results


def row_name(folder: Path, results: Mapping[str, Any]) -> str:
    """The network, what was left out of it and how it saw the clips; the folder, where no protocol says that."""
    names = []
    for model in results["models"]:
        protocol = model["protocol"]
        if not protocol:
            return str(folder)
        name = "-".join([protocol["net"], *protocol.get("ablate", [])])
        order = protocol.get("frame_order", "normal")
        names.append(f"{name} {protocol['arch']}" + ("" if order == "normal" else f", frames {order}"))
    return " + ".join(names)


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders of merged score pickles")
    rows = []
    for folder in parser.parse_args(argv).folders:
        results = read_results(folder)
        rows.append((row_name(folder, results), results))
    width = max(len(name) for name, _ in rows)
    print(f"{'':<{width}}  {'videos':>7}  {'top-1':>8}  {'mean class':>10}")
    for name, results in rows:
        top1, mean_class = (f"{results[figure]:.2f} %" for figure in ("top1", "mean_class"))
        print(f"{name:<{width}}  {results['videos']:>7}  {top1:>8}  {mean_class:>10}")


if __name__ == "__main__":
    run_script(main)
