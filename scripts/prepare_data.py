#!/usr/bin/env python
"""Prepare a data set: lists, class names and a report, from the official annotation files and what was downloaded."""

import argparse
import logging
import re
import sys
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from joblib import cpu_count

from common.cli import SEED, HelpFormatter, make_parser, number
from common.console import run_script
from common.errors import InputError, counted, few
from datasets.catalogue import CATALOGUE, canonical_name, checked_template, usual_template
from datasets.lists import VideoRecord
from datasets.preparing.annotations import OFFICIAL
from datasets.preparing.annotations.files import AnnotationFiles, Annotations, require_distinct
from datasets.preparing.class_folders import read_class_folders, read_split_folders
from datasets.preparing.clip_table import read_clip_table
from datasets.preparing.counting import with_counts
from datasets.preparing.extraction import Extraction, image_format
from datasets.preparing.find_media import find_clips
from datasets.preparing.folder_split import count_sources, split_records
from datasets.preparing.preparation import Preparation, prepare
from datasets.preparing.prepared_folder import changed_lists, choose_media, describe, require_apart, write_prepared
from scripts.extract_frames import extract_all, refuse_failed, unwritable


def prepare_parser() -> argparse.ArgumentParser:
    parser = make_parser(str(__doc__), "docs/prepare.md has the exact commands.")
    commands = parser.add_subparsers(dest="data_set", required=True, metavar="DATA_SET")
    for name, official in OFFICIAL.items():
        text = f"{name}: from {official.files} and the videos or frames {official.media}"
        command = _add_command(commands, name, official.files, text)
        command.add_argument(
            "--annotations", type=Path, nargs="+", required=True, metavar="PATH",
            help="the official files, or the folder where they lie",
        )  # fmt: skip
        media = command.add_mutually_exclusive_group()
        media.add_argument("--videos", type=Path, metavar="DIR", help="folder of the videos, in whatever subfolders")
        media.add_argument("--frames", type=Path, metavar="DIR", help="folder of the frame folders or archives")
        command.add_argument(
            "--classes", type=Path, metavar="FILE", help="class names, one a line, in the order of the labels"
        )
        _add_common_options(command)
    _add_folder_command(commands)
    return parser


def _add_command(
    commands: argparse._SubParsersAction, name: str, short: str, description: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=short, description=description, formatter_class=HelpFormatter, allow_abbrev=False
    )


def _add_folder_command(commands: argparse._SubParsersAction) -> None:
    text = "any data set: ROOT/<class>/<video, frame folder or archive>, or a CSV file with lines `path,label`"
    command = _add_command(commands, "folder", text, text)
    command.add_argument("name", help="what the data set shall be called: train.py NAME")
    command.add_argument("root", type=Path, metavar="ROOT", help="folder of the class folders, or a CSV file")
    text = "what the paths of a CSV file are relative to; the file's folder, if not given"
    command.add_argument("--root_path", type=Path, metavar="DIR", help=text)
    text = "class names, one per line, in the order of the labels; a CSV file with numbers for labels needs it"
    command.add_argument("--classes", type=Path, metavar="FILE", help=text)
    command.add_argument(
        "--split", choices=["random", "folders"], default="random",
        help="folders: ROOT has the folders train and val (or validation, test) with the class folders",
    )  # fmt: skip
    share = number(float, 0, 0.9, open_low=True)
    command.add_argument("--val_share", type=share, default=0.2, help="of each class, less what is in a test list")
    tests = command.add_mutually_exclusive_group()
    tests.add_argument("--test_share", type=share, metavar="SHARE", help="of each class: make a test list, too")
    text = (
        "make K splits fold1 ... foldK, each with a test list; every clip is in one of these (train.py --split fold1)"
    )
    tests.add_argument("--folds", type=number(int, 2, 1000), metavar="K", help=text)
    command.add_argument("--seed", type=SEED, default=0, help="of the random split")
    command.add_argument(
        "--group_pattern", metavar="REGEX",
        help="what it finds in <class>/<clip>, or in a CSV file's path (its bracketed parts), names the clip's source, "
        "such as a person or a long video; clips of one source are never divided between lists",
    )  # fmt: skip
    _add_common_options(command)


def _add_common_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--image_tmpl", help="frame file name, such as img_{:05d}.jpg; found out, if not given")
    command.add_argument("--data_root", type=Path, default=Path("data"), help="the data set's folder is made here")
    text = "extract all frames to DATA_ROOT/<name>/frames, W x H pixels (320 240 makes training fastest), and list them"
    command.add_argument("--extract", type=number(int, 1, 16384), nargs=2, metavar=("W", "H"), help=text)
    text = "videos at a time to extract, or to count the frames of where that takes decoding (AVI, WMV, VP8, ...)"
    command.add_argument("-j", "--workers", type=number(int, 1), default=cpu_count(), help=text)


def read_official(args: argparse.Namespace) -> tuple[Annotations, Path, dict[str, list[str]]]:
    """Annotations, folder of the media, and where each clip lies there."""
    official = OFFICIAL[args.data_set]
    annotations = official.parse(AnnotationFiles(args.annotations))
    require_distinct(annotations.lists)
    if args.classes:
        annotations = annotations.in_order(args.classes)
    home = args.data_root / args.data_set
    videos = args.videos or (home / "videos" if args.extract and not args.frames else None)
    kind, media = choose_media(home, args.frames, videos)
    clips = [clip for group in annotations.lists.values() for clip in group]
    logging.info("Looking for %s in %s", counted(len(clips), "clip"), media)
    return annotations, media, find_clips(media, kind, clips, fold_case=official.fold_case)


def read_folder(args: argparse.Namespace) -> tuple[Annotations, Path, dict[str, list[str]]]:
    """As `read_official`, of somebody's own class folders."""
    taken = args.name in OFFICIAL or canonical_name(args.name) in CATALOGUE
    if taken or not re.fullmatch(r"\w[\w.-]{,49}", args.name):  # 50 letters are a file name in any script
        raise InputError(
            f"folder: {args.name!r} cannot be a name of your data set; take a new word without blanks, "
            "of 50 letters at most"
        )
    if args.split == "folders":
        random = {"--group_pattern": args.group_pattern, "--test_share": args.test_share, "--folds": args.folds}
        given = [flag for flag, value in random.items() if value is not None]
        if given:
            raise InputError(f"{given[0]} belongs to a random split; leave it or --split folders out")
    if args.root.is_file():
        return read_table(args)
    if args.root_path:
        raise InputError(f"--root_path belongs to a CSV file, but {args.root} is none; leave it out")
    require_apart(args.data_root / args.name, args.root)
    annotations, located = (read_split_folders if args.split == "folders" else read_class_folders)(args.root)
    return annotations.in_order(args.classes) if args.classes else annotations, args.root, located


def read_table(args: argparse.Namespace) -> tuple[Annotations, Path, dict[str, list[str]]]:
    """As `read_official`, of a CSV file."""
    media = args.root_path or args.root.parent
    if args.split == "folders":
        raise InputError(f"--split folders needs a folder as ROOT, and {args.root} is a file; leave --split out")
    if not media.is_dir():
        raise InputError(f"--root_path {media} is not a folder; give the one that the paths in {args.root} are below")
    annotations, located = read_clip_table(args.root, media, args.classes)
    return annotations, media, located


def extract(
    preparation: Preparation, frames: Path, how: Extraction, workers: int
) -> tuple[dict[str, VideoRecord], dict[str, InputError]]:
    """Extract all videos: path of a video -> its record as frames; path of one that failed -> why."""
    image_format(how.image_tmpl)
    records = list(chain(*preparation.records.values()))
    others = [record.path for record in records if record.num_frames is not None]
    if others:
        raise InputError(f"--extract takes videos, but {few(others)} in {preparation.media} are frames; leave it out")
    try:
        return extract_all(how, records, preparation.media, frames, workers)
    except OSError as error:
        raise unwritable(error, frames) from error


def compiled(pattern: str | None) -> re.Pattern | None:
    """The regular expression of --group_pattern, if it is given."""
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise InputError(f"--group_pattern '{pattern}' is not a regular expression: {error}") from error


def main(argv: list[str] | None = None) -> None:
    args = prepare_parser().parse_args(argv)
    own = args.data_set == "folder"
    name = args.name if own else args.data_set
    group_pattern = compiled(args.group_pattern) if own else None
    annotations, media, located = read_folder(args) if own else read_official(args)
    image_tmpl = checked_template(args.image_tmpl) if args.image_tmpl else None
    names = {"usual_tmpl": usual_template(name), "image_tmpl": image_tmpl}
    if own and args.root.is_file():
        names["cure"] = f"Give the folder that the paths in {args.root} are relative to with --root_path"
    preparation = prepare(name, annotations, media, located, **names)
    if not args.extract:
        preparation = with_counts(preparation, args.workers)
    if own and args.split == "random":
        split = {"val_share": args.val_share, "test_share": args.test_share or 0, "folds": args.folds or 0}
        split |= {"seed": args.seed, "group_pattern": group_pattern}
        preparation = preparation.divided(split_records(preparation.records["all"], **split))
    home, extracted, failed = args.data_root / name, {}, {}
    if args.extract:
        how = Extraction(image_tmpl=image_tmpl or usual_template(name), size=tuple(args.extract))
        extracted, failed = extract(preparation, home / "frames", how, args.workers)
        preparation = preparation.without(failed)
    if group_pattern:
        preparation.sources, lines = count_sources(preparation.records, group_pattern)
        preparation.remarks += lines
    if args.extract:
        preparation = preparation.with_frames(extracted, home / "frames", how.image_tmpl)
    changes = changed_lists(home, preparation)
    write_prepared(home, preparation, "give it as ROOT" if own else "leave --frames and --videos out")
    for line in [*changes, *describe(preparation, home)]:
        logging.info("%s", line)
    refuse_failed(failed, len(extracted) + len(failed), home / "report.json", "lists")


if __name__ == "__main__":
    run_script(main)
