"""Options from a file: TOML, JSON, or the options.json of a run."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from common.errors import InputError

_OF_ONE_START = {"config", "dry_run", "resume", "evaluate"}  # options that a new run does not take over


def with_config(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    derived: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> tuple[list[str], list[str]]:
    """Prepend the options of the --config file, if any, to the command line, which overrides them.

    Also the names of the switches that the file turns off, which a command line cannot. `derived` gives values in a
    run's options.json that follow from its other options, and so are left out.

    Raises:
        InputError: the file cannot be read, or an option in it is unknown or has a wrong value.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    off: list[str] = []
    file = parser.parse_known_args(given)[0].config
    if file is None:
        return given, off
    path = Path(file)
    # Positional arguments first: an option with several values would take them for its own.
    first = next((at for at, word in enumerate(given) if word.startswith("-")), len(given))
    positional, named = [], []
    has_positional = _has_positional(parser, given)
    options = _read(path)
    follows = derived(options)
    for action, name, value in _entries(parser, path, options):
        if follows.get(action.dest) == value:
            continue
        if action.option_strings:
            words = _words(action, value, f"{path}: {name}")
            _require_valid(parser, words, path)
            named += words
            off += [action.dest] if value is False else []
        elif not has_positional:
            positional.append(str(value))
    return [*given[:first], *positional, *named, *given[first:]], off


def _has_positional(parser: argparse.ArgumentParser, argv: list[str]) -> bool:
    actions = [action for action in parser._actions if not action.option_strings]
    defaults = [action.default for action in actions]
    for action in actions:
        action.default = None
    found = vars(parser.parse_known_args(argv)[0])
    for action, default in zip(actions, defaults, strict=True):
        action.default = default
    return any(found[action.dest] is not None for action in actions)


def _entries(
    parser: argparse.ArgumentParser, path: Path, options: Mapping[str, Any]
) -> Iterator[tuple[argparse.Action, str, Any]]:
    """The option, name and value of each entry with a value; positional arguments in order."""
    names = {}
    for action in parser._actions:
        for name in (action.dest, *action.option_strings):
            names[name.lstrip("-").replace("-", "_")] = action
    entries = []
    for name, value in options.items():
        key = name.replace("-", "_")
        if key not in names or key == "help":
            near = get_close_matches(key, names, 1)
            hint = f"did you mean {near[0]}?" if near else "see --help"
            raise InputError(f"{path}: {name} is not an option of {parser.prog}; {hint}")
        if value is not None and key not in _OF_ONE_START:
            entries.append((names[key], name, value))
    return iter(sorted(entries, key=lambda entry: parser._actions.index(entry[0])))


def _read(path: Path) -> Mapping[str, Any]:
    """The entries of the file; in a run's options.json, those under "options"."""
    try:
        text = path.read_text(encoding="utf-8")
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


def _words(action: argparse.Action, value: Any, where: str) -> list[str]:
    """The option as words of a command line."""
    flag = max(action.option_strings, key=len)
    if isinstance(action, argparse.BooleanOptionalAction) or action.nargs == 0:
        if not isinstance(value, bool):
            raise InputError(f"{where} is {value!r}; it must be true or false")
        return [flag] if value else []
    if value is True and action.const is True:  # an option whose value may be left out
        return [flag]
    many = action.nargs in ("+", "*")
    if isinstance(value, (bool, dict)) or (many and not isinstance(value, list)):
        raise InputError(f"{where} is {value!r}; it must be {'a list' if many else 'a number or a word'}")
    if many:
        return [flag, *map(str, value)] if value else []
    return [f"{flag}={','.join(map(str, value)) if isinstance(value, list) else value}"]


def _require_valid(parser: argparse.ArgumentParser, words: list[str], path: Path) -> None:
    """Refuse a wrong value with an error that names the file."""
    parser.exit_on_error, before = False, parser.exit_on_error
    try:
        parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise InputError(f"{path}: {error}") from error
    finally:
        parser.exit_on_error = before


def as_toml(options: Mapping[str, Any]) -> str:
    """Options as TOML for --config; those without a value are comments."""
    lines = []
    for name, value in options.items():
        if name not in _OF_ONE_START:
            lines.append(f"# {name} is not given" if value is None else f"{name} = {json.dumps(value)}")
    return "\n".join(lines)
