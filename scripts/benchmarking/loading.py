"""`loader`: training clips per second from JPEG frames and videos, and their pixels' differences from the family's."""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from common.errors import counted
from datasets.clip_dataset import VideoDataset, train_dataset
from datasets.epoch_sampler import EpochSampler
from datasets.loader import make_loader
from datasets.reading.decoders import DECODER_NAMES, installed_decoders
from options.groups import add_crop_options
from references.family_loader import FamilyDataset
from scripts.benchmarking import material
from scripts.benchmarking.material import FORMS, Size, Specs
from scripts.benchmarking.measuring import Spread, alternate, ratios
from scripts.benchmarking.report import print_table

BATCH_SIZE = 4
COMPARED = 8  # clips whose pixels are compared
DECODERS = DECODER_NAMES[1:]  # without "auto"
VARIANTS = {
    "family": "the family's way, with Pillow",
    **{name: f"ours, frames decoded by {name}" for name in DECODERS},
    **{form: f"ours, from {form}, with the fastest decoder" for form in FORMS},
    "decode": "only reads and decodes all T*L frames of a clip, with the fastest decoder",
    "decode_unique": "the same, but frames shared by segments only once",
}


class DecodeOnly(Dataset[int]):
    """Reads and decodes the frames of a clip, and drops them."""

    def __init__(self, videos: VideoDataset, *, unique: bool) -> None:
        self.videos, self.unique = videos, unique

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> int:
        reader, sampled = self.videos.sample(*key)
        for number in np.unique(sampled.indices) if self.unique else sampled.indices.flat:
            next(reader.frames([number], []))
        return key[1]


Clips = VideoDataset | FamilyDataset | DecodeOnly
Passes = dict[int, dict[str, list[float]]]  # number of workers -> variant -> seconds of each pass


def add_options(parser: argparse.ArgumentParser) -> None:
    text = "; ".join(f"{name}: {text}" for name, text in VARIANTS.items())
    text += ". If not given: family, every installed decoder, decode, decode_unique"
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), metavar="VARIANT", help=text)
    bases = ["family", "decode"]
    text = "bases of the ratios"
    parser.add_argument("--base", nargs="+", choices=list(VARIANTS), default=bases, metavar="VARIANT", help=text)
    material.add_options(parser, "train", clips=48, num_frames=[48], size=Size(320, 240))
    add_crop_options(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    variants = args.variants or ["family", *installed_decoders(), "decode", "decode_unique"]
    names = list(dict.fromkeys([*variants, *args.base]))
    return material.measure_each(args, "train", sorted(set(map(form_of, names))), partial(measure, args, names))


def form_of(variant: str) -> str:
    """The form of videos that a variant reads."""
    return variant if variant in FORMS else "folder"


def measure(args: argparse.Namespace, names: Sequence[str], specs: Specs, title: str) -> dict[str, Any]:
    datasets = {name: make_dataset(name, specs, args) for name in names}
    times: Passes = {}
    main_process: Passes = {}  # its CPU time in each pass
    for workers in worker_counts(args.workers):
        cpu: dict[str, list[float]] = {name: [] for name in names}
        passes = {name: one_pass(dataset, workers, cpu[name]) for name, dataset in datasets.items()}
        times[workers] = alternate(passes, rounds=args.rounds)
        main_process[workers] = {name: values[-args.rounds :] for name, values in cpu.items()}
    clips = len(datasets[names[0]])
    pixels = pixel_differences(datasets)
    print(
        f"\n{title}: {args.num_segments} x {args.frames_per_segment} frames of {clips} videos, {args.input_size} px; "
        f"median (quartiles) of {counted(args.rounds, 'pass')}"
    )
    print_speeds(times, clips, args.base, pixels)
    print_main_process(main_process, clips)
    for form, spec in specs.items():
        files = [path.stat().st_size for path in spec.root_path.rglob("*") if path.is_file()]
        print(f"{form}: {len(files)} files, {sum(files) / 1e6:.1f} MB")
    speed_ratios = {
        base: {w: {name: asdict(ratios(t[base], t[name])) for name in names} for w, t in times.items()}
        for base in args.base
    }
    return {
        "clips": clips, "seconds": times, "main_process_cpu_seconds": main_process, "pixels": pixels,
        "speed_ratio_to": speed_ratios,
    }  # fmt: skip


def worker_counts(most: int) -> list[int]:
    """0, 1, 2, 4, ... and `most`."""
    return sorted({0, most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})


def make_dataset(variant: str, specs: Specs, args: argparse.Namespace) -> Clips:
    """The clips as a variant reads them; frame numbers, crops and flips are the same for all variants."""
    videos = train_dataset(
        specs[form_of(variant)], num_segments=args.num_segments, frames_per_segment=args.frames_per_segment,
        input_size=args.input_size, seed=0, flip=not args.no_flip, decoder=variant if variant in DECODERS else "auto",
    )  # fmt: skip
    if variant == "family":
        return FamilyDataset(videos, videos.plan)
    return DecodeOnly(videos, unique=variant == "decode_unique") if variant.startswith("decode") else videos


def one_pass(dataset: Clips, workers: int, cpu: list[float]) -> Callable[[], None]:
    """A function that reads a new epoch at each call, the same for all variants; `cpu` gets this process's seconds."""
    sampler: Any
    if isinstance(dataset, VideoDataset):
        loader: DataLoader = make_loader(dataset, batch_size=BATCH_SIZE, workers=workers, shuffle=True)
        sampler = loader.sampler
    else:
        sampler = EpochSampler(len(dataset), seed=0, shuffle=True)
        loader = DataLoader(dataset, BATCH_SIZE, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)

    def read_all() -> None:
        sampler.set_epoch(sampler.epoch + 1)
        start = time.process_time()
        for _ in loader:
            pass
        cpu.append(time.process_time() - start)

    return read_all


def pixel_differences(datasets: Mapping[str, Clips]) -> dict[str, tuple[int, float]]:
    """Largest and mean difference from the family's pixels, for our variants that read the same files."""
    differences = {}
    for name, videos in datasets.items():
        if isinstance(videos, VideoDataset) and form_of(name) == "folder":
            family = FamilyDataset(videos, videos.plan)
            found = [family.difference((0, i), videos[0, i].clip) for i in range(min(COMPARED, len(videos)))]
            differences[name] = int(max(apart.max() for apart in found)), float(np.mean([a.mean() for a in found]))
    return differences


def print_speeds(times: Passes, clips: int, bases: Sequence[str], pixels: Mapping[str, tuple[int, float]]) -> None:
    """Print the table, one row per variant, with speed and ratios for each number of workers."""
    head, rows = ["variant"], {name: [f"`{name}`"] for name in times[0]}
    for workers, measured in times.items():
        head += [f"clips/s, {described(workers)}", *(f"x {base}" for base in bases)]
        for name, row in rows.items():
            row.append(Spread.of([clips / taken for taken in measured[name]]).text(1))
            row += [ratios(measured[base], measured[name]).text() for base in bases]
    head.append("pixels from the family's, largest / mean")
    for name, row in rows.items():
        row.append("{} / {:.3f}".format(*pixels[name]) if name in pixels else "-")
    print_table(head, list(rows.values()))


def described(workers: int) -> str:
    return counted(workers, "worker") if workers else "no workers"


def print_main_process(cpu: Passes, clips: int) -> None:
    """Print the CPU time of the main process, and the speed at which it would need a core of its own."""
    head = ["CPU time of the main process per clip, ms", *map(described, cpu)]
    rows = []
    for name in cpu[0]:
        spreads = [Spread.of(measured[name]) for measured in cpu.values()]
        rows.append([f"`{name}`", *(spread.text(3, 1000 / clips) for spread in spreads)])
        rows[-1].append(f"{clips / spreads[-1].median:,.0f}")
    print_table([*head, "at most, clips/s"], rows)
