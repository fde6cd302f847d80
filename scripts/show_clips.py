#!/usr/bin/env python
"""Draw training clips as the network sees them, after augmentation: a contact sheet and an animation.

With --mix, also mixed.png: the same clips mixed with one another, with masks, class names and their shares.
"""

import argparse
import logging
import sys
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import SEED, make_parser, number
from common.console import answer_help, run_script
from common.errors import InputError, counted, reason
from common.files import make_folder
from common.progress import track
from datasets.catalogue import BUILT_IN, DatasetSpec, resolve
from ops.choices import MIXES
from ops.models import NETS, build_model
from options.augmentation import add_augmentation_options, chosen_augmentation
from options.groups import DEFAULT_ARCH, add_data_options, add_sampling_options, data_options, train_sampling
from options.mixing import mix_names
from opts import parse_with_built_in_defaults


def show_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        __doc__, "The clips are the first ones of the epoch that train.py reads with these options and this seed."
    )
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; a wrong one lists the known ones")
    parser.add_argument(
        "--net", default="H2CN", choices=list(NETS), help="network, which sets the number of frames per segment"
    )
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
from datasets.loader import ClipLoader, make_loader
from datasets.transforms import TrainTransform
from drawing.clips import ShownClip, animation, contact_sheet, save_animation
from drawing.mixed_clips import mixed_sheet
from ops.mixing.mixer import MixedExample, Mixer, mix_method
from ops.mixing.svmix import SvMixSettings
from ops.network import VideoNet
from ops.runtime import Runtime
from ops.weights.checkpoint import Weights

LINE_EVERY = 20  # clips or pictures per line of progress


def epoch_loader(dataset: VideoDataset, batch_size: int, *, epoch: int, seed: int, workers: int) -> ClipLoader:
    """The clips of an epoch in the order in which training reads them."""
    loader = make_loader(dataset, batch_size=batch_size, workers=workers, shuffle=True, seed=seed)
    loader.sampler.set_epoch(epoch)
    return loader


def shown_clips(dataset: VideoDataset, loader: ClipLoader, epoch: int, count: int) -> list[ShownClip]:
    """The first clips of an epoch, with the facts for their captions."""
    names = dataset.spec.class_names
    clips = []
    for batch in track(islice(loader, count), count, "reading clips", LINE_EVERY):
        index = int(batch.index)
        reader, sampled = dataset.sample(epoch, index)
        mirrored = isinstance(sampled.transform, TrainTransform) and sampled.transform.flip
        clips.append(
            ShownClip(
                frames=batch.clip[0].numpy(),
                numbers=sampled.indices,
                video_id=batch.video_ids[0],
                num_frames=reader.num_frames,
                class_name="; ".join(names[label] for label in dataset.records[index].labels),
                mirrored_name="; ".join(names[label] for label in sampled.labels) if mirrored else None,
            )
        )
        for name in batch.replaced:
            logging.warning("%s cannot be read: the nearest readable frame is shown", name)
    return clips


def trained_selector(weights: str, spec: DatasetSpec, net: str, num_segments: int) -> tuple[VideoNet, dict[str, Any]]:
    """The network of a checkpoint of train.py --mix svmix, and the state of its mixing; refuses other checkpoints."""
    checkpoint = Weights.read(weights)
    state = checkpoint.content.get("mixing", {})
    if "selector" not in state:
        raise InputError(f"{weights} has no selector; give a checkpoint of train.py --mix svmix")
    model = checkpoint.build(list(spec.class_names), dataset=spec.name, net=net, num_segments=num_segments)
    return model, state


def mixed_clips(
    spec: DatasetSpec, loader: ClipLoader, epoch: int, *, mix: str, weights: str | None, net: str, num_segments: int,
    input_size: int, seed: int, count: int,
) -> list[MixedExample]:  # fmt: skip
    """The clips of the loader's first batch, mixed with one another."""
    torch.manual_seed(seed)
    state: dict[str, Any] = {}
    if weights:
        model, state = trained_selector(weights, spec, net, num_segments)
    else:
        model = build_model(net, DEFAULT_ARCH, spec.num_class, num_segments)
    runtime = Runtime(torch.device("cpu"))
    method = mix_method(mix, runtime.place(model), input_size, runtime, SvMixSettings())
    if state:
        method.load_state_dict(state, optimiser=False)
    logging.info("Mixing %d clips", count)
    mixer = Mixer(method, seed=seed, num_examples=count)
    batch = next(iter(loader))
    mixer.mix(model, batch.clip.movedim(-1, -3), batch.label, epoch, 0)
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
    folder = make_folder(Path(args.output_dir), "--output_dir")
    sheet, animated, mixed_sheet_file = (folder / name for name in ("clips.png", "clips.gif", "mixed.png"))
    loader_of = partial(epoch_loader, dataset, epoch=args.epoch, seed=args.seed, workers=args.workers)
    mixed = []
    if args.mix != "none":
        mixed = mixed_clips(
            spec, loader_of(args.clips), args.epoch, mix=args.mix, weights=args.weights, net=args.net,
            num_segments=args.num_segments, input_size=args.input_size, seed=args.seed, count=args.clips,
        )  # fmt: skip
    clips = shown_clips(dataset, loader_of(1), args.epoch, min(args.clips, len(dataset)))
    try:
        contact_sheet(clips, all_frames=args.all_frames).save(sheet)
        pictures = track(animation(clips), clips[0].numbers.size, f"drawing pictures of {animated.name}", LINE_EVERY)
        save_animation(pictures, animated)
        if mixed:
            mixed_sheet(mixed, spec.class_names).save(mixed_sheet_file)
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {reason(error)}; choose another folder with --output_dir"
        ) from error
    logging.info("%s of %s: %s and %s", counted(len(clips), "clip"), spec.lists["train"], sheet, animated)
    if mixed:
        new = "" if args.weights or args.mix != "svmix" else " by a new selector, as at the start of training"
        logging.info("mixed%s: %s", new, mixed_sheet_file)


if __name__ == "__main__":
    run_script(main)
