"""The state of a training run, saved so that a resumed run is bit-identical to an uninterrupted one."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel

from common.errors import InputError, command, counted, wrong_fields
from ops.mixing.mixer import Mixer
from ops.network import VideoNet, not_finite, require_finite_tensors
from ops.runtime import Runtime
from ops.training.optimiser_state import resume_optimiser
from ops.training.progress import Position
from ops.training.run_folder import BEST, LATEST, OF_EPOCH, PREVIOUS
from ops.training.run_history import differences
from ops.training.seen_clips import SeenClips, join_records, recorded_clips
from ops.weights.checkpoint import TrainedOn
from ops.weights.file import DamagedFileError, read_checkpoint, save_checkpoint
from ops.weights.load import AVERAGED, averaged, load_weights

_MAY_CHANGE = {"preprocessing": "preprocessing", "train_list_hash": "train list", "val_list_hash": "val list"}
_MEANING = {
    "preprocessing": "accuracies from here on are not comparable with earlier ones",
    "train list": "from here on, the training clips and their order differ",
    "val list": "accuracies from here on are not comparable with those that chose the best checkpoint so far",
}


def _unusable(checkpoint: dict[str, Any]) -> list[str]:
    """Names of the fields that are missing or wrong, so that a training cannot resume."""
    kinds: dict[str, Any] = {"optimizer": dict, "scaler": dict, "epoch": int}
    kinds["best_map" if checkpoint["trained_on"].get("multi_label") else "best_top1"] = float
    # Missing in older checkpoints, or in those that do not need them.
    optional = {"figures": {}, "options": {}, "environment": {}, "best_epochs": {}, "best_mean_class": -1.0}
    given = {**optional, **checkpoint}
    wrong = wrong_fields(given, kinds | {name: type(value) for name, value in optional.items()})
    if "epoch" not in wrong and given["epoch"] < 0:
        wrong.append("epoch")
    try:
        Position.of(given.get("position", {"clips": 0, "fraction": 0.0, "processes": []}))
    except ValueError:
        wrong.append("position")
    for name, kind in (("figures", str), ("best_epochs", int)):
        values = {} if name in wrong else given[name]
        if wrong_fields(values, dict.fromkeys(values, float)) or not all(type(key) is kind for key in values):
            wrong.append(name)
    return wrong


@dataclass
class TrainState:
    """Everything that changes during a run, and the facts that its checkpoints record."""

    model: VideoNet
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    trained_on: TrainedOn
    settings: dict[str, Any]  # the "options" and the "environment" of this start, for the checkpoint
    epoch: int = 0  # epochs done
    position: Position | None = None  # in the epoch after them; None: at its start
    saved: str = ""  # the progress in the last checkpoint
    best: dict[str, float] = field(default_factory=lambda: {"top1": -1.0})  # best accuracies so far
    keep_best: int = 1  # epochs whose weights are kept; more than 1: each in a file of its own
    best_epochs: dict[int, float] = field(default_factory=dict)  # their accuracies by epoch, counted from 1
    mixer: Mixer | None = None
    average: AveragedModel | None = None  # averaged weights of --ema
    figures: dict[str, float] = field(default_factory=dict)  # of the last epoch
    seen: SeenClips = field(default_factory=dict)  # the training clips

    def averages(self, *, teacher: bool) -> dict[str, VideoNet]:
        """The averaged networks to evaluate as well; `teacher`: including that of a mixing method."""
        own = {} if self.average is None else {"ema": cast(VideoNet, self.average.module)}
        of_mixing = self.mixer.method.teacher if teacher and self.mixer is not None else None
        return own if of_mixing is None else {**own, "teacher": of_mixing}

    def rank_epoch(self, accuracy: float) -> bool:
        """Rank the epoch after those done by its accuracy, and return whether its weights must be kept."""
        if self.keep_best == 1:
            return False
        accuracies = {**self.best_epochs, self.epoch + 1: accuracy}
        ranked = sorted(accuracies.items(), key=lambda pair: (-pair[1], pair[0]))
        self.best_epochs = dict(ranked[: self.keep_best])
        return self.epoch + 1 in self.best_epochs

    def save(self, folder: Path, *, best: bool, keep: bool = False) -> None:
        """Write `ckpt.pth.tar`, `ckpt.best.pth.tar` if `best`, and the epoch's own file if `keep`.

        Each is written whole or not at all. The `ckpt.pth.tar` that was there becomes `ckpt.previous.pth.tar`. The
        others are for tests: they leave out the optimisers, which are half to two thirds of the size. An `InputError`
        says that a value is not finite, or that the folder cannot be written.
        """
        content = {
            "state_dict": self.model.state_dict(),
            "epoch": self.epoch,
            **{f"best_{name}": value for name, value in self.best.items()},
            "figures": self.figures,
            "trained_on": self.trained_on.as_stored(),
            "seen_clips": self.seen,
            **self.settings,
        }
        if self.best_epochs:
            content["best_epochs"] = self.best_epochs
        if self.average is not None:
            content[AVERAGED] = self.average.module.state_dict()
        latest = {**content, "optimizer": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}
        if self.position is not None:
            latest["position"] = asdict(self.position)
        if self.mixer is not None:
            content["mixing"] = self.mixer.method.state_dict(optimiser=False)
            latest["mixing"] = self.mixer.method.state_dict()
        bad = not_finite(latest)
        if bad is not None:
            raise InputError(
                f"{bad} is not finite after {self.progress}: the training has diverged. No checkpoint was written; "
                "continue from the last one (--resume auto) with a lower --lr, a --warmup, or --amp off"
            )
        if keep:
            save_checkpoint(folder / OF_EPOCH.format(self.epoch), content)
        if best:  # before the latest, so that a run killed in between repeats the validation
            save_checkpoint(folder / BEST, content)
        save_checkpoint(folder / LATEST, latest, previous=folder / PREVIOUS)
        if keep:  # only now are the files of other epochs, and unfinished ones, of no use
            for path in (*folder.glob(OF_EPOCH.format("*")), *folder.glob(f".{OF_EPOCH.format('*')}.*.tmp")):
                if path.name not in map(OF_EPOCH.format, self.best_epochs):
                    path.unlink(missing_ok=True)
        self.saved = self.progress

    @property
    def progress(self) -> str:
        """How far the training is, for messages."""
        if self.position is None:
            return f"epoch {self.epoch}"
        return f"{100 * self.position.fraction:.3g} % of epoch {self.epoch + 1}"

    def load(self, path: Path, *, to_train: bool = False) -> dict[str, Any]:
        """Load the weights of the network and of the mixing method from a checkpoint, and return the checkpoint.

        With `to_train` it must hold everything that a training resumes from, for the mixing method its optimiser too.
        An `InputError` says that it cannot be read, was not written by a training, belongs to another network or data
        set, or has a value that is not finite.
        """
        checkpoint = read_checkpoint(path)
        stored = TrainedOn.of(checkpoint, str(path))
        if stored is None:
            test = command("python", "test_models_center_crop.py", self.trained_on.dataset, "--weights", path)
            raise InputError(
                f"{path} holds weights but no training state to resume; test them with {test} --output_dir DIR, or "
                f"start from them with {command('--tune_from', path)}"
            )
        wrong = _unusable(checkpoint)
        if to_train and wrong:
            raise InputError(
                f"{path} has no valid {', '.join(wrong)}, so no run can resume from it ({BEST} is for tests); resume "
                f"{LATEST}, or start from its weights with {command('--tune_from', path)}"
            )
        may_change = _MAY_CHANGE if to_train else {**_MAY_CHANGE, "dataset": "data set"}
        changed = self._changed_data(checkpoint, may_change)
        if changed and not to_train:
            logging.info("%s was trained with other settings: %s", path, ", ".join(changed))
        stored.require(str(path), **{k: v for k, v in asdict(self.trained_on).items() if k not in may_change})
        mixing = checkpoint.get("mixing", {})
        if not isinstance(mixing, dict):
            raise InputError(f"{path} is damaged: the state of its --mix is missing; give another checkpoint")
        read = checkpoint if to_train else {name: checkpoint.get(name) for name in ("state_dict", "mixing", AVERAGED)}
        require_finite_tensors(read, str(path))
        load_weights(self.model, checkpoint, where=str(path))
        self._load_average(path, checkpoint)
        self._load_mixing(path, mixing, to_train)
        return checkpoint

    def resume_newest(self, paths: Sequence[Path], runtime: Runtime) -> None:
        """Continue from the first of these checkpoints that is not damaged: all processes from the same one.

        Damaged ones are renamed, and a warning says so. Errors as in `resume`, or if all are damaged.
        """
        for path in paths:
            fault = None
            try:
                self.resume(path, without_optimiser=path.name == BEST and path is not paths[0])
            except DamagedFileError as error:
                fault = str(error)
            faults = [text for text in runtime.gather(fault) if text]
            if not faults:
                return
            if path is paths[-1]:
                raise InputError(faults[0])
            if runtime.is_main:
                aside = path.rename(f"{path}.damaged")
                logging.warning("warning: %s. It was renamed to %s; trying the one before it", faults[0], aside)

    def resume(self, path: Path, *, without_optimiser: bool = False) -> None:
        """Continue from a checkpoint, and log the differences from the run that wrote it; errors as in `load`."""
        checkpoint = self.load(path, to_train=not without_optimiser)
        if not without_optimiser:
            resume_optimiser(self.optimiser, self.scaler, checkpoint, str(path))
        elif set(_unusable(checkpoint)) - {"optimizer", "scaler"}:
            raise InputError(f"{path} is damaged: the progress of its run is missing; give another checkpoint")
        else:
            logging.warning("warning: %s has no optimiser state; the optimiser starts from scratch", path)
        self.epoch = checkpoint["epoch"]
        self.best = {name: checkpoint.get(f"best_{name}", -1.0) for name in self.best}
        self.figures = checkpoint.get("figures", {})
        self.best_epochs = dict(checkpoint.get("best_epochs", {}))
        self.position = Position.of(checkpoint["position"]) if "position" in checkpoint else None
        self.saved = self.progress
        before = recorded_clips(checkpoint, str(path))
        logging.info("Resumed %s after %s.", path, self.progress)
        new = sum(int((~torch.isin(clips, before[name])).sum()) for name, clips in self.seen.items() if name in before)
        what = {"train list": f"changed, {counted(new, 'new clip')}"}
        changed = self._changed_data(checkpoint, _MAY_CHANGE)
        differing = [f"{name}: {what.get(name, 'changed')}; {_MEANING[name]}" for name in changed]
        differing += differences(checkpoint, self.settings)
        if differing:
            logging.info("This run differs from the one it resumes (before -> now):\n  %s", "\n  ".join(differing))
        self.seen = join_records(self.seen, before)

    def _changed_data(self, checkpoint: dict[str, Any], names: Mapping[str, str]) -> list[str]:
        before, now = checkpoint["trained_on"], asdict(self.trained_on)
        return [text for name, text in names.items() if before[name] != now[name]]

    def _load_average(self, path: Path, checkpoint: dict[str, Any]) -> None:
        if self.average is not None:
            load_weights(cast(VideoNet, self.average.module), averaged(checkpoint, str(path)), where=str(path))
        elif AVERAGED in checkpoint:
            logging.warning("%s holds the averaged weights of --ema, which this run ignores", path)

    def _load_mixing(self, path: Path, stored: dict[str, Any], to_train: bool) -> None:
        learns = self.mixer is not None and bool(self.mixer.method.state_dict())
        if learns and not stored:
            raise InputError(
                f"{path} was trained without --mix svmix; start from it with {command('--tune_from', path)}"
            )
        if stored and not learns:
            logging.warning("%s holds the teacher and the selector of --mix svmix, which this run ignores", path)
        elif self.mixer is not None:
            self.mixer.method.load_state_dict(stored, optimiser=to_train)
