#!/usr/bin/env python
"""Extract the frames of listed video files into folders or archives, and write the list of what was extracted.

Rerun the same command to resume. OUT_LIST.failed.txt names the videos that failed, and why.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # scripts run from the project's folder, not installed

from joblib import cpu_count

from common.cli import make_parser, number
from common.console import run_script, take_sigterm_as_ctrl_c
from common.errors import InputError, counted, quoted, unforeseen
from common.files import write_whole
from datasets.catalogue import checked_template
from datasets.lists import UNWRITABLE, VideoRecord, format_line, is_writable, read_list
from datasets.missing_path import there_is
from datasets.preparing.extraction import Extraction, image_format, remove_leftovers
from datasets.preparing.parallel import StoppedError, in_processes

SETTINGS_FILE = ".extraction.json"  # in the frame root: how its frames were made
SHOWN = 3  # failures


def extract_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.add_argument("list", type=Path, help="lines `path label` or `path num_frames label`; the frames are counted")
    parser.add_argument("video_root", type=Path, help="folder that the paths are relative to")
    parser.add_argument("frame_root", type=Path, help="folder for the frames, with one folder or archive per video")
    parser.add_argument("out_list", type=Path, help="list of what was extracted, `path num_frames label`")
    size = parser.add_mutually_exclusive_group()
    pixels = number(int, 1, 16384)
    size.add_argument("--short_side", type=pixels, help="shrink to this short side in pixels; smaller videos stay")
    text = "resize to exactly this; 320 240 makes training fastest"
    size.add_argument("--size", type=pixels, nargs=2, metavar=("W", "H"), help=text)
    rate = number(float, 0, 1000, open_low=True)
    parser.add_argument("--fps", type=rate, help="frames per second, those nearest in time; default: every frame")
    parser.add_argument("--image_tmpl", default="{:05d}.jpg", help="frame file name, numbered from 1; .png is lossless")
    parser.add_argument("--quality", type=number(int, 1, 95), default=90, help="JPEG quality, 1 to 95")
    parser.add_argument("--pack", action="store_true", help="one uncompressed .zip per video instead of a folder")
    parser.add_argument("-j", "--workers", type=number(int, 1), default=cpu_count(), help="videos at the same time")
    return parser


def target_names(records: Sequence[VideoRecord]) -> list[Path]:
    """Where the frames of each video go, below the frame root: its path without the suffix.

    Raises:
        InputError: outside the frame root, two to one place, or one among the frames of another.
    """
    names: dict[Path, str] = {}
    for record in records:
        path = Path(record.path)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise InputError(f"the list has {quoted(record.path)}; give paths below VIDEO_ROOT")
        name = path.with_suffix("")
        if name in names:
            raise InputError(
                f"{quoted(record.path)} and {quoted(names[name])} would both be extracted to {name}; rename one"
            )
        names[name] = record.path
    for name, path in names.items():
        around = next((parent for parent in name.parents if parent in names), None)
        if around is not None:
            raise InputError(
                f"{quoted(path)} would be extracted into the frames of {quoted(names[around])}; rename one"
            )
    return list(names)


def claim_root(frame_root: Path, how: Extraction) -> None:
    """Write down how the frames are made, or make sure that those that are there were made so.

    Raises:
        InputError: they were made in another way or by somebody else, or nothing can be written.
    """
    settings = frame_root / SETTINGS_FILE
    wanted = json.loads(json.dumps(asdict(how)))  # as it will be read back
    try:
        # Looked at first: another run of the same extraction may claim the folder in between.
        foreign = frame_root.exists() and any(not entry.name.startswith(".") for entry in frame_root.iterdir())
        if settings.exists():
            there = json.loads(settings.read_text())
            other = [f"{k} {there.get(k)!r}, now {value!r}" for k, value in wanted.items() if there.get(k) != value]
            if other:
                raise InputError(
                    f"{frame_root} has frames made with {'; '.join(other)}; give the same options, "
                    "remove it, or give another folder"
                )
        elif foreign:
            raise InputError(
                f"{frame_root} holds what this script did not make; move it away, or give a folder that is new or empty"
            )
        else:
            frame_root.mkdir(parents=True, exist_ok=True)
            write_whole(settings, json.dumps(wanted, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot write to {frame_root}: {error.strerror}; choose another folder") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{settings} is damaged ({error}); choose another folder") from error


def attempt(how: Extraction, paths: tuple[Path, Path]) -> int | InputError:
    """The number of frames; a bad video as a value, because it must not stop the others."""
    source, target = paths
    try:
        return how(source, target)
    except InputError as error:
        return error
    except OSError:  # of the disk that is written to
        raise
    except Exception as error:
        return unforeseen(source, error)


def describe(results: Sequence[int | InputError]) -> str:
    """Figures of the progress."""
    done = [result for result in results if isinstance(result, int)]
    return f"{counted(sum(done), 'frame')}, {counted(len(results) - len(done), 'video')} failed"


def extract_all(
    how: Extraction, records: Sequence[VideoRecord], video_root: Path, frame_root: Path, workers: int
) -> tuple[dict[str, VideoRecord], dict[str, InputError]]:
    """Extract every video once.

    Returns:
        Path of a video -> its record as frames; and path of a video that failed -> why.

    Raises:
        InputError: the frames cannot have these places, or a process was killed.
        OSError: the frames cannot be written.
        SystemExit: the user stopped it.
    """
    records = list(dict.fromkeys(records))
    names = target_names(records)
    claim_root(frame_root, how)
    take_sigterm_as_ctrl_c()
    try:
        paths = [(video_root / r.path, frame_root / name) for r, name in zip(records, names, strict=True)]
        remove_leftovers({target.parent for _, target in paths})
        results = in_processes(partial(attempt, how), paths, "extract", workers, describe)
    except StoppedError as stop:
        if not stop.by_user:
            raise InputError(f"{stop}; rerun the same command to resume") from stop
        logging.info("\nStopped. Rerun the same command to resume.")
        sys.exit(130)
    frames, failed = {}, {}
    for record, name, result in zip(records, names, results, strict=True):
        if isinstance(result, InputError):
            failed[record.path] = result
            continue
        extracted = replace(record, path=name.as_posix(), num_frames=result)
        if is_writable(extracted):
            frames[record.path] = extracted
        else:
            failed[record.path] = InputError(f"{quoted(extracted.path)}: {UNWRITABLE}")
    return frames, failed


def unwritable(error: OSError, path: Path) -> InputError:
    """What to say where nothing can be written."""
    reason = error.strerror or error
    return InputError(f"cannot write {error.filename or path}: {reason}; then rerun the same command to resume")


def refuse_failed(failed: Mapping[str, InputError], videos: int, reasons: Path, lists: str) -> None:
    """Raise an `InputError` if videos failed; the file `reasons` has all, and the `lists` have none of them."""
    if failed:
        heading = f"{len(failed)} of {counted(videos, 'video')} failed, left out of the {lists}; reasons in {reasons}:"
        more = [f"and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
        raise InputError("\n".join([heading, *map(str, list(failed.values())[:SHOWN]), *more]))


def write_results(
    out_list: Path, records: Sequence[VideoRecord], frames: Mapping[str, VideoRecord], failed: Mapping[str, InputError]
) -> None:
    """The list of what was extracted, and the file of what failed.

    Raises:
        InputError: a video failed.
    """
    write_whole(out_list, "".join(format_line(frames[r.path]) for r in records if r.path in frames))
    reasons = out_list.with_name(f"{out_list.name}.failed.txt")
    if failed:
        write_whole(reasons, "".join(f"{path}\t{fault}\n" for path, fault in failed.items()))
    else:
        reasons.unlink(missing_ok=True)
    refuse_failed(failed, len(frames) + len(failed), reasons, "list")


def main(argv: list[str] | None = None) -> None:
    args = extract_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    image_format(checked_template(args.image_tmpl))
    how = Extraction(
        image_tmpl=args.image_tmpl, short_side=args.short_side, size=args.size and tuple(args.size), fps=args.fps,
        quality=args.quality, pack=args.pack,
    )  # fmt: skip
    records = read_list(args.list, may_repeat=True)
    if not args.video_root.is_dir():
        there = there_is(args.video_root)
        raise InputError(
            f"there is no folder {args.video_root}; VIDEO_ROOT is what the list's paths are relative to{there}"
        )
    if args.out_list.exists() and args.out_list.samefile(args.list):
        raise InputError(f"{args.out_list} is the list of the videos; write the list of the frames to another file")
    try:
        args.out_list.parent.mkdir(parents=True, exist_ok=True)
        frames, failed = extract_all(how, records, args.video_root, args.frame_root, args.workers)
        write_results(args.out_list, records, frames, failed)
    except OSError as error:
        raise unwritable(error, args.frame_root) from error
    counts = f"{counted(len(frames), 'video')}, {counted(sum(r.num_frames for r in frames.values()), 'frame')}"
    logging.info("%s in %s; list: %s", counts, args.frame_root, args.out_list)


if __name__ == "__main__":
    run_script(main)
