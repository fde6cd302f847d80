#!/usr/bin/env python
"""Measure how many training clips a second the loader reads from frame folders, archives and video files.

The forms hold the same frames and are measured in turns, over and over, so that what else the machine does meets all of
them alike. All files have been read before: they come from memory, not from the disk.
"""

import argparse
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

import av
import PIL
import torch

from datasets.catalogue import BUILT_IN, DatasetSpec, resolve
from datasets.lists import read_list
from datasets.loader import ClipLoader, make_loader
from datasets.moving_digits import Settings, ensure_moving_digits
from datasets.preparing.extraction import Extraction
from datasets.readers import Reader, open_record
from datasets.video_dataset import train_dataset
from datasets.video_file import VideoFile
from errors import run_script
from opts import data_options
from opts_groups import add_augmentation_options, add_data_options, add_decoder_option
from opts_types import make_parser, number

FORMS = ("folder", "archive", "video")
FRAME_RATE = 25


def speed_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument(
        "dataset",
        nargs="?",
        default=BUILT_IN,
        help="data set name; built-in: drawn anew, 320 x 240",
    )
    parser.add_argument("--num_segments", type=number(int, 1), default=8, help="segments a clip, T")
    parser.add_argument("--frames_per_segment", type=number(int, 1), default=5, help="L: 5 for H2CN and TDN, else 1")
    parser.add_argument("--clips", type=number(int, 1), default=48, help="videos of the train list to measure with")
    parser.add_argument("--num_frames", type=number(int, 2), default=48, help="frames of a built-in clip")
    parser.add_argument("--rounds", type=number(int, 1), default=9, help="passes over the clips for each form")
    add_data_options(parser, ("train",))
    add_decoder_option(parser)
    add_augmentation_options(parser)
    return parser


def find_clips(args: argparse.Namespace, scratch: Path) -> DatasetSpec:
    """The data set to measure with."""
    options = data_options(args)
    if args.dataset == BUILT_IN:
        per_class = -(-args.clips // 12)
        home = ensure_moving_digits(scratch, Settings(per_class, 1, num_frames=args.num_frames, height=240, width=320))
        names = {"root_path": "frames", "train_list": "train.txt", "classes": "classes.txt"}
        options = {flag: str(home / name) for flag, name in names.items()}
    return resolve(args.dataset, **options, need=("train",))


def write_video(reader: Reader, path: Path) -> None:
    """H.264 as x264 makes it by default, of high quality."""
    images = reader.read(range(reader.num_frames), replace_unreadable=False).images
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "18"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p" if stream.width % 2 == stream.height % 2 == 0 else "yuv444p"
        for image in images.values():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def make_forms(spec: DatasetSpec, clips: int, scratch: Path) -> dict[str, DatasetSpec]:
    """The first clips of the train list in every form; frames are extracted from the video files."""
    lines: dict[str, list[str]] = {form: [] for form in FORMS}
    for place, record in enumerate(read_list(spec.lists["train"], spec.num_class)[:clips]):
        reader = open_record(spec.root_path, record, spec.image_tmpl)
        video = scratch / "video" / f"clip_{place}.mp4"
        video.parent.mkdir(exist_ok=True)
        if isinstance(reader, VideoFile):
            video.symlink_to(reader.path.absolute())
        else:
            write_video(reader, video)
        for form in FORMS[:2]:
            count = Extraction(pack=form == "archive")(video, scratch / form / video.stem)
            lines[form].append(f"{video.stem} {count} {record.label}\n")
        lines["video"].append(f"{video.name} {record.label}\n")
    specs = {}
    for form in FORMS:
        list_file = scratch / f"{form}.txt"
        list_file.write_text("".join(lines[form]))
        specs[form] = replace(spec, root_path=scratch / form, lists={"train": list_file}, image_tmpl="{:05d}.jpg")
    return specs


def clips_per_second(loader: ClipLoader) -> float:
    """One pass."""
    started = time.perf_counter()
    clips = sum(len(batch.label) for batch in loader)
    return clips / (time.perf_counter() - started)


def print_table(speeds: dict[tuple[str, int], list[float]], specs: dict[str, DatasetSpec]) -> None:
    """Markdown."""
    counts = sorted({workers for _, workers in speeds})
    titles = [f"clips/s, {workers or 'no'} worker{'s' * (workers != 1)}" for workers in counts]
    print("\n| " + " | ".join(["form", *titles, "files", "MB"]) + " |")
    print("|---" * (len(counts) + 3) + "|")
    for form in FORMS:
        cells = []
        for workers in counts:
            values = speeds[form, workers]
            share = median(values) / median(speeds[FORMS[0], workers])
            cells.append(f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f}), x {share:.2f}")
        files = [path for path in specs[form].root_path.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        print(f"| {form} | " + " | ".join([*cells, f"{len(files)}", f"{size:.1f}"]) + " |")


def main(argv: list[str] | None = None) -> None:
    args = speed_parser().parse_args(argv)
    with TemporaryDirectory() as folder:
        specs = make_forms(find_clips(args, Path(folder)), args.clips, Path(folder))
        loaders = {}
        for form, spec in specs.items():
            dataset = train_dataset(
                spec, num_segments=args.num_segments, frames_per_segment=args.frames_per_segment,
                input_size=args.input_size, seed=0, flip=not args.no_flip, decoder=args.decoder,
            )  # fmt: skip
            for workers in sorted({0, args.workers}):
                loaders[form, workers] = make_loader(dataset, batch_size=4, workers=workers, shuffle=True)
        speeds: dict[tuple[str, int], list[float]] = {key: [] for key in loaders}
        for turn in range(args.rounds + 1):
            for key in sorted(loaders, key=lambda key: key[1]):  # forms next to each other
                loaders[key].sampler.set_epoch(turn)
                speed = clips_per_second(loaders[key])
                if turn > 0:  # the first pass starts the workers
                    speeds[key].append(speed)
        print(
            f"{args.num_segments} x {args.frames_per_segment} frames of {len(dataset)} videos, {args.input_size} px; "
            f"median (least to most) of {args.rounds} passes, and its ratio to the folder's.\n"
            f"{os.cpu_count()} cores, Python {platform.python_version()}, "
            f"torch {torch.__version__}, PyAV {av.__version__}, Pillow {PIL.__version__}"
        )
        print_table(speeds, specs)


if __name__ == "__main__":
    run_script(main)
