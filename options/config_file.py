"""Options from a file: TOML, JSON, or the options.json of a run."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from common.errors import InputError
from ops.choices import TORCHVISION
from options.augmentation import preset_values

_OF_ONE_START = {"config", "dry_run", "resume", "evaluate"}  # options that a new run does not take over


def config_values(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> dict[str, Any]:
    """The values of the options in the --config file, which become defaults; none if there is no such file.

    In a run's options.json, values that follow from its other options are left out: flags may still choose others.

    Raises:
        InputError: there are two files, the file cannot be read, or an option in it is unknown, there twice or wrong.
    """
    words = sys.argv[1:] if argv is None else argv
    if sum(word.partition("=")[0] == "--config" for word in words) > 1:
        raise InputError("--config is given twice; give one file, and other options on the command line")
    file = parser.parse_known_args(argv)[0].config
    options = {} if file is None else _read(Path(file))
    actions = {}
    for action in parser._actions:
        for name in (action.dest, *action.option_strings):
            actions[name.lstrip("-").replace("-", "_")] = action
    follows = {"arch": TORCHVISION, **preset_values(str(options.get("preset")))}
    values: dict[str, Any] = {}
    names: dict[str, str] = {}  # of the options so far, as in the file
    for name, value in options.items():
        key = name.replace("-", "_")
        if key not in actions or key == "help":
            near = get_close_matches(key, actions, 1)
            hint = f"did you mean {near[0]}?" if near else "see --help"
            raise InputError(f"{file}: {name} is not an option of {parser.prog}; {hint}")
        action = actions[key]
        if names.setdefault(action.dest, name) != name:
            raise InputError(f"{file}: {names[action.dest]} and {name} are one option; give one of them")
        is_empty = value is None or (value == [] and action.nargs == "+")
        if not is_empty and key not in _OF_ONE_START and follows.get(action.dest) != value:
            values[action.dest] = _checked(parser, action, value, f"{file}: {name}")
    return values


def _read(path: Path) -> Mapping[str, Any]:
    """The entries of the file; in a run's options.json, those under "options"."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".toml":
            import tomllib

            content = tomllib.loads(text)
        else:
            content = json.loads(text)
    except ImportError as error:
        raise InputError(f"--config {path}: TOML needs Python 3.11 or newer; write the options as JSON") from error
    except OSError as error:
        raise InputError(f"--config {path} cannot be read: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON (a TOML file is named .toml)"
        raise InputError(f"--config {path} is not valid {kind}: {error}") from error
    content = content.get("options", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise InputError(f"--config {path} has no options; write lines such as lr = 0.01")
    return content


def _checked(parser: argparse.ArgumentParser, action: argparse.Action, value: Any, where: str) -> Any:
    """The value that the option gets on a command line; a wrong one is refused with its file and name."""
    if not action.option_strings:
        if action.choices is not None and value not in action.choices:
            raise InputError(f"{where} is {value!r}; choose from {', '.join(action.choices)}")
        return str(value)
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise InputError(f"{where} is {value!r}; it must be true or false")
        return value
    many = action.nargs in ("+", "*")
    if isinstance(value, (bool, dict)) or (many and not isinstance(value, list)):
        raise InputError(f"{where} is {value!r}; it must be {'a list' if many else 'a number or a word'}")
    words = [str(part) for part in value] if isinstance(value, list) else [str(value)]
    flag = max(action.option_strings, key=len)
    parser.exit_on_error, before = False, parser.exit_on_error
    try:
        found = parser.parse_known_args([flag, *words] if many else [f"{flag}={','.join(words)}"])[0]
    except argparse.ArgumentError as error:
        raise InputError(f"{where}: {error}") from error
    finally:
        parser.exit_on_error = before
    return getattr(found, action.dest)


def as_toml(options: Mapping[str, Any]) -> str:
    """Options as TOML for --config; those without a value are comments."""
    lines = []
    for name, value in options.items():
        if name not in _OF_ONE_START:
            lines.append(f"# {name} is not given" if value is None else f"{name} = {json.dumps(value)}")
    return "\n".join(lines)
