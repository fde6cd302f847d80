"""How the views of a folder were made: protocol.json, written with them and checked before more are added."""

import json
from pathlib import Path
from typing import Any

from common.errors import InputError, short, wrong_fields
from common.files import write_json
from ops.scoring.journal import SUFFIX

PROTOCOL = "protocol.json"


# What must be in a protocol; what may be missing in older ones; and what else may be in it.
FIELDS: dict[str, Any] = dict.fromkeys(
    ("dataset", "net", "arch", "sampling", "preprocessing", "weights", "list_hash"), str
)


FIELDS |= {"num_segments": int, "frames_per_segment": int, "class_names": list[str]}


OTHER_FIELDS: dict[str, Any] = {"frame_order": str, "ablate": list[str], "training_clips": int}


PLAIN = (str, int, float, type(None))


BY_HASH = ("weights", "val_list", "subset", "training_clips")  # may differ: the hashes of weights and list are compared


def read_protocol(folder: Path) -> dict[str, Any]:
    """How the views of a folder were made; empty, if no protocol is there.

    Raises:
        InputError: it cannot be read, or lacks a field.
    """
    path = folder / PROTOCOL
    try:
        stored = json.loads(path.read_bytes())
        others = {name: OTHER_FIELDS.get(name, PLAIN) for name in stored} if isinstance(stored, dict) else {}
        wrong = wrong_fields(stored, others | FIELDS)
        fault = f"it has no valid {', '.join(wrong)}" if wrong else ""
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        fault = short(error)
    if fault:
        raise InputError(
            f"{path} does not say how the views were made ({fault}); make them again with --overwrite, or choose "
            "another --output_dir"
        )
    return stored


def claim_folder(folder: Path, protocol: dict[str, Any], *, overwrite: bool, scored: Path | None = None) -> None:
    """Make sure that the views in a folder were made in the same way: they are averaged. With `scored`, say so in it.

    Args:
        folder: for score pickles.
        protocol: how the views are made.
        overwrite: views that were made in another way may be deleted.
        scored: file for the first scores. Without it nothing is written or deleted: before there are scores, a wrong
            flag would claim the folder, or cost its views.

    Raises:
        InputError: the folder has views of another network, list or protocol.
    """
    try:
        stored = read_protocol(folder)
    except InputError:
        if not overwrite:
            raise
        stored = {}
    views = set(folder.glob("*_crop*.pkl"))
    if stored:
        views |= set(folder.glob(f"*{SUFFIX}")) - {scored}
    other = [name for name, value in protocol.items() if name not in BY_HASH and stored.get(name) != value]
    if other and views and not overwrite:
        name = other[0]
        differs = f"with {name} {short(repr(stored.get(name)))}, this run has {short(repr(protocol[name]))}"
        alike = ", give all clips of a folder the same --sampling" if stored and name == "sampling" else ""
        raise InputError(
            f"{folder} holds views {differs if stored else f'but no {PROTOCOL}'}; choose another --output_dir{alike}, "
            "or --overwrite to delete the views there"
        )
    if scored is None:
        return
    if other:
        for view in {*views, *folder.glob(f"*{SUFFIX}")} - {scored}:
            view.unlink(missing_ok=True)
    write_json(folder / PROTOCOL, protocol)
