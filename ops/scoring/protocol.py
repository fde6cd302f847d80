"""protocol.json: the settings of the views in a folder, equal for all, because the views are averaged."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.errors import InputError, reason, short, wrong_fields
from common.files import write_json

PROTOCOL = "protocol.json"
VIEWS = ("*_crop*.pkl", "*_crop*_features.npy")
SAMPLING_FLAGS = "--sampling, --seed, --num_clips, --frame_stride and --frame_rate"
UNFINISHED = ".unfinished"  # suffix of the files with unfinished scores
FIELDS: dict[str, Any] = {
    **dict.fromkeys(("dataset", "net", "arch", "sampling", "preprocessing", "weights", "list_hash"), str),
    **dict.fromkeys(("num_segments", "frames_per_segment", "training_clips"), int),
    **{"frame_order": str, "class_names": list[str], "ablate": list[str]},
}
NEWER_FIELDS = {"frame_order": "normal", "ablate": [], "training_clips": 0}  # not in older files -> their meaning
OTHER_FIELDS = (str, int, float, type(None))
# Not compared: places, because hashes are; and what follows from the rest.
NOT_COMPARED = ("weights", "val_list", "subset", "training_clips", "root_path", "image_tmpl")


def complete_protocol(stored: object) -> dict[str, Any]:
    """Add the fields that older protocols lack; a `ValueError` if others are missing or have the wrong type."""
    protocol = {**stored, **NEWER_FIELDS, **stored} if isinstance(stored, dict) else {}  # in the stored order
    wrong = wrong_fields(protocol, dict.fromkeys(protocol, OTHER_FIELDS) | FIELDS)
    if wrong:
        raise ValueError(f"it has no valid {', '.join(wrong)}")
    return protocol


def read_protocol(folder: Path) -> dict[str, Any]:
    """A folder's protocol, empty if it has none; an `InputError` if the file cannot be read or is damaged."""
    path = folder / PROTOCOL
    try:
        return complete_protocol(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} does not say how the views were made ({short(reason(error))}); choose another --output_dir, or "
            "score them again with --overwrite"
        ) from error


def describe_protocol(protocol: dict[str, Any]) -> str:
    """Network, frames and preprocessing in one line."""
    without = " without " + ", ".join(protocol["ablate"]) if protocol["ablate"] else ""
    order = "" if protocol["frame_order"] == "normal" else f" {protocol['frame_order']}"
    line = "{net} {arch}{without}, {num_segments} x {frames_per_segment} frames{order}, {sampling}, {preprocessing}"
    return line.format_map({**protocol, "without": without, "order": order})


def check_protocol(folder: Path, protocol: dict[str, Any]) -> None:
    """Refuse a folder that has views of another network, list or protocol."""
    stored = read_protocol(folder)
    different = _different(stored, protocol)
    if different and _views(folder):
        name = different[0]
        there = f"with {name} {short(repr(stored.get(name)))}, this run has {short(repr(protocol[name]))}"
        hint = f", give all clips of a folder the same {SAMPLING_FLAGS}" if stored and name == "sampling" else ""
        raise InputError(
            f"{folder} holds views {there if stored else f'but no {PROTOCOL}'}; choose another --output_dir{hint}, or "
            "delete them with --overwrite"
        )


def replace_protocol(folder: Path, protocol: dict[str, Any], *, overwrite: bool) -> None:
    """Write a folder's protocol; with `overwrite`, delete the views of any other one.

    Call it only when there are scores to write: a wrong flag must not cost the views in the folder.

    Raises:
        InputError: the file cannot be written, or as `check_protocol`: another test may have written it meanwhile.
    """
    if overwrite:
        stored: dict[str, Any] = {}
        with suppress(InputError):
            stored = read_protocol(folder)
        for view in _views(folder) if _different(stored, protocol) else []:
            view.unlink(missing_ok=True)
    else:
        check_protocol(folder, protocol)
    write_json(folder / PROTOCOL, protocol)


def _different(stored: dict[str, Any], protocol: dict[str, Any]) -> list[str]:
    return [name for name, value in protocol.items() if name not in NOT_COMPARED and stored.get(name) != value]


def _views(folder: Path) -> list[Path]:
    return [path for pattern in (*VIEWS, f"*{UNFINISHED}") for path in folder.glob(pattern)]
