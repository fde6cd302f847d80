#!/usr/bin/env python
"""Damage files at random and read them: each must give its content, or one error that names the file.

A file that is read with other content is silent damage. Formats without checksums (lists, class names, JPEGs, most
videos) cannot always reveal it; pickles, checkpoints and archives must. Exit status 1: a traceback or a hang.
"""

import argparse
import hashlib
import json
import shutil
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as Timeout  # the built-in one from Python 3.11
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from common.cli import SEED, make_parser, number
from common.console import answer_help, run_script
from common.errors import InputError
from common.files import make_folder


def fuzz_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("what", nargs="*", metavar="KIND", help="by default all; a wrong one lists the known ones")
    text = "videos to damage and to take frames from"
    parser.add_argument("--videos", nargs="+", required=True, type=Path, metavar="FILE", help=text)
    parser.add_argument("--tries", type=number(int, 1), default=200, help="damaged files of each kind")
    parser.add_argument("--seed", type=SEED, default=0, help="seed of the damage")
    text = "folder for files that gave a traceback, hung, or were read with other content"
    parser.add_argument("--output_dir", type=Path, default=Path("runs/fuzz"), help=text)
    return parser


if __name__ == "__main__":
    answer_help(fuzz_parser())  # before torch is loaded

import numpy as np
import safetensors.torch
import torch
from tqdm import tqdm

from datasets.built_in.motions import CLASS_NAMES
from datasets.class_names import read_class_names
from datasets.lists import VideoRecord, format_line, read_list
from datasets.preparing.extraction import Extraction
from datasets.reading.readers import open_record
from datasets.reading.video_file import VideoFile
from ops.scoring.pickles import read_scores, write_scores
from ops.weights.file import METADATA_KEY, read_checkpoint, save_checkpoint, tensor_digest

Sound = tuple[Path, Callable[[], Any]]  # an undamaged file, and a function that reads its content
OUTCOMES = ("refused", "equal", "other", "traceback", "hang")
LIMIT = 60  # seconds until a try counts as a hang
FRAMES = 8  # read per video
WORDS = (b"\0", b"\xff\xfe", b"../", b"-1", b" 99999999999999999999", b"\n", "\u2028".encode(), b"<b>", b"\x1b[2J")


def lists(folder: Path, _video: Path) -> Sound:
    path = folder / "train.txt"
    path.write_text("".join(format_line(VideoRecord(f"a {i}/video_{i}", 30 + i, i % 7)) for i in range(40)))
    return path, partial(read_list, path)


def class_names(folder: Path, _video: Path) -> Sound:
    path = folder / "classes.txt"
    path.write_text("".join(f"{name}\n" for name in CLASS_NAMES))
    return path, partial(read_class_names, path)


def pickles(folder: Path, _video: Path) -> Sound:
    path = folder / "0_crop0.pkl"
    logits = np.random.default_rng(0).normal(size=(20, 12))
    write_scores(path, logits, [i % 12 for i in range(20)], [f"video_{i}" for i in range(20)])
    return path, partial(scores, path)


def scores(path: Path) -> Any:
    found = read_scores(path)
    return found.logits.tolist(), found.labels.tolist(), found.video_ids


def checkpoints(form: str, folder: Path, _video: Path) -> Sound:
    """As train.py or scripts/publish.py write them; "old" is torch's format before 1.6, which has no checksums."""
    path, generator = folder / f"ckpt.{form}", torch.Generator().manual_seed(0)
    state = {f"layer{i}.weight": torch.randn(4, 30, generator=generator) for i in range(8)}
    about = {"trained_on": {"net": "H2CN"}, "epoch": 3, "digest": tensor_digest({"state_dict": state})}
    if form == "zip":
        save_checkpoint(path, {**about, "state_dict": state})
    elif form == "old":
        torch.save({**about, "state_dict": state}, path, _use_new_zipfile_serialization=False)
    else:
        content = safetensors.torch.save(state, {METADATA_KEY: json.dumps(about)})
        path = folder / f"ckpt-{hashlib.sha256(content).hexdigest()[:8]}.safetensors"
        path.write_bytes(content)
    return path, partial(checkpoint, path)


def checkpoint(path: Path) -> Any:
    content = read_checkpoint(path)
    return tensor_digest(content), sorted((name, value) for name, value in content.items() if name != "state_dict")


def archives(folder: Path, video: Path) -> Sound:
    count = Extraction(pack=True, short_side=64)(video, folder / "packed")
    return folder / "packed.zip", partial(frames, folder, "packed", count)


def jpegs(folder: Path, video: Path) -> Sound:
    Extraction()(video, folder / "frames")
    return folder / "frames/00001.jpg", partial(frames, folder, "frames", 1)


def videos(folder: Path, video: Path) -> Sound:
    """Read with the listed number of frames."""
    path = folder / f"video{video.suffix}"
    path.write_bytes(video.read_bytes())
    return path, partial(frames, folder, path.name, VideoFile(path).num_frames)


def frames(folder: Path, name: str, num_frames: int) -> Any:
    reader = open_record(folder, VideoRecord(name, num_frames, 0), "{:05d}.jpg")
    numbers = np.linspace(0, reader.num_frames - 1, FRAMES, dtype=int)
    found = reader.frames(sorted(set(numbers.tolist())))
    return sorted((i, hashlib.sha256(image.tobytes()).hexdigest()) for i, image in found)


KINDS: dict[str, Callable[[Path, Path], Sound]] = {
    "lists": lists, "class_names": class_names, "pickles": pickles, "checkpoints": partial(checkpoints, "zip"),
    "old_checkpoints": partial(checkpoints, "old"), "safetensors": partial(checkpoints, "safetensors"),
    "archives": archives, "jpegs": jpegs, "videos": videos,
}  # fmt: skip


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The content with one or three faults, half of them near its start or end, where headers and tables are."""
    for _ in range(rng.choice([1, 1, 1, 3])):
        start = int(rng.integers(len(data) + 1))
        if rng.random() < 0.5:
            start = min(start % 500, len(data)) if rng.random() < 0.5 else max(len(data) - start % 500, 0)
        piece = data[start : start + int(rng.choice([1, 1, 2, 8, 100, 4096]))]
        new = (
            bytes([piece[0] ^ 1 << int(rng.integers(8))]) + piece[1:] if piece else b"",  # a flipped bit
            rng.bytes(len(piece)),
            bytes(len(piece)),  # as after a power cut
            b"",
            piece + piece,
            piece + WORDS[rng.integers(len(WORDS))],
        )
        rest = b"" if rng.random() < 0.1 else data[start + len(piece) :]
        data = data[:start] + new[rng.integers(len(new))] + rest
    return data


def attempt(read: Callable[[], Any], expected: str) -> tuple[str, str]:
    """Read a file; returns one of `OUTCOMES`, and the traceback if there is one."""
    warnings.simplefilter("ignore")
    try:
        return "equal" if repr(read()) == expected else "other", ""
    except InputError:
        return "refused", ""
    except BaseException:
        return "traceback", traceback.format_exc()


def fuzz(kind: str, sources: Sequence[Path], tries: int, seed: int, kept: Path) -> Counter[str]:
    """Count the outcomes of `tries` damaged files; keep failures, and files read with other content, in a folder."""
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        sound = []
        for source in sources:
            path, read = KINDS[kind](Path(stack.enter_context(TemporaryDirectory())), source)
            sound.append((path, path.read_bytes(), read, repr(read())))
        pool = ProcessPoolExecutor(1)
        for number in tqdm(range(tries), kind, disable=None, leave=False):
            rng = np.random.default_rng([seed, *kind.encode(), number])
            path, data, read, expected = sound[rng.integers(len(sound))]
            path.write_bytes(damaged(data, rng))
            try:
                outcome, report = pool.submit(attempt, read, expected).result(LIMIT)
            except (BrokenProcessPool, Timeout) as error:
                outcome, report = ("hang", "") if isinstance(error, Timeout) else ("traceback", "the process crashed")
                for process in active_children():
                    process.kill()
                pool = ProcessPoolExecutor(1)
            counts[outcome] += 1
            if outcome in ("other", "traceback", "hang"):
                copy = Path(shutil.copy(path, kept / f"{kind}_{number}_{outcome}{path.suffix}"))
                if report:
                    copy.with_suffix(".report").write_text(report)
        pool.shutdown()
    return counts


def main(argv: list[str] | None = None) -> None:
    args = fuzz_parser().parse_args(argv)
    unknown = [kind for kind in args.what if kind not in KINDS]
    if unknown:
        raise InputError(f"there is no kind {unknown[0]}; give some of {', '.join(KINDS)}")
    kept = make_folder(args.output_dir, "--output_dir")
    failed = 0
    print(f"{'kind':16}{'tries':>8}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES))
    for kind in args.what or KINDS:
        counts = fuzz(kind, args.videos, args.tries, args.seed, kept)
        print(f"{kind:16}{args.tries:>8}" + "".join(f"{counts[outcome]:>11}" for outcome in OUTCOMES), flush=True)
        failed += counts["traceback"] + counts["hang"]
    if failed:
        print(f"{failed} failed: see {kept}")
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
