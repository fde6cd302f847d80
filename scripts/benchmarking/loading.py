"""`loader`: training clips a second from JPEG frames and videos, and how far the pixels are from the family's path."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from common.errors import InputError
from common.option_groups import add_augmentation_options
from datasets.catalogue import DatasetSpec
from datasets.clip_dataset import VideoDataset, train_dataset
from datasets.loader import EpochSampler, make_loader
from datasets.reading.decoders import DECODER_NAMES, choose_decoder
from references.family_loader import FamilyDataset, to_pixels
from scripts.benchmarking import material
from scripts.benchmarking.material import FORMS, volume
from scripts.benchmarking.report import print_table
from scripts.benchmarking.timing import Spread, Times, alternate, ratios

BATCH_SIZE = 4
COMPARED = 8  # clips whose pixels are compared
DECODERS = DECODER_NAMES[1:]  # without "auto"
VARIANTS = {
    "family": "the family's path, with Pillow",
    **{name: f"ours, frames decoded by {name}" for name in DECODERS},
    **{form: f"ours, from {form}, the fastest decoder" for form in FORMS},
    "decode": "only reading and decoding all T*L frames of a clip, by the fastest decoder",
    "decode_unique": "the same, a frame that segments share once",
}


class DecodeOnly(Dataset[int]):
    """Reads and decodes what a clip needs, and drops it."""

    def __init__(self, videos: VideoDataset, *, unique: bool) -> None:
        self.videos, self.unique = videos, unique

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> int:
        reader, sampled = self.videos.sample(*key)
        for number in np.unique(sampled.indices) if self.unique else sampled.indices.flat:
            next(reader.frames([number], []))
        return key[1]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--variants", nargs="+", choices=list(VARIANTS), metavar="VARIANT",
        help="; ".join(f"{name}: {text}" for name, text in VARIANTS.items())
        + ". If not given: family, every decoder that is installed, decode, decode_unique",
    )  # fmt: skip
    parser.add_argument(
        "--base", nargs="+", choices=list(VARIANTS), default=["family", "decode"], metavar="VARIANT",
        help="what the ratios are to",
    )  # fmt: skip
    material.add_options(parser, "train", clips=48, num_frames=[48], size=(320, 240))
    add_augmentation_options(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the JSON file holds."""
    names = list(dict.fromkeys([*(args.variants or default_variants()), *args.base]))
    forms = sorted({form_of(name) for name in names})
    tables = [
        {"videos": title, **measure(args, names, specs, title)}
        for title, specs in material.materials(args, "train", forms)
    ]
    return {"tables": tables}


def default_variants() -> list[str]:
    """All that reads frame folders and works here."""
    return ["family", *(name for name in DECODERS if _works(name)), "decode", "decode_unique"]


def _works(decoder: str) -> bool:
    try:
        choose_decoder(decoder)
    except InputError:
        return False
    return True


def form_of(variant: str) -> str:
    """What a variant reads."""
    return variant if variant in FORMS else "folder"


def measure(
    args: argparse.Namespace, names: Sequence[str], specs: Mapping[str, DatasetSpec], title: str
) -> dict[str, Any]:
    """One table."""
    datasets = {name: make_dataset(name, specs[form_of(name)], args) for name in names}
    counts = worker_counts(args.workers)
    times: dict[int, Times] = {}
    for workers in counts:
        passes = {name: one_pass(dataset, workers) for name, dataset in datasets.items()}
        times[workers] = alternate(passes, rounds=args.rounds)
    clips = len(next(iter(datasets.values())))
    pixels = pixel_differences(datasets)
    print(
        f"\n{title}: {args.num_segments} x {args.frames_per_segment} frames of {clips} videos, {args.input_size} px; "
        f"median (quartiles) of {args.rounds} passes"
    )
    print_speeds(names, times, clips, args.base, pixels)
    for form, spec in specs.items():
        files, size = volume(spec)
        print(f"{form}: {files} files, {size / 1e6:.1f} MB")
    return {
        "clips": clips, "seconds": times, "pixels": pixels,
        "speed_ratio_to": {
            base: {w: {name: asdict(ratios(t[base], t[name])) for name in names} for w, t in times.items()}
            for base in args.base
        },
    }  # fmt: skip


def worker_counts(most: int) -> list[int]:
    """0, 1, 2, 4, ... and `most`."""
    return sorted({0, most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})


def make_dataset(variant: str, spec: DatasetSpec, args: argparse.Namespace) -> Dataset:
    """What a variant reads clips with. All make the same draws."""
    videos = train_dataset(
        spec, num_segments=args.num_segments, frames_per_segment=args.frames_per_segment, input_size=args.input_size,
        seed=0, flip=not args.no_flip, decoder=variant if variant in DECODERS else "auto",
    )  # fmt: skip
    if variant == "family":
        return FamilyDataset(videos, videos.plan)
    return DecodeOnly(videos, unique=variant == "decode_unique") if variant.startswith("decode") else videos


def one_pass(dataset: Dataset, workers: int) -> Callable[[], None]:
    """A function that reads all clips once, each time in another epoch, the same for all variants."""
    if isinstance(dataset, VideoDataset):
        loader: DataLoader = make_loader(dataset, batch_size=BATCH_SIZE, workers=workers, shuffle=True)
    else:
        videos: VideoDataset = dataset.videos  # type: ignore[attr-defined]
        sampler = EpochSampler(len(videos), seed=0, shuffle=True)
        loader = DataLoader(dataset, BATCH_SIZE, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)
    epoch = 0

    def read_all() -> None:
        nonlocal epoch
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        epoch += 1
        for _ in loader:
            pass

    return read_all


def pixel_differences(datasets: Mapping[str, Dataset]) -> dict[str, tuple[int, float]]:
    """Largest and mean difference to the family's pixels, for ours that read the same files."""
    differences = {}
    for name, videos in datasets.items():
        if isinstance(videos, VideoDataset) and form_of(name) == "folder":
            family = FamilyDataset(videos, videos.plan)
            apart = []
            for index in range(min(COMPARED, len(videos))):
                clip = videos[0, index].clip
                expected = to_pixels(family[0, index][0], clip.shape[:2])
                apart.append((clip.int() - expected.int()).abs())
            differences[name] = max(int(a.max()) for a in apart), float(np.mean([a.double().mean() for a in apart]))
    return differences


def print_speeds(
    names: Sequence[str], times: Mapping[int, Times], clips: int, bases: Sequence[str],
    pixels: Mapping[str, tuple[int, float]],
) -> None:  # fmt: skip
    head, rows = ["variant"], [[f"`{name}`"] for name in names]
    for workers, measured in times.items():
        title = f"{workers or 'no'} worker{'s' * (workers != 1)}"
        head += [f"clips/s, {title}", *(f"x {base}" for base in bases)]
        for row, name in zip(rows, names, strict=True):
            speeds = Spread.of([clips / taken for taken in measured[name]])
            row += [speeds.text(1), *(ratios(measured[base], measured[name]).text() for base in bases)]
    head.append("pixels from the family's, largest / mean")
    for row, name in zip(rows, names, strict=True):
        row.append("{} / {:.3f}".format(*pixels[name]) if name in pixels else "-")
    print_table(head, rows)
