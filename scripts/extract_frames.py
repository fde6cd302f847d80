#!/usr/bin/env python
"""Extract the frames of listed video files as JPEG folders, and write the list of what was extracted."""

import argparse
import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from datasets.video import decode_video
from errors import InputError, run_script


class Listed(NamedTuple):
    """A line of the input: a video file under the video root, and what follows its name."""

    path: str
    label: str


def extract_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "list", type=Path, help="lines `path label` or `path num_frames label`; the number is counted anew"
    )
    parser.add_argument("video_root", type=Path, help="folder that the paths are relative to")
    parser.add_argument("frame_root", type=Path, help="one folder of frames a video is made here")
    parser.add_argument("out_list", type=Path, help="list of what was extracted, `path num_frames label`")
    parser.add_argument("--short_side", type=int, help="resize to this short side in pixels; smaller videos are kept")
    parser.add_argument("--image_tmpl", default="{:05d}.jpg", help="frame file name, counted from 1")
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs, 1 to 95")
    parser.add_argument("-j", "--workers", type=int, default=2, help="videos at a time")
    return parser


def read_videos(list_file: Path) -> list[Listed]:
    """Paths and labels of a list of video files."""
    try:
        lines = list_file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the list {list_file}: {error.strerror}") from error
    videos = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.rsplit(maxsplit=2)
        if len(fields) == 3 and not fields[1].isdecimal():  # the path has a blank, and there is no number of frames
            fields = line.rsplit(maxsplit=1)
        if len(fields) < 2 or not fields[-1].isdecimal():
            raise InputError(f"{list_file}:{number}: {line!r} is not `path label` or `path num_frames label`")
        videos.append(Listed(fields[0].strip(), fields[-1]))
    return videos


def extract(
    video: Listed, video_root: Path, frame_root: Path, image_tmpl: str, quality: int, short_side: int | None
) -> int:
    """Extract one video into a folder that gets its name when it is whole; one that is there is only counted.

    Returns:
        The number of frames.

    Raises:
        InputError: the video cannot be decoded, or has no frames.
    """
    folder = frame_root / Path(video.path).with_suffix("")
    if folder.is_dir():
        return sum(1 for _ in folder.iterdir())
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        count = 0
        for count, image in enumerate(decode_video(video_root / video.path), start=1):
            if short_side and min(image.size) > short_side:
                scale = short_side / min(image.size)
                image = image.resize((round(image.width * scale), round(image.height * scale)), reducing_gap=2)
            image.save(unfinished / image_tmpl.format(count), quality=quality)
        if count == 0:
            raise InputError(f"{video_root / video.path} has no frames")
        unfinished.rename(folder)
    finally:
        rmtree(unfinished, ignore_errors=True)
    return count


def attempt(work: partial, video: Listed) -> int | InputError:
    """`work`, with a bad video as a value: it must not stop the others."""
    try:
        return work(video)
    except InputError as error:
        return error


def main() -> None:
    args = extract_parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    videos = read_videos(args.list)
    work = partial(
        extract, video_root=args.video_root, frame_root=args.frame_root, image_tmpl=args.image_tmpl,
        quality=args.quality, short_side=args.short_side,
    )  # fmt: skip
    with ProcessPoolExecutor(args.workers) as pool:
        results = list(pool.map(partial(attempt, work), videos))
    good = [(v, count) for v, count in zip(videos, results, strict=True) if isinstance(count, int)]
    args.out_list.parent.mkdir(parents=True, exist_ok=True)
    args.out_list.write_text("".join(f"{Path(v.path).with_suffix('')} {count} {v.label}\n" for v, count in good))
    frames = sum(count for _, count in good)
    logging.info(
        "%d of %d videos, %d frames in %s; list: %s", len(good), len(videos), frames, args.frame_root, args.out_list
    )
    failed = [result for result in results if isinstance(result, InputError)]
    if failed:
        raise InputError("\n".join([f"{len(failed)} videos failed and are not in the list:", *map(str, failed)]))


if __name__ == "__main__":
    run_script(main)
