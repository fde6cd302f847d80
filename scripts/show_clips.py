#!/usr/bin/env python
"""Draw training clips as the network sees them, after augmentation: a contact sheet and an animation.

With --mix, also mixed.png: the same clips mixed with one another, with masks, class names and their shares.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import SEED, make_parser, number
from common.console import answer_help, run_script
from common.errors import InputError, counted
from common.files import all_or_nothing
from common.progress import track
from datasets.catalogue import BUILT_IN, DatasetSpec, resolve
from ops.choices import MIXES
from ops.models import NETS, build_model
from options.augmentation import add_augmentation_options, chosen_augmentation, mix_names
from options.groups import DEFAULT_ARCH, add_data_options, add_sampling_options, data_options, train_sampling
from opts import parse_with_built_in_defaults


def show_parser() -> argparse.ArgumentParser:
    text = "The clips are the first ones of the epoch that train.py reads with these options and this seed."
    parser = make_parser(__doc__, text)
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; a wrong one lists the known ones")
    text = "network, which sets the number of frames per segment"
    parser.add_argument("--net", default="H2CN", choices=list(NETS), help=text)
    parser.add_argument("--num_segments", type=number(int, 1), default=8, help="segments per clip, T")
    parser.add_argument("--clips", type=number(int, 1, 100), default=8, help="clips to draw")
    parser.add_argument("--all_frames", action="store_true", help="draw all frames of a segment, not its key frame")
    parser.add_argument("--epoch", type=SEED, default=0, help="epoch, from 0: each has new random clips")
    parser.add_argument("--seed", type=SEED, default=0, help="seed of order, sampling, crops and flips")
    text = "also draw the clips mixed by this method, or by one of several (mixup,cutmix)"
    parser.add_argument("--mix", type=mix_names, default="none", metavar="{" + ",".join(MIXES) + "}", help=text)
    text = "svmix: a checkpoint of train.py --mix svmix; without it the selector is new, as at the start of training"
    parser.add_argument("--weights", metavar="CKPT", help=text)
    parser.add_argument("--output_dir", default="runs/clips", metavar="DIR", help="folder for clips.png and clips.gif")
    add_data_options(parser, ("train",))
    add_sampling_options(parser)
    add_augmentation_options(parser)
    return parser


if __name__ == "__main__":
    answer_help(show_parser())  # before torch is loaded

import torch

from datasets.clip_dataset import VideoDataset, train_dataset
from datasets.loader import Batch, make_loader
from datasets.transforms import TrainTransform
from drawing.clips import ShownClip, animation, contact_sheet, mixed_sheet, save_animation
from ops.mixing.mixer import MixedExample, Mixer, mix_method
from ops.mixing.svmix import SvMixSettings
from ops.runtime import Runtime
from ops.weights.checkpoint import Weights

LINE_EVERY = 20  # clips or pictures per line of progress


def first_clips(args: argparse.Namespace, dataset: VideoDataset) -> list[Batch]:
    """The first clips of an epoch in the order in which training reads them, each a batch of its own."""
    loader = make_loader(dataset, batch_size=1, workers=args.workers, shuffle=True, seed=args.seed)
    loader.sampler.set_epoch(args.epoch)
    count = min(args.clips, len(dataset))
    return list(track(islice(loader, count), count, "reading clips", LINE_EVERY))


def shown_clip(dataset: VideoDataset, batch: Batch, epoch: int) -> ShownClip:
    """The only clip of a batch, with the facts for its captions."""
    names, index = dataset.spec.class_names, int(batch.index)
    reader, sampled = dataset.sample(epoch, index)
    mirrored = isinstance(sampled.transform, TrainTransform) and sampled.transform.flip
    for name in batch.replaced:
        logging.warning("%s cannot be read: the nearest readable frame is shown", name)
    return ShownClip(
        frames=batch.clip[0].numpy(),
        numbers=sampled.indices,
        video_id=batch.video_ids[0],
        num_frames=reader.num_frames,
        class_name="; ".join(names[label] for label in dataset.records[index].labels),
        mirrored_name="; ".join(names[label] for label in sampled.labels) if mirrored else None,
    )


def mixed_clips(args: argparse.Namespace, spec: DatasetSpec, batches: Sequence[Batch]) -> list[MixedExample]:
    """The clips mixed with one another."""
    torch.manual_seed(args.seed)
    state: dict[str, Any] = {}
    if args.weights:
        checkpoint = Weights.read(args.weights)
        state = checkpoint.content.get("mixing", {})
        if "selector" not in state:
            raise InputError(f"{args.weights} has no selector; give a checkpoint of train.py --mix svmix")
        names = list(spec.class_names)
        model = checkpoint.build(names, dataset=spec.name, net=args.net, num_segments=args.num_segments)
    else:
        model = build_model(args.net, DEFAULT_ARCH, spec.num_class, args.num_segments)
    runtime = Runtime(torch.device("cpu"))
    method = mix_method(args.mix, runtime.place(model), args.input_size, runtime, SvMixSettings())
    if state:
        method.load_state_dict(state, optimiser=False)
    logging.info("Mixing %d clips", len(batches))
    mixer = Mixer(method, seed=args.seed, num_examples=len(batches))
    clips, labels = (torch.cat(tensors) for tensors in zip(*((b.clip, b.label) for b in batches), strict=True))
    mixer.mix(model, clips.movedim(-1, -3), labels, args.epoch, 0)
    return mixer.examples


def main(argv: list[str] | None = None) -> None:
    args = parse_with_built_in_defaults(show_parser(), argv)
    spec = resolve(args.dataset, **data_options(args), need=("train",))
    spec = replace(spec, multi_label=True)  # shows all labels of a line, be it one
    dataset = train_dataset(
        spec, num_segments=args.num_segments, frames_per_segment=NETS[args.net].frames_per_segment,
        input_size=args.input_size, seed=args.seed, flip=not args.no_flip, augmentation=chosen_augmentation(args),
        **train_sampling(args),
    )  # fmt: skip
    if args.weights and args.mix != "svmix":
        raise InputError("--weights needs --mix svmix: the other methods use no network")
    batches = first_clips(args, dataset)
    clips = [shown_clip(dataset, batch, args.epoch) for batch in batches]
    mixed = [] if args.mix == "none" else mixed_clips(args, spec, batches)
    folder = Path(args.output_dir)
    with all_or_nothing(folder, "--output_dir") as scratch:
        contact_sheet(clips, all_frames=args.all_frames).save(scratch / "clips.png")
        pictures = track(animation(clips), clips[0].numbers.size, "drawing pictures of clips.gif", LINE_EVERY)
        save_animation(pictures, scratch / "clips.gif")
        if mixed:
            mixed_sheet(mixed, spec.class_names).save(scratch / "mixed.png")
    files = f"{folder / 'clips.png'} and {folder / 'clips.gif'}"
    logging.info("%s of %s: %s", counted(len(clips), "clip"), spec.lists["train"], files)
    if mixed:
        new = "" if args.weights or args.mix != "svmix" else " by a new selector, as at the start of training"
        logging.info("mixed%s: %s", new, folder / "mixed.png")


if __name__ == "__main__":
    run_script(main)
