#!/usr/bin/env python
"""Train a video network, or evaluate a checkpoint with -e. `main` shows the run; the functions below, its steps."""

import logging
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common.console import answer_help, run_script
from common.signals import Stopped, StopRequest
from opts import parse_train, train_parser

if __name__ == "__main__":
    answer_help(train_parser())  # before torch is loaded

import numpy as np
import torch
import torch.nn.functional as F

from common.cli import resume_command, steps_and_seconds
from common.errors import InputError, command, counted
from datasets.catalogue import DatasetSpec, data_folder
from datasets.clip_dataset import VideoDataset
from datasets.lists import clip_ids
from datasets.overlapping_windows import overlapping
from drawing.clips import mixed_sheet
from drawing.plots import draw_learning_rate
from ops.averaging import moving_average
from ops.freezing import require_enough_for_batchnorm
from ops.network import VideoNet
from ops.optimiser import make_optimiser, parameter_groups
from ops.runtime import Runtime, start_runtime
from ops.schedule import learning_rate, scaled_rate
from ops.scoring.metrics import FIGURES
from ops.training.dry_run import dry_run
from ops.training.engine import TrainSettings, evaluate
from ops.training.fit import FitSettings, fit
from ops.training.recipes import check_recipe
from ops.training.run_folder import BEST, RunFolder, claimed_run
from ops.training.run_history import environment, record_start
from ops.training.run_log import OPTIONS
from ops.training.seen_clips import clip_digests, describe_seen, find_seen, join_records, recorded_clips, require_unseen
from ops.training.state import TrainState
from options.config_file import as_toml
from train_parts import batches, describe_training, find_data, make_datasets, make_mixer, make_network, weighted_loss


def main(argv: list[str] | None = None) -> None:
    args = parse_train(argv)
    runtime = start_runtime(
        args.gpus, malloc=args.malloc, compiled=args.compile, distributed=True, sync_bn=args.sync_bn,
        deterministic=args.deterministic,
    )  # fmt: skip
    args.amp = runtime.chosen_amp(args.amp)
    spec = find_data(args, runtime)
    model, seen_before = make_network(args, spec, runtime)
    mixer = make_mixer(args, model, runtime)
    train_set, val_set = make_datasets(args, model, spec)
    if not args.evaluate:
        require_enough_clips(args, model, train_set, runtime)
    numbers_of_clips = {"train clips": len(train_set), "val clips": len(val_set)}
    lr = base_rate(args, runtime)
    groups = parameter_groups(model, lr, args.wd, fc_lr5=args.fc_lr5, layer_decay=args.layer_decay)
    optimiser = make_optimiser(args.optimizer, groups, lr, args.momentum, args.optimizer_args)
    settings = TrainSettings(
        loss=F.binary_cross_entropy_with_logits if args.multi_label else F.cross_entropy,
        train_loss=weighted_loss(args, train_set, runtime), label_smoothing=args.label_smoothing,
        amp=args.amp, accumulate=args.accumulate, clip_gradient=args.gd, print_freq=args.print_freq, seed=args.seed,
        multi_label=args.multi_label,
    )  # fmt: skip
    state = TrainState(
        model,
        optimiser,
        scaler=torch.amp.GradScaler(runtime.device.type, enabled=args.amp == "fp16"),
        trained_on=describe_training(args, model, spec),
        settings={"options": vars(args), "environment": {**environment(runtime), **numbers_of_clips}},
        best=dict.fromkeys([args.best_by] if args.multi_label else ["top1", args.best_by], -1.0),
        mixer=mixer,
        average=None if args.ema is None else moving_average(model, args.ema, optimiser),
        keep_best=args.keep_best,
        seen=join_records(seen_before, {data_folder(spec.name): clip_digests(clip_ids(train_set.records))}),
    )
    if args.evaluate:
        evaluate_checkpoint(args, state, val_set, runtime, settings)
    elif args.dry_run:
        show_dry_run(args, state, train_set, val_set, runtime, settings)
    else:
        run_epochs(args, state, train_set, val_set, runtime, settings)
    runtime.close()


def base_rate(args: Namespace, runtime: Runtime) -> float:
    clips = args.batch_size * args.accumulate * runtime.world_size
    return scaled_rate(args.lr, args.scale_lr, clips, args.min_lr)


def evaluate_checkpoint(
    args: Namespace, state: TrainState, val_set: VideoDataset, runtime: Runtime, settings: TrainSettings
) -> None:
    """-e: loss and accuracy of --resume CKPT on the val list, and of its averaged weights."""
    val_list, val_clips = val_set.spec.lists["val"], list(clip_ids(val_set.records))
    record = recorded_clips(state.load(Path(args.resume)), args.resume)
    trained = find_seen(record, data_folder(val_set.spec.name), val_clips)
    networks = {args.resume: runtime.wrap(state.model)}
    for name, average in state.averages(teacher=bool(args.eval_teacher)).items():
        networks[f"the {name} of {args.resume}"] = runtime.wrap_frozen(average)
    loader = batches(args, val_set, runtime, train=False)
    for name, network in networks.items():
        val = evaluate(network, loader, runtime, settings, title="evaluate")
        logging.info("%s on %s of %s: %s", name, counted(val.videos, "video"), val_list, val.describe())
    if trained:
        logging.warning("warning: %s", describe_seen(trained, len(val_clips), val_list, args.resume))


def require_enough_clips(args: Namespace, model: VideoNet, train_set: VideoDataset, runtime: Runtime) -> None:
    """Refuse a train list that is too short for the processes, for mixing, or for BatchNorm."""
    train_list = train_set.spec.lists["train"]
    share = len(train_set) // runtime.world_size  # of each process
    if share == 0:
        both = f"{counted(len(train_set), 'clip')} for {counted(runtime.world_size, 'process')}"
        raise InputError(f"{train_list} has {both}; start at most one process per clip")
    if args.mix != "none" and share < 2:
        raise InputError(f"{train_list} has one clip for each process, but --mix needs two or more to mix")
    # The chunks in which DataParallel divides a batch.
    per_device = torch.empty(min(args.batch_size, share)).chunk(max(len(runtime.gpus), 1))
    require_enough_for_batchnorm(model, len(per_device[-1]), args.input_size)


def require_unseen_val_clips(
    args: Namespace, state: TrainState, train_set: VideoDataset, val_set: VideoDataset
) -> None:
    """Refuse a val list with training clips, of this run or of the weights that it starts from."""
    spec, clips = val_set.spec, list(clip_ids(val_set.records))
    require_unseen(
        state.seen, data_folder(spec.name), clips, spec.lists["val"], allow=args.allow_overlap,
        overlapping=overlapping(val_set.records, train_set.records),
    )  # fmt: skip


def lr_schedule(args: Namespace, runtime: Runtime) -> Callable[[float], float]:
    """The learning rate as a function of the (fractional) epoch."""
    names = ("epochs", "lr_type", "lr_steps", "warmup", "warmup_start", "min_lr")
    return partial(learning_rate, lr=base_rate(args, runtime), **{name: getattr(args, name) for name in names})


def show_dry_run(
    args: Namespace, state: TrainState, train_set: VideoDataset, val_set: VideoDataset, runtime: Runtime,
    settings: TrainSettings,
) -> None:  # fmt: skip
    """--dry_run: options, sizes, learning rates, and the time and memory of three steps."""
    logging.info("%s\n", as_toml(vars(args)))
    require_unseen_val_clips(args, state, train_set, val_set)
    describe_start(args, run_name(args, state.model, train_set.spec), train_set, val_set, runtime)
    if isinstance(args.dry_run, Path) and runtime.is_main:
        draw_learning_rate(args.dry_run, lr_schedule(args, runtime), args.epochs)
        logging.info("Wrote %s", args.dry_run)
    loader = batches(args, train_set, runtime, train=True)
    dry_run(state, loader, runtime, settings, lr_at=lr_schedule(args, runtime), epochs=args.epochs)


def run_epochs(
    args: Namespace, state: TrainState, train_set: VideoDataset, val_set: VideoDataset, runtime: Runtime,
    settings: TrainSettings,
) -> None:  # fmt: skip
    """Find or make the run's folder, resume from its checkpoint if there is one, and train to the last epoch."""
    spec = train_set.spec
    train_loader = batches(args, train_set, runtime, train=True)
    val_loader = batches(args, val_set, runtime, train=False)
    name = run_name(args, state.model, spec)
    roots = Path(args.root_model), Path(args.root_log)
    with StopRequest() as stop, claimed_run(*roots, name, args.resume, runtime) as run:
        resume_run(state, run, args.epochs, runtime)
        require_unseen_val_clips(args, state, train_set, val_set)
        if state.epoch == args.epochs:
            logging.info("Nothing left to train: %s done", counted(args.epochs, "epoch"))
        elif runtime.is_main:
            record_start(run.folder / OPTIONS, vars(args), state.epoch)
            describe_start(args, run.folder.name, train_set, val_set, runtime)
            logs = command("tensorboard", "--logdir", args.root_log)
            logging.info("Checkpoints: %s   curves: %s", run.folder, logs)
        fit_settings = FitSettings(
            epochs=args.epochs, eval_freq=args.eval_freq, lr_at=lr_schedule(args, runtime),
            folders=run, best_by=args.best_by, eval_teacher=bool(args.eval_teacher),
            draw_mixed=lambda clips: np.asarray(mixed_sheet(clips, spec.class_names)),
            save_every=steps_and_seconds(args.save_every), stop=stop,
        )  # fmt: skip
        runtime.limit_waiting()
        try:
            fit(state, train_loader, val_loader, runtime, settings, fit_settings)
        except (KeyboardInterrupt, Stopped) as end:
            kept = f"The checkpoint after {state.saved} is in {run.folder}" if state.saved else "There is no checkpoint"
            again = resume_command(sys.argv, run.to_continue(args.resume))
            logging.info("\nStopped%s. %s. To continue: %s", stop.by, kept, again)
            sys.exit(130 if isinstance(end, KeyboardInterrupt) else stop.status)
        if state.best[args.best_by] >= 0:  # a run that had already ended was not ranked by a new --best_by
            whose = "" if state.average is None else " of the averaged weights (--ema in tests)"
            best = state.best[args.best_by]
            logging.info("Best %s%s %.2f %%: %s", FIGURES[args.best_by], whose, best, run.folder / BEST)
        logging.info("run: %s", run.folder)


def run_name(args: Namespace, model: VideoNet, spec: DatasetSpec) -> str:
    variant = "-".join([args.net, *model.ablate])  # H2CN, or H2CN-shift without its shift
    parts = (variant, spec.name, args.split, args.arch, f"{args.num_segments}f", args.suffix)
    return "_".join(filter(None, parts))


def resume_run(state: TrainState, run: RunFolder, epochs: int, runtime: Runtime) -> None:
    """Continue from the run's checkpoint, if there is one; refuses one with more than `epochs` epochs."""
    state.resume_newest(run.starts, runtime)
    if not (run.folder / BEST).exists():
        state.best = dict.fromkeys(state.best, -1.0)  # a new folder, so the next evaluation is its best so far
        state.best_epochs = {}
    if state.epoch > epochs or (state.epoch == epochs and not run.has_checkpoint):
        raise InputError(
            f"--epochs {epochs}, but {run.start} has already trained for {state.epoch}; --epochs is the total of a "
            "training: raise it"
        )


def describe_start(
    args: Namespace, name: str, train_set: VideoDataset, val_set: VideoDataset, runtime: Runtime
) -> None:
    """Log the run's name, its numbers of clips, and its differences from the published run."""
    videos, val_videos = counted(len(train_set), "train video"), counted(len(val_set), "val video")
    logging.info("%s: %s, %s, %s", name, videos, val_videos, counted(train_set.spec.num_class, "class"))
    batch, clips = args.batch_size * runtime.world_size, len(train_set) * args.aug_repeats
    if clips >= batch and clips % batch:
        each_video_once = args.aug_repeats == 1 and not args.balanced_sampler
        left_out = counted(clips % batch, "train video" if each_video_once else "clip")
        logging.info("Only full batches are used: each epoch leaves out %s, chosen at random", left_out)
    differences = check_recipe(
        args.net, train_set.spec.name, mix=args.mix, lr=base_rate(args, runtime), batch=batch * args.accumulate,
        partial_bn=not args.npb, random_start=args.pretrain == "none" and not args.tune_from,
    )  # fmt: skip
    for line in differences:
        logging.info(line)


if __name__ == "__main__":
    run_script(main)
