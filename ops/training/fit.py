"""The epochs of a training run: train, evaluate, save, log."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from math import inf

import numpy as np
from torch import nn
from torch.utils.data import DataLoader

from common.signals import Stopped, StopRequest
from ops.mixing.mixer import MixedExample
from ops.runtime import Runtime
from ops.scoring.metrics import FIGURES
from ops.scoring.plots import plot_confusion
from ops.training.engine import TrainSettings, evaluate, train_one_epoch
from ops.training.progress import Sums, over_processes
from ops.training.run_folder import RunFolder
from ops.training.run_history import NOT_COMPARED
from ops.training.run_log import RunLog
from ops.training.saver import Saver
from ops.training.state import TrainState
from ops.training.step_clock import time_report

BAD_FRAMES = "bad_frames.txt"


@dataclass(frozen=True)
class FitSettings:
    """Length of a run, its evaluations, learning rate and folders."""

    epochs: int  # length of the training
    eval_freq: int  # epochs between evaluations; the last epoch is always evaluated
    lr_at: Callable[[float], float]  # epoch with its fraction -> learning rate
    folders: RunFolder  # for checkpoints and the log
    best_by: str = "top1"  # metric that chooses the best epoch, one of `FIGURES`
    eval_teacher: bool = False  # also evaluate the teacher of a mixing method that has one
    draw_mixed: Callable[[Sequence[MixedExample]], np.ndarray] | None = None  # mixed clips -> picture (H, W, 3)
    save_every: tuple[float, float] = (inf, inf)  # steps, seconds from one checkpoint to the next within an epoch
    stop: StopRequest = field(default_factory=StopRequest)


def fit(
    state: TrainState,
    train_loader: DataLoader,
    val_loader: DataLoader,
    runtime: Runtime,
    settings: TrainSettings,
    run: FitSettings,
) -> None:
    """Train from the state's epoch to the last; after each epoch write the checkpoint, then log its figures.

    The checkpoint comes first, so a log that cannot be written costs no epoch. It holds the figures, so a run stopped
    in between loses no log line either. `Saver` writes checkpoints within an epoch and before its validation.

    Raises:
        InputError: something is not finite, or a checkpoint or the log cannot be written. The last checkpoint stays.
        Stopped: `run.stop` was asked for; the state is saved.
    """
    log = _open_log(state, run) if runtime.is_main else None
    model = runtime.wrap(state.model)
    saver = Saver(state, runtime, run.folders, log, run.stop, *run.save_every)
    seconds: list[float] = []
    while state.epoch < run.epochs:
        epoch, start = state.epoch, time.perf_counter()
        validates = (epoch + 1) % run.eval_freq == 0 or epoch + 1 == run.epochs
        batches_done = saver.start_epoch(train_loader, validates=validates)
        start -= saver.progress.sums.seconds.total  # spent before the interruption
        local = train_one_epoch(
            model, train_loader, state.optimiser, state.scaler, runtime, settings,
            epoch=epoch, lr_at=run.lr_at, mixer=state.mixer, batches_done=batches_done, progress=saver.progress,
            log_step=log.write_step if log else None, after_step=saver,
        )  # fmt: skip
        train = over_processes(local, runtime)
        shares = train.seconds.shares(train_loader.num_workers)
        figures = _train_figures(train, shares, run.lr_at(epoch), state)
        is_best = is_kept = False
        if validates:
            try:
                deciding, val_figures = _evaluate(state, model, val_loader, runtime, settings, run)
            except Stopped:
                saver.save()  # at the end of the epoch's training
                raise
            train.replaced += deciding.replaced
            averages = deciding.averages()
            accuracy = {name: averages[name] for name in state.best}
            is_best = accuracy[run.best_by] > state.best[run.best_by]
            is_kept = state.rank_epoch(accuracy[run.best_by])
            state.best = {name: max(value, accuracy[name]) for name, value in state.best.items()}
            figures |= {**val_figures, **{f"val/best_{name}": value for name, value in state.best.items()}}
        state.figures = {name: float(value) for name, value in figures.items()}  # a checkpoint holds plain values
        state.epoch, state.position = epoch + 1, None
        saver.save(best=is_best, keep=is_kept)
        if log is not None:
            log.write(epoch, state.figures)
            if is_best and not settings.multi_label:
                title = f"{run.folders.folder.name}, epoch {state.epoch}, {FIGURES[run.best_by]} "
                title += f"{state.best[run.best_by]:.2f} %"
                plot = partial(plot_confusion, deciding.confusion, state.trained_on.class_names, title=title)
                log.write_plot(epoch, "val/confusion", plot)
            if state.mixer is not None and state.mixer.examples and run.draw_mixed is not None:
                log.write_image(epoch, "train/mixed", run.draw_mixed(state.mixer.examples))
            seconds.append(time.perf_counter() - start)
            logging.info(_epoch_line(state.epoch, run.epochs, figures, seconds))
            logging.info(time_report(shares, train_loader.num_workers, runtime.cores))
            _report_replaced(train, log)
        if state.epoch < run.epochs and runtime.highest(run.stop.number):
            raise Stopped
    if log is not None:
        log.close()


def _open_log(state: TrainState, run: FitSettings) -> RunLog:
    fraction = state.position.fraction if state.position is not None else 0.0
    log = RunLog(run.folders.log_folder, state.epoch, state.figures, fraction)
    options = state.settings.get("options", {})
    shown = {name: value for name, value in options.items() if name not in NOT_COMPARED}
    log.write_options(state.epoch, shown, f"val/best_{run.best_by}")
    return log


def _train_figures(train: Sums, shares: dict[str, float], lr: float, state: TrainState) -> dict[str, float]:
    """Figures of an epoch of training, by curve name."""
    figures = {f"train/{name}": value for name, value in train.averages().items()}
    figures["train/lr"] = lr
    if state.mixer is not None:
        figures |= {f"train/{name}": value for name, value in state.mixer.method.figures().items()}
    return figures | {f"time/{part}": value for part, value in shares.items()}


def _evaluate(
    state: TrainState,
    model: nn.Module,
    loader: DataLoader,
    runtime: Runtime,
    settings: TrainSettings,
    run: FitSettings,
) -> tuple[Sums, dict[str, float]]:
    """The sums over the val list of the weights that decide, and the metrics of all by curve name.

    The averaged weights of --ema decide which epoch is the best; without them, the network's own.
    """
    score = partial(evaluate, loader=loader, runtime=runtime, settings=settings, before_batch=run.stop.check)
    deciding = score(model, title=f"epoch {state.epoch + 1} val")
    figures = {f"val/{name}": value for name, value in deciding.averages().items()}
    for name, network in state.averages(teacher=run.eval_teacher).items():
        sums = score(runtime.wrap_frozen(network), title=f"epoch {state.epoch + 1} {name}")
        figures |= {f"val/{name}_{figure}": value for figure, value in sums.averages().items()}
        deciding = sums if name == "ema" else deciding
    return deciding, figures


def _epoch_line(epoch: int, epochs: int, figures: dict[str, float], seconds: Sequence[float]) -> str:
    """One line per epoch; `seconds` of all epochs since the start of this process."""
    text = f"epoch {epoch}/{epochs}  lr {figures['train/lr']:.3g}"
    train_metric, metric, other = ("hit1", "map", "hit1") if "train/hit1" in figures else ("top1", "top1", "top5")
    text += f"  train loss {figures['train/loss']:.3f} {FIGURES[train_metric]} {figures[f'train/{train_metric}']:.1f} %"
    if "val/loss" in figures:
        text += f"  val loss {figures['val/loss']:.3f}"
        text += "".join(f" {FIGURES[name]} {figures[f'val/{name}']:.2f} %" for name in (metric, other))
        if f"val/ema_{metric}" in figures:
            text += f"  averaged weights' {FIGURES[metric]} {figures[f'val/ema_{metric}']:.2f} %"
        if "val/best_mean_class" in figures:
            mean_class = figures.get("val/ema_mean_class", figures["val/mean_class"])  # of the weights that decide
            text += f"  mean class {mean_class:.2f} % best {figures['val/best_mean_class']:.2f} %"
        else:
            text += f" best {figures[f'val/best_{metric}']:.2f} %"
    if f"val/teacher_{metric}" in figures:
        text += f"  teacher's {FIGURES[metric]} {figures[f'val/teacher_{metric}']:.2f} %"
    left = timedelta(seconds=round((epochs - epoch) * sum(seconds) / len(seconds)))
    return f"{text}  ({seconds[-1]:.0f} s" + (f", {left} left)" if epoch < epochs else ")")


def _report_replaced(sums: Sums, log: RunLog) -> None:
    """Report unreadable frames; the log folder gets a file with all their names."""
    if sums.replaced:
        path = log.add_names(BAD_FRAMES, sums.replaced)
        logging.warning("%s (full list: %s)", sums.describe_replaced(), path)
