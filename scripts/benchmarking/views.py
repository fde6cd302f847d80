"""`views`: what the data of a test of many views costs, clips x crops of each video."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from common.cli import number
from datasets.catalogue import DatasetSpec
from datasets.clip_dataset import ClipPlan
from datasets.transforms import eval_preprocessing
from datasets.view_dataset import ViewDataset
from references.family_loader import FamilyDataset, to_pixels
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
    plans = [
        ClipPlan(args.num_segments, args.frames_per_segment, preprocessing, clip) for clip in range(args.num_clips)
    ]
    views = ViewDataset(spec, plans)
    variants: dict[str, Callable[[], None]] = {
        BASE: lambda: read_family([FamilyDataset(views, plan) for plan in plans]),
        "single": lambda: read_views([ViewDataset(spec, [plan]) for plan in plans], cut=True),
        "once": lambda: read_views([views], cut=False),
        "once_cut": lambda: read_views([views], cut=True),
    }
    times = alternate(variants, rounds=args.rounds)
    pixels = pixel_difference(views)
    videos = len(views)
    print(
        f"\n{title}: {args.num_clips} clips x {args.test_crops} crops of {args.num_segments} x "
        f"{args.frames_per_segment} frames, {preprocessing.describe()}; {videos} videos, median (quartiles) of "
        f"{args.rounds} rounds; pixels of the first video from the family's: at most {pixels}"
    )
    rows = [
        [f"`{name}`", Spread.of([taken / videos for taken in own]).text(3), ratios(times[BASE], own).text(1)]
        for name, own in times.items()
    ]
    print_table(["variant", "seconds a video", f"times as fast as {BASE}"], rows)
    faster = {name: asdict(ratios(times[BASE], own)) for name, own in times.items()}
    return {"videos_read": videos, "seconds": times, "times_as_fast": faster, "pixels": pixels}


def read_family(runs: Sequence[FamilyDataset]) -> None:
    """A run a clip over all videos."""
    for videos in runs:
        for index in range(len(videos)):
            videos[0, index]


def read_views(runs: Sequence[ViewDataset], *, cut: bool) -> None:
    """Runs over all videos; `cut`: also the clips, which the test scripts cut on the device."""
    for views in runs:
        for index in range(len(views)):
            video = views[index]
            for clip in range(len(video.positions) if cut else 0):
                video.clip(clip)


def pixel_difference(views: ViewDataset) -> int:
    """Largest difference to the family's pixels in all views of the first video."""
    video, largest = views[0], 0
    for clip, plan in enumerate(views.plans):
        ours = video.clip(clip).int()  # (V, T, L, H, W, 3)
        family = to_pixels(FamilyDataset(views, plan)[0, 0][0], ours.shape[:3])
        largest = max(largest, int((ours - family.int()).abs().max()))
    return largest
