"""The version of this project."""

import re
from pathlib import Path


def project_version() -> str:
    """The version in pyproject.toml, the only place where it is set."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    return found[1] if found else "unknown"
