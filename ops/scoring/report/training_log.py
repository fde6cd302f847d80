"""The record of the training that made the tested weights, from its run folder."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import command
from ops.training.run_log import LINES, OPTIONS


class Training(NamedTuple):
    """The content of a run folder; empty where it is not found."""

    record: dict[str, Any]  # options.json
    epochs: list[dict[str, Any]]  # log.jsonl

    def curve(self, name: str) -> list[tuple[float, float]]:
        """(epoch from 1, value) of a figure such as "val/top1", where it was logged and is finite."""
        points = [(entry["epoch"] + 1, entry.get(name)) for entry in self.epochs]
        return [(x, y) for x, y in points if isinstance(y, (int, float)) and math.isfinite(y)]

    def facts(self) -> dict[str, str]:
        """What the training depends on, as text."""
        shown = {
            name: self.record[name] for name in ("command", "git_revision", "torch", "started") if name in self.record
        }
        return {
            f"training: {name}": command(*value) if isinstance(value, list) else str(value)
            for name, value in shown.items()
        }


def read_training(weights: str) -> Training:
    """Read the files beside a checkpoint; the log may be under the run's --root_log instead.

    Damaged lines are skipped: the run may be writing.
    """
    folder = Path(weights).parent
    record = _parsed(_text(folder / OPTIONS))
    options = record.get("options")
    root_log = options.get("root_log") if isinstance(options, dict) else ""
    text = _text(folder / LINES) or _text(Path(str(root_log), folder.name, LINES))
    entries = [_parsed(line) for line in text.splitlines()]
    return Training(record, [entry for entry in entries if isinstance(entry.get("epoch"), int)])


def _text(path: Path) -> str:
    with suppress(OSError, ValueError):
        return path.read_text(encoding="utf-8")
    return ""


def _parsed(text: str) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        content = json.loads(text)
        return content if isinstance(content, dict) else {}
    return {}
