"""The parts of a training, made from the options of train.py: data, network, mixing, clips and batches."""

import logging
from argparse import Namespace
from dataclasses import replace
from functools import partial

import torch

from common.files import file_hash
from datasets.catalogue import DatasetSpec, resolve
from datasets.clip_dataset import VideoDataset, train_dataset, val_dataset
from datasets.loader import ClipLoader, make_loader
from datasets.mirrored_labels import mirrored_labels
from datasets.preparing.checks import require_good
from datasets.preprocessing import eval_preprocessing
from ops.freezing import freeze, freeze_partial_bn
from ops.mixing.methods import Loss
from ops.mixing.mixer import Mixer, mix_method
from ops.mixing.svmix import SvMixSettings
from ops.models import build_model
from ops.network import VideoNet, require_finite_tensors
from ops.recompute import recompute_blocks
from ops.runtime import Runtime
from ops.training.class_weights import class_weights, weighted_cross_entropy
from ops.training.seen_clips import SeenClips, recorded_clips
from ops.weights.checkpoint import TrainedOn
from ops.weights.file import read_checkpoint
from ops.weights.load import load_pretrained, load_weights
from options.augmentation import chosen_augmentation
from options.groups import data_options, train_sampling


def find_data(args: Namespace, runtime: Runtime) -> DatasetSpec:
    with runtime.main_first():  # the built-in data set is made on first use
        spec = resolve(args.dataset, **data_options(args), need=("train", "val"))
    spec = replace(spec, multi_label=args.multi_label)
    if args.check_data and runtime.is_main:
        require_good(spec)
    return spec


def make_network(args: Namespace, spec: DatasetSpec, runtime: Runtime) -> tuple[VideoNet, SeenClips]:
    """The network on its device with its initial weights, and the clips that these were trained on."""
    torch.manual_seed(args.seed)
    options = {name: getattr(args, name) for name in ("dropout", "consensus_type", "ablate", "hourglass_start")}
    model = build_model(args.net, args.arch, spec.num_class, args.num_segments, **options)
    with runtime.main_first():  # one process downloads
        if args.pretrain != "none":
            logging.info("--pretrain %s: %s", args.pretrain, load_pretrained(model, args.pretrain))
    seen_before: SeenClips = {}
    if args.tune_from:
        start = read_checkpoint(args.tune_from)
        seen_before = recorded_clips(start, args.tune_from)
        report = load_weights(model, start, new_classifier=True, class_names=spec.class_names, where=args.tune_from)
        logging.info("%s: %s", args.tune_from, report)
    require_finite_tensors(model.state_dict(), args.tune_from or f"--pretrain {args.pretrain}")
    if not args.npb:
        freeze_partial_bn(model)
    if args.drop_path is not None:
        model.set_drop_path(args.drop_path)
    freeze(model, args.freeze, linear_probe=args.linear_probe)
    starts_at_random = args.pretrain == "none" and not args.tune_from and args.resume in (None, "auto")
    if starts_at_random and (args.freeze or args.linear_probe):
        logging.warning("warning: the frozen modules keep their random weights; give --tune_from or --pretrain")
    if args.checkpoint_activations:
        recompute_blocks(model)
    return runtime.place(model), seen_before


def make_mixer(args: Namespace, model: VideoNet, runtime: Runtime) -> Mixer | None:
    if args.mix == "none":
        return None
    settings = SvMixSettings(
        selector_lr=args.selector_lr, network_lr=args.lr, switch_prob=args.mix_switch_prob,
        teacher_decay=args.teacher_decay, alphas=args.mix_alpha, amp=args.amp,
    )  # fmt: skip
    method = mix_method(args.mix, model, args.input_size, runtime, settings)
    random = {"prob": args.mix_prob, "seed": args.seed, "rank": runtime.rank}
    epochs = args.epochs - args.mix_off_epochs
    return Mixer(method, **random, epochs=epochs, num_examples=args.log_images)


def make_datasets(args: Namespace, model: VideoNet, spec: DatasetSpec) -> tuple[VideoDataset, VideoDataset]:
    """Clips of the train list and of the val list."""
    clips = {"num_segments": args.num_segments, "frames_per_segment": model.frames_per_segment}
    clips |= {"input_size": args.input_size, "decoder": args.decoder, **train_sampling(args)}
    augmentation = chosen_augmentation(args)
    train_set = train_dataset(spec, **clips, seed=args.seed, flip=not args.no_flip, augmentation=augmentation)
    return train_set, val_dataset(spec, **clips)


def batches(args: Namespace, dataset: VideoDataset, runtime: Runtime, *, train: bool) -> ClipLoader:
    """For training shuffled and always full, otherwise in the order of the list."""
    return make_loader(
        dataset, batch_size=args.batch_size, workers=args.workers, shuffle=train, seed=args.seed, drop_last=train,
        rank=runtime.rank, world_size=runtime.world_size, pin_memory=runtime.device.type == "cuda",
        repeats=args.aug_repeats if train else 1,
        balanced=dataset.records.labels if train and args.balanced_sampler else None,
    )  # fmt: skip


def weighted_loss(args: Namespace, train_set: VideoDataset, runtime: Runtime) -> Loss | None:
    """The training loss with --class_weights; the weights are on the run's device."""
    if args.class_weights == "none":
        return None
    records, names = train_set.records, train_set.spec.class_names
    mirrored = None if args.no_flip else mirrored_labels(names)
    weights = class_weights(args.class_weights, records.labels, len(names), mirrored)
    return partial(weighted_cross_entropy, weights=weights.to(runtime.device))


def describe_training(args: Namespace, model: VideoNet, spec: DatasetSpec) -> TrainedOn:
    """Stored in the checkpoint and checked on loading."""
    return TrainedOn(
        net=model.net,
        arch=model.arch,
        ablate=list(model.ablate),
        num_segments=model.num_segments,
        dataset=spec.name,
        class_names=list(spec.class_names),
        input_size=args.input_size,
        preprocessing=eval_preprocessing(args.input_size).describe(),
        train_list_hash=file_hash(spec.lists["train"]),
        val_list_hash=file_hash(spec.lists["val"]),
        multi_label=args.multi_label,
        **train_sampling(args),
    )
