"""`views`: what the data of a test of many views costs, clips x crops of each video."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from datasets.catalogue import DatasetSpec
from datasets.transforms import eval_preprocessing
from datasets.video_dataset import ClipPlan, VideoDataset, clip_dataset
from opts_types import number
from references.family_loader import FamilyDataset
from scripts.benchmarking import material
from scripts.benchmarking.report import print_table
from scripts.benchmarking.timing import Spread, alternate, ratios

BASE = "family"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num_clips", type=number(int, 1), default=10, help="clips a video")
    parser.add_argument("--test_crops", type=int, choices=[1, 3], default=3, help="crops a clip")
    parser.add_argument("--input_size", type=number(int, 32), default=224, help="of the training, in pixels")
    material.add_options(parser, "val", clips=4, num_frames=[36, 300], size=(340, 256))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the JSON file holds."""
    tables = [
        {"videos": title, **measure(args, specs["folder"], title)}
        for title, specs in material.materials(args, "val", ["folder"])
    ]
    return {"tables": tables}


def measure(args: argparse.Namespace, spec: DatasetSpec, title: str) -> dict[str, Any]:
    """One table."""
    preprocessing = eval_preprocessing(args.input_size, args.test_crops, full_res=args.test_crops == 3)
    runs = [
        clip_dataset(spec, ClipPlan(args.num_segments, args.frames_per_segment, preprocessing, clip=clip))
        for clip in range(args.num_clips)
    ]
    variants: dict[str, Callable[[], None]] = {BASE: lambda: family_runs(runs), "single": lambda: single_runs(runs)}
    times = alternate(variants, rounds=args.rounds)
    videos = len(runs[0])
    print(
        f"\n{title}: {args.num_clips} clips x {args.test_crops} crops of {args.num_segments} x "
        f"{args.frames_per_segment} frames, {preprocessing.describe()}; {videos} videos, median (quartiles) of "
        f"{args.rounds} rounds"
    )
    rows = [
        [f"`{name}`", Spread.of([taken / videos for taken in own]).text(3), ratios(times[BASE], own).text(1)]
        for name, own in times.items()
    ]
    print_table(["variant", "seconds a video", f"times as fast as {BASE}"], rows)
    faster = {name: asdict(ratios(times[BASE], own)) for name, own in times.items()}
    return {"videos_read": videos, "seconds": times, "times_as_fast": faster}


def family_runs(runs: list[VideoDataset]) -> None:
    """A run a clip, each decoding every frame of every segment."""
    for family in map(FamilyDataset, runs):
        for index in range(len(family)):
            family[0, index]


def single_runs(runs: list[VideoDataset]) -> None:
    """A run a clip, ours: what `--clip_index 0`, then 1, ... read."""
    for videos in runs:
        for index in range(len(videos)):
            _ = videos[0, index].clip
