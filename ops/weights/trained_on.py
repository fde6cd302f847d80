"""What a network was trained on: stored in its checkpoint, and checked where that is used."""

from dataclasses import dataclass, field, fields
from typing import Any

from common.errors import InputError, counted, quoted, short, wrong_fields

LARGEST = 10_000  # segments of a clip, or pixels of a side


@dataclass(frozen=True)
class TrainedOn:
    """What a network was made for. A checkpoint carries it, and whoever loads it is held to it.

    `class_names` matter most: Something-Something V1 and V2 both have 174 classes, and weights of one give a
    plausible, wrong accuracy on the other.
    """

    net: str
    arch: str
    num_segments: int
    dataset: str
    class_names: list[str]
    input_size: int
    preprocessing: str
    train_list_hash: str
    val_list_hash: str
    ablate: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, checkpoint: dict[str, Any], source: str) -> "TrainedOn | None":
        """From a checkpoint of this project; None for weights of another origin.

        Raises:
            InputError: it is damaged; the message calls it `source`.
        """
        stored = checkpoint.get("trained_on")
        if not isinstance(stored, dict):
            return None
        stored = {"ablate": [], **stored}  # older ones have none
        kinds: dict[str, Any] = {f.name: f.type for f in fields(cls)}
        wrong = wrong_fields(stored, kinds)
        wrong += [
            name for name in ("num_segments", "input_size") if name not in wrong and not 0 < stored[name] <= LARGEST
        ]
        if wrong:
            raise InputError(
                f"{source} does not say the {', '.join(wrong)} of its training: it is damaged; give another checkpoint"
            )
        return cls(**{name: stored[name] for name in kinds})

    def require(self, source: str, **given: Any) -> None:
        """Check given values against the stored ones.

        Args:
            source: the file, for the message.
            given: values by field name; None: not given.

        Raises:
            InputError: a contradiction.
        """
        for name, value in given.items():
            stored = getattr(self, name)
            if value is None or value == stored:
                continue
            if isinstance(stored, list) and name != "class_names":
                stored, value = " ".join(stored) or "none", " ".join(value) or "none"
            if name == "class_names":
                stored, value = _first_difference(stored, value)
            label = _LABELS.get(name, name)
            same = "a data set with the same class names (see --classes)" if name == "class_names" else "the same"
            raise InputError(
                f"{source} was trained with {label} {short(stored, 200)}, but this run has {short(value, 200)}; "
                f"give {same}, or another checkpoint"
            )


_LABELS = {
    "class_names": "the class names",
    "dataset": "the data set",
    "num_segments": "the number of segments",
    "ablate": "--ablate",
}


def _first_difference(stored: list[str], given: list[str]) -> tuple[str, str]:
    if len(stored) != len(given):
        return f"({counted(len(stored), 'class')})", counted(len(given), "class")
    label = next(i for i, (a, b) in enumerate(zip(stored, given, strict=True)) if a != b)
    return f"({label}: {short(quoted(stored[label]))})", f"{label}: {short(quoted(given[label]))}"
