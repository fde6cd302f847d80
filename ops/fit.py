"""The epochs of a training run: train, evaluate, log, keep."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from ops.engine import Sums, TrainSettings, evaluate, over_processes, train_one_epoch
from ops.run_log import RunLog
from ops.runtime import Runtime
from ops.timing import time_report
from ops.training import TrainState

BAD_FRAMES = "bad_frames.txt"


@dataclass(frozen=True)
class FitSettings:
    """What a run does with its epochs.

    Attributes:
        epochs: length of the training.
        eval_freq: epochs between two evaluations; the last epoch is always evaluated.
        lr_at: learning rate as a function of the epoch with its fraction.
        folder: for checkpoints.
        log_folder: for curves and lines.
        options: plain values, kept in the checkpoint.
    """

    epochs: int
    eval_freq: int
    lr_at: Callable[[float], float]
    folder: Path
    log_folder: Path
    options: dict[str, Any]


def fit(
    state: TrainState,
    train_loader: DataLoader,
    val_loader: DataLoader,
    runtime: Runtime,
    step: TrainSettings,
    run: FitSettings,
) -> None:
    """Train from the state's epoch to the last; after each epoch log its figures, then write the checkpoint.

    In this order a run that is killed in between repeats an epoch and loses no line; `RunLog` drops repeated ones.

    Raises:
        InputError: the loss is not finite, or a checkpoint cannot be written. The last checkpoint stays.
    """
    log = RunLog(run.log_folder, state.epoch) if runtime.is_main else None
    model = runtime.wrap(state.model)
    while state.epoch < run.epochs:
        epoch, start = state.epoch, time.perf_counter()
        train_loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        own = train_one_epoch(
            model, train_loader, state.optimiser, state.scaler, runtime, step, epoch=epoch, lr_at=run.lr_at
        )
        train = over_processes(own, runtime)
        done = epoch + 1
        figures = {f"train/{name}": value for name, value in train.averages().items()}
        figures |= {"train/lr": run.lr_at(epoch)}
        share = train.seconds.shares(train_loader.num_workers)
        figures |= {f"time/{part}": value for part, value in share.items()}
        best = False
        if done % run.eval_freq == 0 or done == run.epochs:
            title = f"epoch {done} val"
            val = evaluate(model, val_loader, runtime, amp=step.amp, title=title, print_freq=step.print_freq)
            train.replaced += val.replaced
            best = val.averages()["top1"] > state.best_top1
            state.best_top1 = max(state.best_top1, val.averages()["top1"])
            figures |= {f"val/{name}": value for name, value in val.averages().items()}
            figures["val/best_top1"] = state.best_top1
        if log is not None:
            log.write(epoch, figures)
            logging.info(_line(done, run.epochs, figures, time.perf_counter() - start))
            logging.info(time_report(share, train_loader.num_workers, runtime.cores))
            _report_replaced(train, run.log_folder)
            state.save(run.folder, run.options, epoch=done, best=best)
        state.epoch = done
    if log is not None:
        log.close()


def _line(epoch: int, epochs: int, figures: dict[str, float], seconds: float) -> str:
    """One line for one epoch."""
    text = "epoch {}/{}  lr {:.3g}  train loss {:.3f} top-1 {:.1f} %".format(
        epoch, epochs, figures["train/lr"], figures["train/loss"], figures["train/top1"]
    )
    if "val/loss" in figures:
        text += (
            "  val loss {val/loss:.3f} top-1 {val/top1:.2f} % top-5 {val/top5:.2f} % best {val/best_top1:.2f} %".format(
                **figures
            )
        )
    return f"{text}  ({seconds:.0f} s)"


def _report_replaced(sums: Sums, folder: Path, shown: int = 3) -> None:
    """Say which frames could not be read; all of their names go into a file."""
    if not sums.replaced:
        return
    names = sorted(set(sums.replaced))
    path = folder / BAD_FRAMES
    known = set(path.read_text().splitlines()) if path.exists() else set()
    path.write_text("".join(f"{name}\n" for name in sorted(known | set(names))))
    some = ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
    logging.warning(
        "%d reads of %d unreadable frames were replaced by the nearest readable frame: %s (all in %s)",
        len(sums.replaced), len(names), some, path,
    )  # fmt: skip
