#!/usr/bin/env python
"""Draw training clips as the network is given them, after augmentation: a contact sheet and an animation.

With --mix, also mixed.png: the same clips mixed with one another, with masks, class names and their shares.
"""

import argparse
import logging
import sys
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

import torch

from common.cli import SEED, make_parser, number
from common.console import run_script
from common.errors import InputError, counted, reason
from common.files import make_folder
from common.option_groups import DEFAULT_ARCH, add_augmentation_options, add_data_options
from common.progress import track
from datasets.catalogue import BUILT_IN, DatasetSpec, resolve
from datasets.clip_dataset import VideoDataset, train_dataset
from datasets.loader import make_loader
from datasets.transforms import TrainTransform
from drawing.clips import ShownClip, animation, contact_sheet, save_animation
from drawing.mixed_clips import mixed_sheet
from ops.mixing.methods import MIXES
from ops.mixing.mixer import MixedExample, Mixer, mix_method
from ops.mixing.svmix import SvMixSettings
from ops.models import NETS, build_model, frames_per_segment
from ops.network import VideoNet
from ops.runtime import Runtime
from ops.weights.checkpoint_network import Weights
from opts import data_options, parse_with_built_in_defaults

LINE_EVERY = 20  # clips or pictures, of progress


def show_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        __doc__, "The clips are the first ones of the epoch that train.py with these options and seed reads."
    )
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; a wrong one lists the known ones")
    parser.add_argument(
        "--net", default="H2CN", choices=list(NETS), help="network: it says how many frames a segment has"
    )
    parser.add_argument("--num_segments", type=number(int, 1), default=8, help="segments a clip, T")
    parser.add_argument("--clips", type=number(int, 1, 100), default=8, help="clips to draw")
    parser.add_argument("--all_frames", action="store_true", help="all frames of a segment, not its key frame alone")
    parser.add_argument("--epoch", type=SEED, default=0, help="of which epoch, from 0: each draws anew")
    parser.add_argument("--seed", type=SEED, default=0, help="of order, sampling, crops and flips")
    parser.add_argument("--mix", choices=MIXES, default="none", help="draw the clips mixed by this method, too")
    text = "svmix: a checkpoint of train.py --mix svmix; without it the selector is new, as at the start of a training"
    parser.add_argument("--weights", metavar="CKPT", help=text)
    parser.add_argument("--output_dir", default="runs/clips", metavar="DIR", help="for clips.png and clips.gif")
    add_data_options(parser, ("train",))
    add_augmentation_options(parser)
    return parser


def shown_clips(dataset: VideoDataset, epoch: int, number_of_clips: int, seed: int, workers: int) -> list[ShownClip]:
    """The first clips of an epoch, in the order in which training reads them."""
    loader = make_loader(dataset, batch_size=1, workers=workers, shuffle=True, seed=seed)
    loader.sampler.set_epoch(epoch)
    names = dataset.spec.class_names
    clips = []
    first = min(number_of_clips, len(dataset))
    for batch in track(islice(loader, first), first, "reading clips", LINE_EVERY):
        index = int(batch.index)
        reader, sampled = dataset.sample(epoch, index)
        mirrored = isinstance(sampled.transform, TrainTransform) and sampled.transform.flip
        clips.append(
            ShownClip(
                frames=batch.clip[0].numpy(),
                numbers=sampled.indices,
                video_id=batch.video_ids[0],
                num_frames=reader.num_frames,
                class_name=names[dataset.records[index].label],
                mirrored_name=names[int(batch.label)] if mirrored else None,
            )
        )
        for name in batch.replaced:
            logging.warning("%s cannot be read: the nearest readable frame is shown", name)
    return clips


def network_of(weights: str, spec: DatasetSpec, net: str, num_segments: int) -> tuple[VideoNet, dict[str, Any]]:
    """The network of a checkpoint of train.py --mix svmix, and what its mixing has learnt.

    Raises:
        InputError: it was trained without, or for something else.
    """
    checkpoint = Weights.read(weights)
    learnt = checkpoint.content.get("mixing", {})
    if "selector" not in learnt:
        raise InputError(f"{weights} holds no selector; give a checkpoint of train.py --mix svmix")
    model = checkpoint.build(list(spec.class_names), net=net, arch=None, num_segments=num_segments, dataset=spec.name)
    return model, learnt


def mixed_clips(dataset: VideoDataset, model: VideoNet, mixer: Mixer, epoch: int, workers: int) -> list[MixedExample]:
    """The first clips of an epoch as one batch, as many as the mixer shows, mixed with one another."""
    number, seed = mixer.num_examples, mixer.seed
    loader = make_loader(dataset, batch_size=number, workers=workers, shuffle=True, seed=seed)
    loader.sampler.set_epoch(epoch)
    batch = next(iter(loader))
    mixer.mix(model, batch.clip.movedim(-1, -3), batch.label, epoch, 0)
    return mixer.examples


def main(argv: list[str] | None = None) -> None:
    args = parse_with_built_in_defaults(show_parser(), argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    spec = resolve(args.dataset, **data_options(args), need=("train",))
    dataset = train_dataset(
        spec, num_segments=args.num_segments, frames_per_segment=frames_per_segment(args.net),
        input_size=args.input_size, seed=args.seed, flip=not args.no_flip,
    )  # fmt: skip
    if args.weights and args.mix != "svmix":
        raise InputError("--weights belongs to --mix svmix: the other methods ask no network")
    folder = make_folder(Path(args.output_dir), "--output_dir")
    mixed = []
    if args.mix != "none":
        torch.manual_seed(args.seed)
        learnt: dict[str, Any] = {}
        if args.weights:
            model, learnt = network_of(args.weights, spec, args.net, args.num_segments)
        else:
            model = build_model(args.net, DEFAULT_ARCH, spec.num_class, args.num_segments)
        runtime = Runtime(torch.device("cpu"))
        method = mix_method(args.mix, runtime.place(model), args.input_size, runtime, SvMixSettings())
        if learnt:
            method.load_state_dict(learnt, optimiser=False)
        logging.info("Mixing %d clips", args.clips)
        mixer = Mixer(method, spec.num_class, seed=args.seed, num_examples=args.clips)
        mixed = mixed_clips(dataset, model, mixer, args.epoch, args.workers)
    clips = shown_clips(dataset, args.epoch, args.clips, args.seed, args.workers)
    try:
        contact_sheet(clips, all_frames=args.all_frames).save(folder / "clips.png")
        pictures = track(animation(clips), clips[0].numbers.size, "drawing pictures of clips.gif", LINE_EVERY)
        save_animation(pictures, folder / "clips.gif")
        if mixed:
            mixed_sheet(mixed, spec.class_names).save(folder / "mixed.png")
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {reason(error)}; choose another folder with --output_dir"
        ) from error
    logging.info(
        "%s of %s: %s and %s",
        counted(len(clips), "clip"),
        spec.lists["train"],
        folder / "clips.png",
        folder / "clips.gif",
    )
    if mixed:
        new = "" if args.weights or args.mix != "svmix" else " by a new selector: what a training starts from"
        logging.info("mixed%s: %s", new, folder / "mixed.png")


if __name__ == "__main__":
    run_script(main)
