#!/usr/bin/env python
"""Draw training clips as the network is given them, after augmentation: a contact sheet and an animation."""

import argparse
import logging
import sys
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from datasets.catalogue import BUILT_IN, resolve
from datasets.clip_pictures import ShownClip, animation, contact_sheet, save_animation
from datasets.loader import make_loader
from datasets.video_dataset import VideoDataset, train_dataset
from errors import InputError, run_script
from ops.models import NETS, frames_per_segment
from ops.run_log import make_folder
from opts import data_options, parse_with_built_in_defaults
from opts_groups import add_augmentation_options, add_data_options
from opts_types import make_parser, number


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
    parser.add_argument("--epoch", type=number(int, 0), default=0, help="of which epoch, from 0: each draws anew")
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of order, sampling, crops and flips")
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
    for batch in islice(loader, number_of_clips):
        index = int(batch.index)
        reader, draw = dataset.draw(epoch, index)
        clips.append(
            ShownClip(
                frames=batch.clip[0, 0].permute(0, 1, 3, 4, 2).numpy(),
                numbers=draw.indices,
                video_id=batch.video_ids[0],
                num_frames=reader.num_frames,
                class_name=names[dataset.records[index].label],
                mirrored_name=names[int(batch.label)] if draw.transform.flip else None,
            )
        )
        for name in batch.replaced:
            logging.warning("%s cannot be read: the nearest readable frame is shown", name)
    return clips


def main(argv: list[str] | None = None) -> None:
    args = parse_with_built_in_defaults(show_parser(), argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    spec = resolve(args.dataset, **data_options(args), need=("train",))
    dataset = train_dataset(
        spec, num_segments=args.num_segments, frames_per_segment=frames_per_segment(args.net),
        input_size=args.input_size, seed=args.seed, flip=not args.no_flip,
    )  # fmt: skip
    folder = make_folder(Path(args.output_dir), "--output_dir")
    clips = shown_clips(dataset, args.epoch, args.clips, args.seed, args.workers)
    try:
        contact_sheet(clips, all_frames=args.all_frames).save(folder / "clips.png")
        save_animation(animation(clips), folder / "clips.gif")
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error}; choose another folder with --output_dir") from error
    logging.info(
        "%d clips of %s: %s and %s", len(clips), spec.lists["train"], folder / "clips.png", folder / "clips.gif"
    )


if __name__ == "__main__":
    run_script(main)
