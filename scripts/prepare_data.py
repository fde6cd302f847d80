#!/usr/bin/env python
"""Prepare a data set: lists, class names and a report, from its official annotation files and your videos or frames."""

import argparse
import logging
import re
import sys
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from joblib import cpu_count

from common.cli import SEED, make_parser, number
from common.console import run_script
from common.errors import InputError, counted, few
from common.signals import take_sigterm_as_ctrl_c
from datasets.catalogue import CATALOGUE, canonical_name, checked_template, usual_template
from datasets.lists import VideoRecord
from datasets.preparing.annotations import OFFICIAL
from datasets.preparing.annotations.base import AnnotationFiles, Annotations, require_distinct
from datasets.preparing.counting import with_counts
from datasets.preparing.extract_all import extract_all, refuse_failed
from datasets.preparing.extraction import Extraction, image_format
from datasets.preparing.find_media import DEEPEST, find_clips
from datasets.preparing.folder_split import count_sources, split_records
from datasets.preparing.own_clips import ClipPaths, read_class_folders, read_clip_table, read_split_folders
from datasets.preparing.preparation import Preparation, prepare
from datasets.preparing.prepared_folder import changed_lists, choose_media, describe, require_apart, write_prepared


def prepare_parser() -> argparse.ArgumentParser:
    parser = make_parser(str(__doc__), "docs/prepare.md has the exact commands.")
    commands = parser.add_subparsers(dest="data_set", required=True, metavar="DATA_SET")
    for name, official in OFFICIAL.items():
        text = f"{name}: from {official.files} and the videos or frames {official.media}"
        command = commands.add_parser(name, help=official.files, description=text)
        text = "the official files, or their folder"
        command.add_argument("--annotations", type=Path, nargs="+", required=True, metavar="PATH", help=text)
        media = command.add_mutually_exclusive_group()
        media.add_argument("--videos", type=Path, metavar="DIR", help="folder of the videos, in any subfolders")
        media.add_argument("--frames", type=Path, metavar="DIR", help="folder of the frame folders or archives")
        command.add_argument("--classes", type=Path, metavar="FILE", help="class names in label order, one per line")
        command.set_defaults(name=name, group_pattern=None)
        _add_common_options(command)
    _add_folder_command(commands)
    return parser


def _add_folder_command(commands: argparse._SubParsersAction) -> None:
    text = "your own data: ROOT/<class>/<video, frame folder or archive>, or a CSV file with lines `path,label`"
    command = commands.add_parser("folder", help=text, description=text)
    add = command.add_argument
    add("name", help="name of the data set, for train.py NAME")
    add("root", type=Path, metavar="ROOT", help="folder of the class folders, or a CSV file")
    text = "folder that the paths in a CSV file are relative to; the file's folder if not given"
    add("--root_path", type=Path, metavar="DIR", help=text)
    text = "class names in label order, one per line; required if the labels of a CSV file are numbers"
    add("--classes", type=Path, metavar="FILE", help=text)
    text = "folders: ROOT has the folders train and val (or validation, test), which contain the class folders"
    add("--split", choices=["random", "folders"], default="random", help=text)
    share = number(float, 0, 0.9, open_low=True)
    add("--val_share", type=share, default=0.2, help="share of each class for the val list, after the test list")
    tests = command.add_mutually_exclusive_group()
    tests.add_argument("--test_share", type=share, metavar="SHARE", help="share of each class for a test list")
    text = "make K splits fold1 ... foldK (train.py --split fold1), with each clip in the test list of exactly one"
    tests.add_argument("--folds", type=number(int, 2, 1000), metavar="K", help=text)
    add("--seed", type=SEED, default=0, help="seed of the random split")
    text = (
        "its match in <class>/<clip>, or in a CSV file's path (or its bracketed parts), names the source of a clip, "
        "such as a person or a long video; lists never share a source"
    )
    add("--group_pattern", metavar="REGEX", help=text)
    _add_common_options(command)


def _add_common_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--image_tmpl", help="frame file name, such as img_{:05d}.jpg; detected if not given")
    add("--data_root", type=Path, default=Path("data"), help="folder in which the data set's folder is made")
    text = "extract all frames to DATA_ROOT/<name>/frames, W x H pixels (320 240 makes training fastest), and list them"
    add("--extract", type=number(int, 1, 16384), nargs=2, metavar=("W", "H"), help=text)
    text = "videos extracted in parallel, or decoded to count their frames (AVI, WMV, VP8, ...)"
    add("-j", "--workers", type=number(int, 1), default=cpu_count(), help=text)


def read_official(args: argparse.Namespace) -> tuple[Annotations, Path, ClipPaths]:
    """Annotations, folder of the media, and paths of the clips there."""
    official = OFFICIAL[args.data_set]
    annotations = official.parse(AnnotationFiles(args.annotations))
    require_distinct(annotations.lists)
    if args.classes:
        annotations = annotations.in_order(args.classes)
    home = args.data_root / args.name
    videos = args.videos or (home / "videos" if args.extract and not args.frames else None)
    kind, media = choose_media(home, args.frames, videos)
    clips = list(chain(*annotations.lists.values()))
    logging.info("Looking for %s in %s", counted(len(clips), "clip"), media)
    return annotations, media, find_clips(media, kind, clips, fold_case=official.fold_case)


def read_own(args: argparse.Namespace) -> tuple[Annotations, Path, ClipPaths]:
    """As `read_official`, from class folders or a CSV file."""
    taken = args.name in OFFICIAL or canonical_name(args.name) in CATALOGUE
    if taken or not re.fullmatch(r"\w[\w.-]{,49}", args.name):  # 50 letters fit a file name in any script
        raise InputError(f"{args.name!r} cannot be a name of your data set; use a new word of at most 50 letters")
    if args.split == "folders":
        random = {"--group_pattern": args.group_pattern, "--test_share": args.test_share, "--folds": args.folds}
        given = [flag for flag, value in random.items() if value is not None]
        if given:
            raise InputError(f"{given[0]} belongs to a random split; omit it or --split folders")
    if args.root.is_file():
        return _read_table(args)
    if args.root_path:
        raise InputError(f"--root_path belongs to a CSV file, but {args.root} is not a file; omit it")
    require_apart(args.data_root / args.name, args.root)
    annotations, located = (read_split_folders if args.split == "folders" else read_class_folders)(args.root)
    return annotations.in_order(args.classes) if args.classes else annotations, args.root, located


def _read_table(args: argparse.Namespace) -> tuple[Annotations, Path, ClipPaths]:
    media = args.root_path or args.root.parent
    if args.split == "folders":
        raise InputError(f"--split folders needs a folder as ROOT, but {args.root} is a file; omit --split")
    if not media.is_dir():
        raise InputError(f"--root_path {media} is not a folder; give the one that the paths in {args.root} start from")
    annotations, located = read_clip_table(args.root, media, args.classes)
    return annotations, media, located


def compiled(pattern: str | None) -> re.Pattern | None:
    """The regular expression of --group_pattern, if given."""
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise InputError(f"--group_pattern '{pattern}' is not a regular expression: {error}") from error


def prepare_lists(args: argparse.Namespace, group_pattern: re.Pattern | None) -> Preparation:
    """The lists of the data set, before their frames are extracted."""
    own = args.data_set == "folder"
    annotations, media, located = read_own(args) if own else read_official(args)
    fix = f"Give the right folder with --videos or --frames; folders are searched {DEEPEST} levels deep"
    if own:
        fix = f"Give the folder that the paths in {args.root} are relative to with --root_path"
    usual = usual_template(args.name)
    preparation = prepare(args.name, annotations, media, located, usual_tmpl=usual, image_tmpl=args.image_tmpl, fix=fix)
    if not args.extract:
        preparation = with_counts(preparation, args.workers)
    if not own or args.split == "folders":
        return preparation
    lists = split_records(
        preparation.records["all"], val_share=args.val_share, seed=args.seed, group_pattern=group_pattern,
        test_share=args.test_share or 0, folds=args.folds or 0,
    )  # fmt: skip
    return preparation.divided(lists)


def main(argv: list[str] | None = None) -> None:
    args = prepare_parser().parse_args(argv)
    home = args.data_root / args.name
    group_pattern = compiled(args.group_pattern)
    image_tmpl = checked_template(args.image_tmpl or usual_template(args.name))
    take_sigterm_as_ctrl_c()
    preparation = prepare_lists(args, group_pattern)
    extracted: dict[str, VideoRecord] = {}
    failed: dict[str, InputError] = {}
    if args.extract:
        how = Extraction(image_tmpl=image_tmpl, size=tuple(args.extract))
        image_format(image_tmpl)
        records = list(chain(*preparation.records.values()))
        frames = [record.path for record in records if record.num_frames is not None]
        if frames:
            raise InputError(f"--extract needs videos, but {few(frames)} in {preparation.media} are frames; omit it")
        extracted, failed = extract_all(how, records, preparation.media, home / "frames", args.workers)
        preparation = preparation.without(failed)
    if group_pattern:
        preparation.sources, lines = count_sources(preparation.records, group_pattern)
        preparation.remarks += lines
    if args.extract:
        preparation = preparation.with_frames(extracted, home / "frames", image_tmpl)
    changes = changed_lists(home, preparation)
    write_prepared(home, preparation, "give it as ROOT" if args.data_set == "folder" else "omit --frames and --videos")
    for line in [*changes, *describe(preparation, home)]:
        logging.info("%s", line)
    refuse_failed(failed, len(extracted) + len(failed), home / "report.json", "lists")


if __name__ == "__main__":
    run_script(main)
