#!/usr/bin/env python
"""Extract the frames of listed video files into folders or archives, and write their list.

Rerun the same command to resume. OUT_LIST.failed.txt names the videos that failed, and why.
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from joblib import cpu_count

from common.cli import make_parser, number
from common.console import run_script
from common.errors import InputError, counted
from common.files import write_whole
from common.signals import take_sigterm_as_ctrl_c
from datasets.catalogue import checked_template
from datasets.lists import format_line, read_list
from datasets.missing_path import there_is
from datasets.preparing.extract_all import extract_all, refuse_failed, unwritable
from datasets.preparing.extraction import Extraction, image_format


def extract_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("list", type=Path, help="lines `path label` or `path num_frames label`; frames are counted")
    parser.add_argument("video_root", type=Path, help="folder that the paths are relative to")
    parser.add_argument("frame_root", type=Path, help="folder for the frames, with one folder or archive per video")
    parser.add_argument("out_list", type=Path, help="list of the frames, `path num_frames label`")
    size = parser.add_mutually_exclusive_group()
    pixels = number(int, 1, 16384)
    size.add_argument("--short_side", type=pixels, help="shrink to this short side in pixels; smaller videos stay")
    text = "resize to exactly this size in pixels; 320 240 makes training fastest"
    size.add_argument("--size", type=pixels, nargs=2, metavar=("W", "H"), help=text)
    rate = number(float, 0, 1000, open_low=True)
    parser.add_argument("--fps", type=rate, help="frames per second, nearest in time; every frame if not given")
    parser.add_argument("--image_tmpl", default="{:05d}.jpg", help="frame file name, numbered from 1; .png is lossless")
    parser.add_argument("--quality", type=number(int, 1, 95), default=90, help="JPEG quality, 1 to 95")
    parser.add_argument("--pack", action="store_true", help="one uncompressed .zip per video instead of a folder")
    parser.add_argument("-j", "--workers", type=number(int, 1), default=cpu_count(), help="videos at a time")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = extract_parser().parse_args(argv)
    image_format(checked_template(args.image_tmpl))
    how = Extraction(
        image_tmpl=args.image_tmpl, short_side=args.short_side, size=args.size and tuple(args.size), fps=args.fps,
        quality=args.quality, pack=args.pack,
    )  # fmt: skip
    records = read_list(args.list, may_repeat=True)
    if not args.video_root.is_dir():
        there = there_is(args.video_root)
        raise InputError(f"there is no folder {args.video_root}{there}; VIDEO_ROOT is where the list's paths start")
    if args.out_list.exists() and args.out_list.samefile(args.list):
        raise InputError(f"{args.out_list} is the list of the videos; write the list of the frames to another file")
    reasons = args.out_list.with_name(f"{args.out_list.name}.failed.txt")
    try:
        take_sigterm_as_ctrl_c()
        args.out_list.parent.mkdir(parents=True, exist_ok=True)
        frames, failed = extract_all(how, records, args.video_root, args.frame_root, args.workers)
        write_whole(args.out_list, "".join(format_line(frames[r.path]) for r in records if r.path in frames))
        if failed:
            write_whole(reasons, "".join(f"{path}\t{fault}\n" for path, fault in failed.items()))
        else:
            reasons.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(error, args.out_list) from error
    refuse_failed(failed, len(frames) + len(failed), reasons, "list")
    total = sum(record.num_frames or 0 for record in frames.values())
    numbers = f"{counted(len(frames), 'video')}, {counted(total, 'frame')}"
    logging.info("%s in %s; list: %s", numbers, args.frame_root, args.out_list)


if __name__ == "__main__":
    run_script(main)
