"""The weights in weights/ load, and are those that its page describes."""

from pathlib import Path

import pytest

from datasets.built_in.motions import CLASS_NAMES
from ops.weights.checkpoint import Weights

FOLDER = Path(__file__).parents[1] / "weights"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.safetensors")), ids=lambda path: path.name)
def test_published_weights(path: Path) -> None:
    weights = Weights.read(str(path))
    weights.build(list(CLASS_NAMES))  # all parameters fit, and the classes are the same
    assert path.stat().st_size < 12e6
    row = next(line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith(f"| `{path.name}`"))
    assert f"{weights.content['figures']['val/top1']:.2f} %" in row


def test_there_are_weights() -> None:
    assert list(FOLDER.glob("*.safetensors"))
