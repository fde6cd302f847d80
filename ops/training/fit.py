"""The epochs of a training run: train, evaluate, log, keep."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np
from torch import nn
from torch.utils.data import DataLoader

from common.errors import counted, few
from ops.mixing.mixer import MixedExample
from ops.runtime import Runtime
from ops.training.engine import Sums, TrainSettings, evaluate, over_processes, train_one_epoch
from ops.training.run_folder import RunFolder
from ops.training.run_log import RunLog
from ops.training.state import TrainState
from ops.training.step_clock import time_report

BAD_FRAMES = "bad_frames.txt"


@dataclass(frozen=True)
class FitSettings:
    """What a run does with its epochs.

    Attributes:
        epochs: length of the training.
        eval_freq: epochs between two evaluations; the last epoch is always evaluated.
        lr_at: learning rate as a function of the epoch with its fraction.
        folders: for checkpoints and for the log.
        eval_teacher: evaluate the teacher of a mixing that has one, too.
        draw_mixed: makes a picture (H, W, 3) of mixed clips.
    """

    epochs: int
    eval_freq: int
    lr_at: Callable[[float], float]
    folders: RunFolder
    eval_teacher: bool = False
    draw_mixed: Callable[[Sequence[MixedExample]], np.ndarray] | None = None


def fit(
    state: TrainState,
    train_loader: DataLoader,
    val_loader: DataLoader,
    runtime: Runtime,
    step: TrainSettings,
    run: FitSettings,
) -> None:
    """Train from the state's epoch to the last; after each epoch write the checkpoint, then log its figures.

    In this order a log that cannot be written costs no epoch; the checkpoint holds the figures, so that a run that is
    stopped in between loses no line either.

    Raises:
        InputError: loss, weights or scores are not finite, or a checkpoint or the log cannot be written. The last
            checkpoint stays.
    """
    log = RunLog(run.folders.log_folder, state.epoch, state.figures) if runtime.is_main else None
    model = runtime.wrap(state.model)
    seconds: list[float] = []
    while state.epoch < run.epochs:
        epoch, start = state.epoch, time.perf_counter()
        train_loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        own = train_one_epoch(
            model, train_loader, state.optimiser, state.scaler, runtime, step, epoch=epoch, lr_at=run.lr_at,
            mixer=state.mixer,
        )  # fmt: skip
        train = over_processes(own, runtime)
        done = epoch + 1
        figures = {f"train/{name}": value for name, value in train.averages().items()}
        figures |= {"train/lr": run.lr_at(epoch)}
        if state.mixer is not None:
            figures |= {f"train/{name}": value for name, value in state.mixer.method.figures().items()}
        share = train.seconds.shares(train_loader.num_workers)
        figures |= {f"time/{part}": value for part, value in share.items()}
        best = False
        if done % run.eval_freq == 0 or done == run.epochs:
            val, of_val = _evaluate(state, model, val_loader, runtime, step, run, f"epoch {done}")
            train.replaced += val.replaced
            best = of_val["val/top1"] > state.best_top1
            state.best_top1 = max(state.best_top1, of_val["val/top1"])
            figures |= {**of_val, "val/best_top1": state.best_top1}
        state.figures = {name: float(value) for name, value in figures.items()}  # a checkpoint holds plain values
        if runtime.is_main:
            run.folders.require_valid()
            state.save(run.folders.folder, epoch=done, best=best)
        state.epoch = done
        if log is not None:
            log.write(epoch, state.figures)
            if state.mixer is not None and state.mixer.examples and run.draw_mixed is not None:
                log.write_image(epoch, "train/mixed", run.draw_mixed(state.mixer.examples))
            seconds.append(time.perf_counter() - start)
            logging.info(_line(done, run.epochs, figures, seconds))
            logging.info(time_report(share, train_loader.num_workers, runtime.cores))
            _report_replaced(train, log)
    if log is not None:
        log.close()


def _evaluate(
    state: TrainState,
    model: nn.Module,
    loader: DataLoader,
    runtime: Runtime,
    step: TrainSettings,
    run: FitSettings,
    title: str,
) -> tuple[Sums, dict[str, float]]:
    """The network's sums over the val list, and its figures by curve name, with the teacher's if they are wanted."""
    examine = partial(evaluate, loader=loader, runtime=runtime, amp=step.amp, print_freq=step.print_freq)
    val = examine(model, title=f"{title} val")
    figures = {f"val/{name}": value for name, value in val.averages().items()}
    teacher = state.mixer.method.teacher if run.eval_teacher and state.mixer is not None else None
    if teacher is not None:
        averages = examine(runtime.wrap_frozen(teacher), title=f"{title} teacher").averages()
        figures |= {f"val/teacher_{name}": value for name, value in averages.items()}
    return val, figures


def _line(epoch: int, epochs: int, figures: dict[str, float], seconds: list[float]) -> str:
    """One line for one epoch; `seconds` of the epochs of this start, the last one included."""
    text = "epoch {}/{}  lr {:.3g}  train loss {:.3f} top-1 {:.1f} %".format(
        epoch, epochs, figures["train/lr"], figures["train/loss"], figures["train/top1"]
    )
    if "val/loss" in figures:
        text += (
            "  val loss {val/loss:.3f} top-1 {val/top1:.2f} % top-5 {val/top5:.2f} % best {val/best_top1:.2f} %".format(
                **figures
            )
        )
    if "val/teacher_top1" in figures:
        text += f"  teacher's top-1 {figures['val/teacher_top1']:.2f} %"
    left = timedelta(seconds=round((epochs - epoch) * sum(seconds) / len(seconds)))
    return f"{text}  ({seconds[-1]:.0f} s" + (f", {left} left)" if epoch < epochs else ")")


def _report_replaced(sums: Sums, log: RunLog, shown: int = 3) -> None:
    """Say which frames could not be read; all of their names go into a file."""
    if not sums.replaced:
        return
    names = sorted(set(sums.replaced))
    path = log.add_names(BAD_FRAMES, names)
    logging.warning(
        "%s could not be read, and the nearest readable frame replaced it each time (%s): %s (all in %s)",
        counted(len(names), "frame"), counted(len(sums.replaced), "read"), few(names, shown), path,
    )  # fmt: skip
