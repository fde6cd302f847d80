"""`views`: the cost of reading the data of a test with many views, clips x crops of each video."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from common.cli import number
from common.errors import counted
from datasets.plans import EvalPlan
from datasets.preprocessing import eval_preprocessing
from datasets.view_dataset import ViewDataset
from references.family_loader import FamilyDataset
from scripts.benchmarking import material
from scripts.benchmarking.material import Size, Specs
from scripts.benchmarking.measuring import Spread, alternate, ratios
from scripts.benchmarking.report import print_table

BASE = "family"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num_clips", type=number(int, 1), default=10, help="clips per video")
    parser.add_argument("--test_crops", type=int, choices=[1, 3], default=3, help="crops per clip")
    parser.add_argument("--input_size", type=number(int, 32), default=224, help="input size in training, in pixels")
    material.add_options(parser, "val", clips=4, num_frames=[36, 300], size=Size(340, 256))


def run(args: argparse.Namespace) -> dict[str, Any]:
    return material.measure_each(args, "val", ["folder"], partial(measure, args))


def measure(args: argparse.Namespace, specs: Specs, title: str) -> dict[str, Any]:
    spec = specs["folder"]
    preprocessing = eval_preprocessing(args.input_size, args.test_crops, full_res=args.test_crops == 3)
    plans = [
        EvalPlan(args.num_segments, args.frames_per_segment, preprocessing, clip) for clip in range(args.num_clips)
    ]
    views = ViewDataset(spec, plans)
    variants = {
        BASE: partial(read_family, [FamilyDataset(views, plan) for plan in plans]),
        "single": partial(read_views, [ViewDataset(spec, [plan]) for plan in plans], cut=True),
        "once": partial(read_views, [views], cut=False),
        "once_cut": partial(read_views, [views], cut=True),
    }
    times = alternate(variants, rounds=args.rounds)
    pixels = pixel_difference(views)
    print(
        f"\n{title}: {args.num_clips} clips x {args.test_crops} crops of {args.num_segments} x "
        f"{args.frames_per_segment} frames, {preprocessing.describe()}; {len(views)} videos, median (quartiles) of "
        f"{counted(args.rounds, 'round')}; largest pixel difference from the family's in the first video: {pixels}"
    )
    faster = {name: ratios(times[BASE], own) for name, own in times.items()}
    rows = [
        [f"`{name}`", Spread.of([taken / len(views) for taken in own]).text(3), faster[name].text(1)]
        for name, own in times.items()
    ]
    print_table(["variant", "seconds per video", f"times as fast as {BASE}"], rows)
    as_dicts = {name: asdict(ratio) for name, ratio in faster.items()}
    return {"videos_read": len(views), "seconds": times, "times_as_fast": as_dicts, "pixels": pixels}


def read_family(runs: Sequence[FamilyDataset]) -> None:
    """One run over all videos for each clip."""
    for videos in runs:
        for index in range(len(videos)):
            videos[0, index]


def read_views(runs: Sequence[ViewDataset], *, cut: bool) -> None:
    """Runs over all videos; `cut`: also cut the clips, which the test scripts do on the device."""
    for views in runs:
        for index in range(len(views)):
            video = views[index]
            for clip in range(len(video.positions) if cut else 0):
                video.clip(clip)


def pixel_difference(views: ViewDataset) -> int:
    """Largest difference from the family's pixels in all views of the first video."""
    clips = [(plan, views[0].clip(number)) for number, plan in enumerate(views.plans)]  # (V, T, L, H, W, 3) each
    return max(int(FamilyDataset(views, plan).difference((0, 0), clip).max()) for plan, clip in clips)
