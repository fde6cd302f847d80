"""A checkpoint as a network that is ready to be tested."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError, command, wrong_fields
from ops.models import NETS, build_model
from ops.network import VideoNet, require_finite_tensors
from ops.weights.file import read_checkpoint
from ops.weights.load import load_weights, official_net
from ops.weights.trained_on import TrainedOn


@dataclass(frozen=True)
class Weights:
    """A checkpoint that was read.

    Attributes:
        path: the file.
        content: all of it.
        trained_on: what it was made for; None for weights of another origin.
    """

    path: Path
    content: dict[str, Any]
    trained_on: TrainedOn | None

    @classmethod
    def read(cls, path: str) -> "Weights":
        content = read_checkpoint(path)
        return cls(Path(path), content, TrainedOn.of(content, path))

    def data_options(self, dataset: str | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The data set's name and where its files are: what is given, and what the training used for the rest.

        Raises:
            InputError: neither says which data set.
        """
        if self.trained_on is None:
            if dataset is None:
                raise InputError(f"{self.path} does not say its data set; name it: somethingv1, kinetics, ...")
            return dataset, dict(given)
        stored = self.content.get("options", {})
        wrong = wrong_fields(stored, dict.fromkeys(given, (str, type(None))))
        if wrong:
            raise InputError(
                f"{self.path} does not say the {', '.join(wrong)} of its training: it is damaged; give another one"
            )
        if given.get("split") is not None:  # instead of the training's lists
            stored = {**stored, "train_list": None, "val_list": None}
        same = dataset in (None, self.trained_on.dataset)
        used = {name: stored.get(name) if value is None and same else value for name, value in given.items()}
        return dataset or self.trained_on.dataset, used

    def build(self, class_names: list[str], **given: Any) -> VideoNet:
        """The network with these weights, ready for evaluation.

        Args:
            class_names: of the data set that is tested.
            given: `net`, `arch`, `num_segments`, `dataset`; None: not given. Another data set may be tested if its
                class names are the same.

        Raises:
            InputError: what is given contradicts what the weights were made for, or they do not fit or are not finite.
        """
        dataset = given.pop("dataset")
        if self.trained_on is not None:
            made_for = self.trained_on
            made_for.require(str(self.path), class_names=class_names, **given)
            if dataset not in (None, made_for.dataset):
                logging.info("Note: %s was trained on %s, whose class names are the same.", self.path, made_for.dataset)
            given = {name: getattr(made_for, name) for name in ("net", "arch", "num_segments", "ablate")}
        else:
            net = official_net(self.content, str(self.path)) or "H2CN"
            defaults = {"net": net, "arch": "resnet50", "num_segments": 8}
            unknown = {name: value for name, value in defaults.items() if given.get(name) is None}
            given = {**given, **unknown, "ablate": []}
            if NETS[given["net"]].arch is not None:
                unknown.pop("arch", None)
            if unknown:
                taken = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in unknown.items())
                logging.info("%s: neither the file nor a flag says otherwise, so taken as %s", self.path, taken)
        net = given["net"]
        model = build_model(net, given["arch"], len(class_names), given["num_segments"], ablate=given["ablate"])
        report = load_weights(model, self.content, where=str(self.path))
        if report.new:
            raise InputError(
                f"{self.path}: {report}; what is new would be random, which is no network to test. Train it first: "
                f"{command('train.py', '--net', net, '--pretrain', self.path)}"
            )
        require_finite_tensors(model.state_dict(), str(self.path))
        logging.info("%s: %s", self.path, report)
        return model.eval()
