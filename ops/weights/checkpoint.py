"""A checkpoint: the record of its training, and the network that it holds."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from common.errors import InputError, command, counted, quoted, short, wrong_fields
from common.files import file_hash
from ops.models import NETS, build_model
from ops.network import VideoNet, require_finite_tensors
from ops.weights.file import read_checkpoint
from ops.weights.load import AVERAGED, averaged, load_weights, official_net

LARGEST = 10_000  # segments per clip, pixels per side, frames per step or per second
_LABELS = {
    "class_names": "the class names",
    "dataset": "the data set",
    "num_segments": "the number of segments",
    "ablate": "--ablate",
    "frame_stride": "--frame_stride",
    "frame_rate": "--frame_rate",
    "multi_label": "--multi_label",
}


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
        """From a checkpoint, which messages call `source` (an `InputError` if damaged); None for others."""
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


def _first_difference(stored: list[str], given: list[str]) -> tuple[str, str]:
    if len(stored) != len(given):
        return f"({counted(len(stored), 'class')})", counted(len(given), "class")
    label = next(i for i, (a, b) in enumerate(zip(stored, given, strict=True)) if a != b)
    return f"({label}: {short(quoted(stored[label]))})", f"{label}: {short(quoted(given[label]))}"


def frame_sampling(
    trained_on: TrainedOn | None, frame_stride: int | None = None, frame_rate: float | None = None
) -> dict[str, Any]:
    """The frame stride and frame rate for a test: as given, otherwise as in training; 0: none."""
    given = {"frame_stride": frame_stride, "frame_rate": frame_rate}
    stored = dict.fromkeys(given, 0) if trained_on is None else {name: getattr(trained_on, name) for name in given}
    return {name: stored[name] if value is None else value for name, value in given.items()}


@dataclass(frozen=True)
class Weights:
    """The content of a checkpoint file."""

    path: Path
    content: dict[str, Any]
    trained_on: TrainedOn | None  # None for weights from elsewhere
    hash: str  # of the file, and which of its weights these are

    @classmethod
    def read(cls, path: str, *, ema: bool = False) -> "Weights":
        """Read a checkpoint; `ema`: its averaged weights instead of the network's."""
        content = read_checkpoint(path)
        if ema:
            content = averaged(content, path)
        elif AVERAGED in content:
            logging.info("%s also holds averaged weights, which chose the best epoch; --ema uses them", path)
        return cls(Path(path), content, TrainedOn.of(content, path), file_hash(path) + " (ema)" * ema)

    def require_trained_on(self) -> TrainedOn:
        """The record of the training; an `InputError` for weights from elsewhere."""
        if self.trained_on is None:
            raise InputError(f"{self.path} does not name its network and classes; give a checkpoint of train.py")
        return self.trained_on

    def data_options(self, dataset: str | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The data set's name and file options: those `given`, else the training's; an `InputError` without a name."""
        if self.trained_on is None:
            if dataset is None:
                raise InputError(f"{self.path} does not name its data set; give the name: somethingv1, kinetics, ...")
            return dataset, dict(given)
        stored = self.content.get("options", {})
        wrong = wrong_fields(stored, dict.fromkeys(given, (str, type(None))))
        if wrong:
            raise InputError(
                f"{self.path} lacks the {', '.join(wrong)} of its training: it is damaged; use another checkpoint"
            )
        if given.get("split") is not None:  # replaces the lists of the training
            stored = {**stored, "train_list": None, "val_list": None}
        same = dataset in (None, self.trained_on.dataset)
        used = {name: stored.get(name) if value is None and same else value for name, value in given.items()}
        return dataset or self.trained_on.dataset, used

    def build(
        self,
        class_names: list[str],
        *,
        dataset: str | None = None,
        net: str | None = None,
        arch: str | None = None,
        num_segments: int | None = None,
    ) -> VideoNet:
        """The network with these weights, in evaluation mode; None: not given.

        `class_names` belong to the data set to test, which may differ from that of the training. An `InputError` says
        that the options contradict the weights, or that the weights do not fit or are not finite.
        """
        given: dict[str, Any] = {"net": net, "arch": arch, "num_segments": num_segments}
        if self.trained_on is not None:
            made_for = self.trained_on
            made_for.require(str(self.path), class_names=class_names, **given)
            if dataset not in (None, made_for.dataset):
                logging.info("Note: %s was trained on %s, whose class names are the same.", self.path, made_for.dataset)
            given = {name: getattr(made_for, name) for name in ("net", "arch", "num_segments", "ablate")}
        else:
            official = official_net(self.content, str(self.path)) or "H2CN"
            defaults = {"net": official, "arch": "resnet50", "num_segments": 8}
            assumed = {name: value for name, value in defaults.items() if given.get(name) is None}
            given = {**given, **assumed, "ablate": []}
            if NETS[given["net"]].arch is not None:
                assumed.pop("arch", None)
            if assumed:
                text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in assumed.items())
                logging.info("%s: neither the file nor a flag says otherwise; assumed: %s", self.path, text)
        model = build_model(num_class=len(class_names), **given)
        report = load_weights(model, self.content, where=str(self.path))
        if report.new:
            raise InputError(
                f"{self.path}: {report}; the new parameters would be random. Train the network first: "
                f"{command('train.py', '--net', model.net, '--pretrain', self.path)}"
            )
        require_finite_tensors(model.state_dict(), str(self.path))
        logging.info("%s: %s", self.path, report)
        return model.eval()
