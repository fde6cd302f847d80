"""Options of the two test scripts: views, and the files of their scores."""

import argparse

from common.cli import MOST_CLIPS, SEED, clip_numbers, number, shard
from common.errors import InputError
from datasets.sampling import FRAME_ORDERS, TEST_SAMPLINGS
from ops.choices import DTYPES
from options import groups


def add_view_options(parser: argparse.ArgumentParser, crops: int) -> None:
    add = parser.add_argument_group("views").add_argument
    add("--test_crops", type=int, choices=[crops], default=crops, help="crops per frame, fixed for this script")
    if crops == 1:
        add("--full_res", action="store_true", help="short side to 256, centre 256, instead of 224")
    else:
        add("--full_res", action=argparse.BooleanOptionalAction, default=True, help="crops of 256, otherwise of 224")
    add("--clip_index", type=clip_numbers, default="0", help="clips to score: 0, 0-9 or 0,3,5")
    text = "resize frames to this short side, or this height and width, before the crops"
    add("--resize", type=groups.COUNT, nargs="+", metavar="PIXELS", help=text)
    text = (
        "places of the segments. In each of T equal parts of the video: centre; random; even: at I/NUM_CLIPS of the "
        "part in clip I. dense: --frame_stride apart, NUM_CLIPS clips from the start to the end of the video, or one "
        "in its middle. auto: dense after dense training, otherwise random for Kinetics or clips above 0, and centre "
        "for the rest"
    )
    add("--sampling", choices=TEST_SAMPLINGS, default="auto", help=text)
    text = "even, dense: clips per video; default: the highest of --clip_index plus 1"
    add("--num_clips", type=number(int, 1, MOST_CLIPS), help=text)
    text = "order of the frames; shuffled and reversed show whether the network uses temporal order at all"
    add("--frame_order", choices=FRAME_ORDERS, default="normal", help=text)
    add("--seed", type=SEED, default=0, help="seed for random starts and shuffling")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--output_dir", required=True, metavar="DIR", help="folder for <clip>_crop<crop>.pkl")
    group.add_argument("--overwrite", action="store_true", help="score existing views again")
    text = "also write the input of the classifier, averaged over segments, to <clip>_crop<crop>_features.npy"
    group.add_argument("--dump_features", choices=DTYPES, help=text)
    text = "score only shard I of N of the list, such as 2/4; a run without --shard joins the shards"
    group.add_argument("--shard", type=shard, metavar="I/N", help=text)
    groups.add_batch_size(group, 16, "videos per batch, each with one clip and all its crops in device memory")
    groups.add_print_freq(group)


def check_views(args: argparse.Namespace) -> None:
    """Refuse contradictions between the options of the views."""
    if args.sampling == "centre" and args.clip_index != [0]:
        raise InputError(
            "--sampling centre gives every clip the same frames, so only --clip_index 0 makes sense; for more clips: "
            "--sampling random, even or dense"
        )
    groups.require_read_stride(args)
    if args.num_clips is not None and args.num_clips <= args.clip_index[-1]:
        raise InputError(f"--clip_index {args.clip_index[-1]}: clip 0 is the first of --num_clips {args.num_clips}")
    if args.resize is not None and len(args.resize) > 2:
        raise InputError(f"--resize has {len(args.resize)} numbers; give the short side, or height and width")
    if args.subset == "test" and args.val_list is not None:
        raise InputError(f"--subset test and --val_list {args.val_list} name different lists; give one of them")
