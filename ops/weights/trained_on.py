"""The record of a training in its checkpoint."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from common.errors import InputError, counted, quoted, short, wrong_fields

LARGEST = 10_000  # segments per clip, pixels per side, frames per step or per second


@dataclass(frozen=True)
class TrainedOn:
    """Network, data and preprocessing of a training. Stored in the checkpoint and checked on loading.

    `class_names` matter most: Something-Something V1 and V2 both have 174 classes, and the weights of one give a
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
    frame_stride: int = 0  # of dense clips, in frames; 0: segments spread over the video
    frame_rate: float = 0.0  # in frames per second; 0: all frames of a video
    multi_label: bool = False  # whether videos have several labels: scores are for sigmoids, not for a softmax

    @classmethod
    def of(cls, checkpoint: dict[str, Any], source: str) -> "TrainedOn | None":
        """From a checkpoint, which messages call `source` (an `InputError` if damaged); None: it is from elsewhere."""
        stored = checkpoint.get("trained_on")
        if not isinstance(stored, dict):
            return None
        kinds: dict[str, Any] = {f.name: f.type for f in fields(cls)}
        stored = {"ablate": [], "frame_stride": 0, "frame_rate": 0.0, "multi_label": False, **stored}
        wrong = wrong_fields(stored, kinds)
        lowest = {"num_segments": 1, "input_size": 1, "frame_stride": 0, "frame_rate": 0}
        wrong += [name for name in lowest if name not in wrong and not lowest[name] <= stored[name] <= LARGEST]
        if wrong:
            raise InputError(
                f"{source} lacks the {', '.join(wrong)} of its training: it is damaged; use another checkpoint"
            )
        return cls(**{name: stored[name] for name in kinds})

    def as_stored(self) -> dict[str, Any]:
        """The fields for a file, without those that are 0, which older files lack as well."""
        return {name: value for name, value in asdict(self).items() if value != 0}

    def require(self, source: str, **given: Any) -> None:
        """Refuse values by field name (None: not given) that contradict the stored ones of the checkpoint `source`."""
        for name, value in given.items():
            stored, same = getattr(self, name), "the same"
            if value is None or value == stored:
                continue
            if name == "class_names":
                stored, value = _first_difference(stored, value)
                same = "a data set with the same class names (see --classes)"
            elif isinstance(stored, list):
                stored, value = " ".join(stored) or "none", " ".join(value) or "none"
            raise InputError(
                f"{source} was trained with {_LABELS.get(name, name)} {short(stored, 200)}, but this run has "
                f"{short(value, 200)}; use {same}, or another checkpoint"
            )


def frame_sampling(
    trained_on: TrainedOn | None, frame_stride: int | None = None, frame_rate: float | None = None
) -> dict[str, Any]:
    """The frame stride and frame rate for a test: as given, otherwise as in training; 0: none."""
    given = {"frame_stride": frame_stride, "frame_rate": frame_rate}
    stored = dict.fromkeys(given, 0) if trained_on is None else {name: getattr(trained_on, name) for name in given}
    return {name: stored[name] if value is None else value for name, value in given.items()}


_LABELS = {
    "class_names": "the class names",
    "dataset": "the data set",
    "num_segments": "the number of segments",
    "ablate": "--ablate",
    "frame_stride": "--frame_stride",
    "frame_rate": "--frame_rate",
    "multi_label": "--multi_label",
}


def _first_difference(stored: list[str], given: list[str]) -> tuple[str, str]:
    if len(stored) != len(given):
        return f"({counted(len(stored), 'class')})", counted(len(given), "class")
    label = next(i for i, (a, b) in enumerate(zip(stored, given, strict=True)) if a != b)
    return f"({label}: {short(quoted(stored[label]))})", f"{label}: {short(quoted(given[label]))}"
