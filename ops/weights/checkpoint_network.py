"""A checkpoint, and the network that it holds."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError, command, wrong_fields
from common.files import file_hash
from ops.models import NETS, build_model
from ops.network import VideoNet, require_finite_tensors
from ops.weights.file import read_checkpoint
from ops.weights.load import AVERAGED, averaged, load_weights, official_net
from ops.weights.trained_on import TrainedOn


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
