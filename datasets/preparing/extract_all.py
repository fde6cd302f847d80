"""Extracts the frames of many videos: into one folder, in several processes, resumable."""

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from platform import node

from common.errors import InputError, counted, quoted, reason, refuse, unforeseen
from common.files import write_whole
from datasets.lists import UNWRITABLE, VideoRecord, is_writable
from datasets.preparing.extraction import UNFINISHED, Extraction, remove
from datasets.preparing.parallel import StoppedError, in_processes

SETTINGS_FILE = ".extraction.json"  # in the frame root: how its frames were made
SHOWN = 3  # failures
DAY = 24 * 60 * 60  # seconds


def extract_all(
    how: Extraction, records: Sequence[VideoRecord], video_root: Path, frame_root: Path, workers: int
) -> tuple[dict[str, VideoRecord], dict[str, InputError]]:
    """Extract every video once.

    Returns:
        Path of a video -> record of its frames; and path of a video that failed -> reason.
    """
    refuse([f"{r.id}: whole videos are extracted; list each once, without windows" for r in records if r.window])
    records = list(dict.fromkeys(records))
    names = _target_names(records)
    try:
        _claim_root(frame_root, how)
        paths = [(video_root / r.path, frame_root / name) for r, name in zip(records, names, strict=True)]
        _remove_leftovers({target.parent for _, target in paths})
        results = in_processes(partial(_extract, how), paths, "extracting", workers, _figures)
    except OSError as error:
        raise unwritable(error, frame_root) from error
    except StoppedError as stop:
        if not stop.by_user:
            raise InputError(f"{stop}; rerun the same command to resume") from stop
        logging.info("\nRerun the same command to resume.")
        raise KeyboardInterrupt from stop
    frames, failed = {}, {}
    for record, name, result in zip(records, names, results, strict=True):
        if isinstance(result, InputError):
            failed[record.path] = result
            continue
        extracted = record._replace(path=name, num_frames=result)
        if is_writable(extracted):
            frames[record.path] = extracted
        else:
            failed[record.path] = InputError(f"{quoted(name)}: {UNWRITABLE}")
    return frames, failed


def _target_names(records: Sequence[VideoRecord]) -> list[str]:
    """Folders of the frames below the frame root: paths without suffix, if they are inside it and do not collide."""
    names: dict[Path, str] = {}
    for record in records:
        path = Path(record.path)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise InputError(f"the list has {quoted(record.path)}; give paths below VIDEO_ROOT")
        name = path.with_suffix("")
        if name in names:
            both = f"{quoted(record.path)} and {quoted(names[name])}"
            raise InputError(f"{both} would both be extracted to {name}; rename one")
        names[name] = record.path
    for name, video in names.items():
        for parent in name.parents:
            if parent in names:
                around = f"the frames of {quoted(names[parent])}"
                raise InputError(f"{quoted(video)} would be extracted into {around}; rename one")
    return [name.as_posix() for name in names]


def _claim_root(frame_root: Path, how: Extraction) -> None:
    """Store the settings of the frames, or refuse existing frames with other settings or from elsewhere."""
    settings = frame_root / SETTINGS_FILE
    wanted = json.loads(json.dumps(asdict(how)))  # as it will be read back
    # Checked before the settings: another run of the same extraction may claim the folder in between.
    foreign = frame_root.exists() and any(not entry.name.startswith(".") for entry in frame_root.iterdir())
    if settings.exists():
        try:
            there = json.loads(settings.read_text())
        except json.JSONDecodeError as error:
            raise InputError(f"{settings} is damaged ({error}); choose another folder") from error
        other = [f"{k} {there.get(k)!r}, now {value!r}" for k, value in wanted.items() if there.get(k) != value]
        if other:
            raise InputError(
                f"{frame_root} has frames made with {'; '.join(other)}; give the same options, remove the folder, or "
                "choose another folder"
            )
    elif foreign:
        raise InputError(f"{frame_root} has files that were not made by this script; choose a new or empty folder")
    else:
        frame_root.mkdir(parents=True, exist_ok=True)
        write_whole(settings, json.dumps(wanted, indent=2) + "\n")


def _extract(how: Extraction, paths: tuple[Path, Path]) -> int | InputError:
    """The number of frames; the fault of a bad video is returned, because it must not stop the others."""
    source, target = paths
    try:
        return how(source, target)
    except InputError as error:
        return error
    except OSError:  # from the disk that is written to
        raise
    except Exception as error:
        return unforeseen(source, error)


def _figures(results: Sequence[int | InputError]) -> str:
    """Text for the progress."""
    done = [result for result in results if isinstance(result, int)]
    return f"{counted(sum(done), 'frame')}, {counted(len(results) - len(done), 'video')} failed"


def _remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove unfinished files of killed runs from these folders."""
    for folder in folders:
        for path in folder.glob(UNFINISHED.format(host="*", pid="*")):
            with suppress(FileNotFoundError):  # another run removes it too
                if _is_left_over(path):
                    remove(path)


def _is_left_over(unfinished: Path) -> bool:
    """Whether the process that wrote it is gone or, if it runs on another machine, wrote nothing for a day."""
    pid = unfinished.name.rpartition(".")[2]
    if unfinished.name != UNFINISHED.format(host=node(), pid=pid) or os.name != "posix":
        return time.time() - unfinished.stat().st_mtime > DAY
    try:
        os.kill(int(pid), 0)  # only asks; on Windows it would be Ctrl-C
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's process
        pass
    return False


def unwritable(error: OSError, path: Path) -> InputError:
    """The error for an `OSError` while writing."""
    where = error.filename or path
    return InputError(f"cannot write {where}: {reason(error)}; fix this, then rerun the same command to resume")


def refuse_failed(failed: Mapping[str, InputError], videos: int, reasons: Path, lists: str) -> None:
    """Raise an `InputError` if videos failed and were left out of the `lists`; the file `reasons` names all of them."""
    if failed:
        heading = f"{len(failed)} of {counted(videos, 'video')} failed, left out of the {lists}; reasons in {reasons}:"
        more = [f"and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
        raise InputError("\n".join([heading, *map(str, list(failed.values())[:SHOWN]), *more]))
