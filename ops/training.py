"""The state of a training run: its folder, and what a checkpoint holds so that a run goes on bit for bit."""

import logging
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from errors import InputError, command, short, wrong_fields
from ops.checkpoint import load_weights
from ops.checkpoint_file import link_checkpoint, read_checkpoint, save_checkpoint
from ops.mixer import Mixer
from ops.network import VideoNet

LARGEST = 10_000  # segments of a clip, or pixels of a side
LATEST, BEST = "ckpt.pth.tar", "ckpt.best.pth.tar"
_RESUMED: dict[str, Any] = {"optimizer": dict, "scaler": dict, "epoch": int, "best_top1": float, "figures": dict}


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
            raise InputError(
                f"{source} was trained with {label} {short(stored, 200)}, but this run has {short(value, 200)}; "
                "leave the option out to take the checkpoint's, or give another checkpoint"
            )


_LABELS = {
    "class_names": "the class names",
    "dataset": "the data set",
    "num_segments": "the number of segments",
    "ablate": "--ablate",
}


def _first_difference(stored: list[str], given: list[str]) -> tuple[str, str]:
    if len(stored) != len(given):
        return f"({len(stored)} classes)", f"{len(given)} classes"
    label = next(i for i, (a, b) in enumerate(zip(stored, given, strict=True)) if a != b)
    return f"({label}: {short(repr(stored[label]))})", f"{label}: {short(repr(given[label]))}"


def run_name(root: Path, name: str, resume: str | None) -> str:
    """The name of a run's folder under `root`: `name`, or `name-2`, `name-3`, ... so that no run overwrites another.

    Args:
        root: folder of all runs' checkpoints.
        name: the plain name.
        resume: None, "auto", or a checkpoint. A run goes on in the folder of its latest checkpoint: the given one, or
            for "auto" the newest of this name that has one. The best checkpoint may be older than the latest, so a
            run that starts from it gets a folder of its own.
    """
    run = Path(os.path.abspath(resume or "")).parent  # not resolved: it may be a link to a folder on another disk
    if resume and Path(resume).name == LATEST and run.parent.resolve() == root.resolve():
        return run.name
    taken = []
    candidate, count = name, 1
    while (root / candidate).exists():
        taken.append(candidate)
        count += 1
        candidate = f"{name}-{count}"
    with_checkpoint = [run for run in taken if (root / run / LATEST).exists()]
    return with_checkpoint[-1] if resume == "auto" and with_checkpoint else candidate


@dataclass
class TrainState:
    """What changes during a run. `epoch` counts the epochs that are done, `figures` are the last one's."""

    model: VideoNet
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    trained_on: TrainedOn
    epoch: int = 0
    best_top1: float = -1.0
    mixer: Mixer | None = None
    figures: dict[str, float] = field(default_factory=dict)

    def save(self, folder: Path, options: dict[str, Any], *, epoch: int, best: bool) -> None:
        """After `epoch` epochs write `ckpt.pth.tar`, and `ckpt.best.pth.tar` if `best`, each whole or not at all."""
        content = {
            "state_dict": self.model.state_dict(),
            "optimizer": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epoch": epoch,
            "best_top1": self.best_top1,
            "figures": self.figures,
            "trained_on": asdict(self.trained_on),
            "options": options,
        }
        if self.mixer is not None:
            content["mixing"] = self.mixer.method.state_dict()
        if best:  # first, so that a run that is killed in between repeats the epoch
            save_checkpoint(folder / BEST, content)
            link_checkpoint(folder / BEST, folder / LATEST)
        else:
            save_checkpoint(folder / LATEST, content)

    def load(self, path: Path) -> dict[str, Any]:
        """Take the network's weights from a checkpoint, and what a mixing has learnt; the checkpoint, for the rest.

        Raises:
            InputError: it cannot be read, is none of a training run, or was made for something else.
        """
        checkpoint = read_checkpoint(path)
        stored = TrainedOn.of(checkpoint, str(path))
        if stored is None:
            test = command("python", "test_models_center_crop.py", self.trained_on.dataset, "--weights", path)
            raise InputError(
                f"{path} holds weights but no training to resume; test them: {test} --output_dir DIR, or start from "
                f"them with {command('--tune_from', path)}"
            )
        now = asdict(self.trained_on)
        for name in ("preprocessing", "train_list_hash", "val_list_hash"):
            if now.pop(name) != getattr(stored, name):
                logging.warning("%s: %s differs from the run that is resumed", path, name.replace("_", " "))
        stored.require(str(path), **now)
        load_weights(self.model, checkpoint, where=str(path))
        mixing = checkpoint.get("mixing", {})
        if not isinstance(mixing, dict):
            raise InputError(f"{path} does not say what its --mix has learnt: it is damaged; give another checkpoint")
        self._resume_mixing(path, mixing)
        return checkpoint

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            InputError: as `load`; or it does not hold what a training needs, or holds another optimiser's.
        """
        checkpoint = self.load(path)
        start = f"start from it with {command('--tune_from', path)}"
        wrong = wrong_fields({"figures": {}, **checkpoint}, _RESUMED)
        figures = {} if wrong else checkpoint.get("figures", {})
        wrong += ["figures"] if wrong_fields(figures, dict.fromkeys(map(str, figures), (int, float))) else []
        if wrong:
            raise InputError(f"{path} has no {', '.join(wrong)}, so no training to resume; {start}")
        try:
            self._resume_optimiser(path, checkpoint["optimizer"])
            self.scaler.load_state_dict(checkpoint["scaler"])
        except InputError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: its optimiser or gradient scaler does not fit this run ({short(error)}); resume with the "
                f"same --optimizer and --amp, or {start}"
            ) from error
        self.epoch, self.best_top1 = checkpoint["epoch"], checkpoint["best_top1"]
        self.figures = figures
        logging.info("Resumed %s after epoch %d.", path, self.epoch)

    def _resume_optimiser(self, path: Path, stored: dict[str, Any]) -> None:
        own = [dict(group) for group in self.optimiser.param_groups]
        here, there = own[0].keys(), stored["param_groups"][0].keys()
        if not (here <= there or there <= here):  # versions of torch add options; another optimiser lacks some
            raise InputError(f"{path} was trained with another optimiser; resume with the same --optimizer")
        try:
            self.optimiser.load_state_dict(stored)
        except ValueError as error:
            raise InputError(
                f"{path}: its optimiser has other parameter groups ({error}); resume with the same --npb and --fc_lr5"
            ) from error
        for group, options in zip(self.optimiser.param_groups, own, strict=True):
            group.update({k: v for k, v in options.items() if k != "params"})  # this run's --wd, not the stored one
        for parameter, values in self.optimiser.state.items():
            for name, value in values.items():  # torch finds out in the first step
                if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                    raise ValueError(f"{name} of shape {tuple(value.shape)} for {tuple(parameter.shape)}")

    def _resume_mixing(self, path: Path, stored: dict[str, Any]) -> None:
        """Go on with what a mixing has learnt."""
        learns = self.mixer is not None and bool(self.mixer.method.state_dict())
        if learns and not stored:
            raise InputError(
                f"{path} was trained without --mix svmix; start from it with {command('--tune_from', path)}"
            )
        if stored and not learns:
            logging.warning("%s holds the teacher and the selector of --mix svmix, which this run leaves out", path)
        elif self.mixer is not None:
            self.mixer.method.load_state_dict(stored)
