#!/usr/bin/env python
"""Train a video network: options -> data -> model -> optimiser -> resume -> epochs."""

import logging
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch

from common.console import run_script, take_sigterm_as_ctrl_c
from common.errors import InputError, command, counted
from common.mixing_options import svmix_options
from datasets.catalogue import folder_and_lists, resolve
from datasets.clip_dataset import train_dataset, val_dataset
from datasets.lists import clip_ids, list_hash
from datasets.loader import make_loader
from datasets.preparing.checks import require_good
from datasets.transforms import eval_preprocessing
from drawing.mixed_clips import mixed_sheet
from ops.mixing.mixer import Mixer, mix_method
from ops.mixing.svmix import SvMixSettings
from ops.models import build_model
from ops.network import require_finite_tensors
from ops.optimiser import freeze_partial_bn, make_optimiser, parameter_groups, require_batch
from ops.runtime import start_runtime
from ops.schedule import learning_rate
from ops.training.engine import TrainSettings, evaluate
from ops.training.fit import FitSettings, fit
from ops.training.recipes import check_recipe
from ops.training.run_folder import BEST, claimed_run
from ops.training.run_history import environment, record_start
from ops.training.run_log import OPTIONS
from ops.training.seen_clips import SeenClips, clip_digests, describe_seen, joined, require_unseen, seen, seen_clips
from ops.training.state import TrainState
from ops.weights.file import read_checkpoint
from ops.weights.load import load_weights
from ops.weights.pretrained import load_pretrained
from ops.weights.trained_on import TrainedOn
from opts import data_options, parse_train, resume_command


def main(argv: list[str] | None = None) -> None:
    args = parse_train(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    runtime = start_runtime(args.gpus, malloc=args.malloc, compiled=args.compile, distributed=True)

    # data
    with runtime.main_first():  # the built-in data set is made on first use
        spec = resolve(args.dataset, **data_options(args), need=("train", "val"))
    if args.check_data and runtime.is_main:
        require_good(spec)

    # model
    torch.manual_seed(args.seed)
    names = ("dropout", "consensus_type", "ablate", "hourglass_start")
    options = {name: getattr(args, name) for name in names}
    model = build_model(args.net, args.arch, spec.num_class, args.num_segments, **options)
    with runtime.main_first():  # one process downloads
        if args.pretrain != "none":
            logging.info("--pretrain %s: %s", args.pretrain, load_pretrained(model, args.pretrain))
    seen_before: SeenClips = {}
    if args.tune_from:
        start = read_checkpoint(args.tune_from)
        seen_before = seen_clips(start, args.tune_from)
        report = load_weights(model, start, new_classifier=True, class_names=spec.class_names, where=args.tune_from)
        logging.info("%s: %s", args.tune_from, report)
    require_finite_tensors(model.state_dict(), args.tune_from or f"--pretrain {args.pretrain}")
    if not args.npb:
        freeze_partial_bn(model)
    model = runtime.place(model)

    # mixing
    mixer = None
    if args.mix != "none":
        method = mix_method(args.mix, model, args.input_size, runtime, SvMixSettings(**svmix_options(args)))
        draws = {"prob": args.mix_prob, "seed": args.seed, "rank": runtime.rank, "num_examples": args.log_images}
        mixer = Mixer(method, spec.num_class, **draws)

    # loaders
    clips = {
        "num_segments": args.num_segments, "frames_per_segment": model.frames_per_segment,
        "input_size": args.input_size, "decoder": args.decoder,
    }  # fmt: skip
    train_set = train_dataset(spec, **clips, seed=args.seed, flip=not args.no_flip)
    val_set = val_dataset(spec, **clips)
    loader = partial(
        make_loader, batch_size=args.batch_size, workers=args.workers, seed=args.seed,
        rank=runtime.rank, world_size=runtime.world_size, pin_memory=runtime.device.type == "cuda",
    )  # fmt: skip
    train_loader, val_loader = loader(train_set, shuffle=True, drop_last=True), loader(val_set, shuffle=False)

    # optimiser
    groups = parameter_groups(model, args.lr, args.wd, fc_lr5=args.fc_lr5)
    optimiser = make_optimiser(args.optimizer, groups, args.lr, args.momentum)
    scaler = torch.amp.GradScaler(runtime.device.type, enabled=args.amp == "fp16")
    rate = {"lr": args.lr, "lr_type": args.lr_type, "lr_steps": args.lr_steps, "warmup": args.warmup}
    step_settings = TrainSettings(
        amp=args.amp, accumulate=args.accumulate, clip_gradient=args.gd, label_smoothing=args.label_smoothing,
        partial_bn=not args.npb, print_freq=args.print_freq, seed=args.seed,
    )  # fmt: skip

    # resume
    trained_on = TrainedOn(
        net=model.net, arch=model.arch, ablate=list(model.ablate), num_segments=model.num_segments, dataset=spec.name,
        class_names=list(spec.class_names), input_size=args.input_size,
        preprocessing=eval_preprocessing(args.input_size).describe(),
        train_list_hash=list_hash(spec.lists["train"]), val_list_hash=list_hash(spec.lists["val"]),
    )  # fmt: skip
    settings = {"options": vars(args), "environment": environment(runtime)}
    data_folder = folder_and_lists(spec.name)[0]
    seen_here = joined(seen_before, {data_folder: clip_digests(clip_ids(train_set.records))})
    state = TrainState(model, optimiser, scaler, trained_on, settings, mixer=mixer, seen=seen_here)
    val_clips = clip_ids(val_set.records)
    if args.evaluate:
        trained = seen(seen_clips(state.load(Path(args.resume)), args.resume), data_folder, val_clips)
        networks = {args.resume: runtime.wrap(model)}
        if args.eval_teacher:
            networks[f"the teacher of {args.resume}"] = runtime.wrap_frozen(method.teacher)
        for name, network in networks.items():
            val = evaluate(network, val_loader, runtime, amp=args.amp, title="evaluate", print_freq=args.print_freq)
            logging.info("%s on %s of %s: %s", name, counted(val.videos, "video"), spec.lists["val"], val.describe())
        if trained:
            logging.warning("warning: %s", describe_seen(trained, len(val_clips), spec.lists["val"], args.resume))
        runtime.close()
        return

    # epochs
    share = len(train_set) // runtime.world_size  # clips of each process
    if share == 0:
        both = f"{counted(len(train_set), 'clip')} for {counted(runtime.world_size, 'process')}"
        raise InputError(f"{spec.lists['train']} has {both}; start at most one process per clip")
    if mixer is not None and share < 2:
        raise InputError(f"{spec.lists['train']} has one clip for each process; --mix mixes 2 or more with one another")
    of_devices = torch.empty(min(args.batch_size, share)).chunk(max(len(runtime.gpus), 1))
    require_batch(model, len(of_devices[-1]), args.input_size, partial_bn=not args.npb)
    batch = args.batch_size * args.accumulate * runtime.world_size
    recipe = {"mix": args.mix, "lr": args.lr, "batch": batch, "partial_bn": not args.npb}
    recipe["random_start"] = args.pretrain == "none" and not args.tune_from
    variant = "-".join([args.net, *model.ablate])  # H2CN, or H2CN-shift without its shift
    name = "_".join(filter(None, [variant, spec.name, args.split, args.arch, f"{args.num_segments}f", args.suffix]))
    with claimed_run(Path(args.root_model), Path(args.root_log), name, args.resume, runtime) as run:
        if run.start is not None:
            state.resume(run.start)
        if not (run.folder / BEST).exists():
            state.best_top1 = -1.0  # a resumed run in a folder of its own keeps its own best
        if state.epoch > args.epochs or (state.epoch == args.epochs and not run.has_checkpoint):
            raise InputError(
                f"--epochs {args.epochs}, but {run.start} has trained for {state.epoch}; --epochs counts from "
                "the start of the training: give more"
            )
        require_unseen(state.seen, data_folder, val_clips, spec.lists["val"], allow=args.allow_overlap)
        if state.epoch == args.epochs:
            logging.info("%s done: nothing to train.", counted(args.epochs, "epoch"))
        elif runtime.is_main:
            record_start(run.folder / OPTIONS, vars(args), state.epoch)
            logging.info("%s: %d train and %s, %s", run.folder.name, len(train_set),
                         counted(len(val_set), "val video"), counted(spec.num_class, "class"))  # fmt: skip
            left_over = len(train_set) - len(train_loader) * args.batch_size * runtime.world_size
            if left_over > 0:
                logging.info(
                    "Only whole batches are used: each epoch leaves out %s, not always the same",
                    counted(left_over, "train video"),
                )
            for line in check_recipe(args.net, spec.name, **recipe):
                logging.info(line)
            curves = command("tensorboard", "--logdir", args.root_log)
            logging.info("Checkpoints: %s   curves: %s", run.folder, curves)
        run_settings = FitSettings(
            epochs=args.epochs, eval_freq=args.eval_freq, lr_at=partial(learning_rate, epochs=args.epochs, **rate),
            folders=run, eval_teacher=bool(args.eval_teacher),
            draw_mixed=lambda clips: np.asarray(mixed_sheet(clips, spec.class_names)),
        )  # fmt: skip
        take_sigterm_as_ctrl_c()
        try:
            fit(state, train_loader, val_loader, runtime, step_settings, run_settings)
        except KeyboardInterrupt:
            kept = f"The checkpoint of epoch {state.epoch} is in {run.folder}"
            if not run.has_checkpoint:
                kept = "No epoch was finished"
            again = resume_command(sys.argv, run.to_continue(args.resume))
            logging.info("\nStopped. %s. To go on: %s", kept, again)
            sys.exit(130)
        logging.info("Best top-1 %.2f %%: %s", state.best_top1, run.folder / BEST)
        logging.info("run: %s", run.folder)
    runtime.close()


if __name__ == "__main__":
    run_script(main)
