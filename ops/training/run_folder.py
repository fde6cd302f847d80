"""The folders of a training run: found or created, locked while it runs, and never shared with another run."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from common.errors import InputError
from common.files import make_folder, remove_unfinished
from common.folder_lock import LOCK, FolderInUseError, FolderLock
from ops.runtime import Runtime
from ops.training.run_log import EVENTS, LINES, OPTIONS, STEPS

LATEST, PREVIOUS, BEST = "ckpt.pth.tar", "ckpt.previous.pth.tar", "ckpt.best.pth.tar"
OF_EPOCH = "ckpt.epoch_{}.pth.tar"  # the best epochs with --keep_best


@dataclass
class RunFolder:
    """The folders of one run."""

    folder: Path  # checkpoints and options
    log_folder: Path  # curves; the same folder unless --root_log and --root_model differ
    starts: list[Path] = field(default_factory=list)  # checkpoints to resume from, the newest first
    locks: list[FolderLock] = field(default_factory=list)  # of the main process

    @property
    def start(self) -> Path | None:
        """The checkpoint to resume from, unless it is damaged."""
        return self.starts[0] if self.starts else None

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is one to resume from."""
        return (self.folder / LATEST).exists() or (self.folder / PREVIOUS).exists()

    @property
    def is_resumable(self) -> bool:
        """Whether a run can continue here: one with a checkpoint, or one that was stopped before its first."""
        if self.has_checkpoint or not self.folder.is_dir():
            return self.has_checkpoint
        names = {path.name for path in self.folder.iterdir()}
        log = self.log_folder / LINES
        return (not names or bool(names & {LOCK, OPTIONS})) and not (log.exists() and log.stat().st_size)

    def to_continue(self, resume: str | None) -> str:
        """The value of --resume that continues this run, which was started with `resume`."""
        in_place = self.start is not None and self.start.parent == self.folder
        return resume if resume and (in_place or not self.has_checkpoint) else "auto"

    def require_valid(self) -> None:
        """Refuse to continue if a folder was deleted or replaced."""
        for lock in self.locks:
            if not lock.is_valid():
                raise InputError(
                    f"{lock.path.parent} was deleted, moved or replaced during the run, which stopped without "
                    "writing to it; move a run's folder only after the run has ended"
                )


@contextmanager
def claimed_run(
    root_model: Path, root_log: Path, name: str, resume: str | None, runtime: Runtime
) -> Iterator[RunFolder]:
    """Find or make the folders of a run, and lock them until the end of the block. The main process decides for all.

    A new run gets `name`, `name-2`, `name-3`, ...: the first number above all existing ones. With `resume` "auto" the
    newest run of this name continues, even if it was stopped before its first checkpoint; with a checkpoint, the run
    whose latest it is. A checkpoint from elsewhere continues in a new folder. Files that a killed process has left
    unfinished are removed, and so is a new folder if the block fails before a checkpoint is written.

    A root that cannot be written, or another process that uses this run's folder, raises an `InputError`.
    """
    with ExitStack() as stack:
        run = None
        if runtime.is_main:
            make_folder(root_log, "--root_log")
            make_folder(root_model, "--root_model")
            existing = _existing(root_model, root_log, name, resume)
            run = _reopen(root_model, root_log, existing) if existing else _new(root_model, root_log, name)
            for lock in run.locks:
                stack.callback(lock.release)
            remove_unfinished(run.folder, LATEST, BEST, OPTIONS)
            remove_unfinished(run.log_folder, LINES)
            if run.has_checkpoint:
                names = (LATEST, PREVIOUS, BEST) if resume == "auto" else (LATEST,)
                run.starts = [run.folder / name for name in names if (run.folder / name).exists()]
            elif resume not in (None, "auto"):
                run.starts = [Path(resume)]
        own, starts = runtime.gather(run and (run.folder.name, run.starts))[0]
        try:
            yield run or RunFolder(root_model / own, root_log / own, starts)
        except InputError:
            if run is not None and not run.has_checkpoint and all(lock.is_valid() for lock in run.locks):
                _remove_unused({run.folder, run.log_folder})
            raise


def _existing(root_model: Path, root_log: Path, name: str, resume: str | None) -> str | None:
    """The name of the folder in which a run continues, if there is one."""
    if resume == "auto":
        newest_first = sorted(_numbers([root_model], name), reverse=True)
        names = (_numbered(name, number) for number in newest_first)
        return next((own for own in names if RunFolder(root_model / own, root_log / own).is_resumable), None)
    if resume and Path(resume).name == LATEST and Path(resume).exists():
        folder = Path(os.path.abspath(resume)).parent  # not resolved: it may be a link to a folder on another disk
        return folder.name if folder.parent.resolve() == root_model.resolve() else None
    return None


def _reopen(root_model: Path, root_log: Path, own: str) -> RunFolder:
    folder, log_folder = make_folder(root_model / own, "--root_model"), make_folder(root_log / own, "--root_log")
    try:
        return RunFolder(folder, log_folder, locks=_lock(folder, log_folder))
    except FolderInUseError as error:
        raise FolderInUseError(
            f"{error}. To start a second run, leave --resume out or give another --suffix"
        ) from error


def _new(root_model: Path, root_log: Path, name: str) -> RunFolder:
    """New folders of this run alone: mkdir fails if one exists, on file servers as well."""
    flags = {root_model: "--root_model"}
    if not root_model.samefile(root_log):
        flags[root_log] = "--root_log"
    for number in count(max(_numbers(flags, name), default=0) + 1):
        own = _numbered(name, number)
        made: list[Path] = []
        try:
            for root in flags:
                (root / own).mkdir()
                made.append(root / own)
            return RunFolder(root_model / own, root_log / own, locks=_lock(*made))
        except FileExistsError:
            for folder in made:
                with suppress(OSError):  # `--resume auto` of another process took it meanwhile
                    folder.rmdir()
        except FolderInUseError:  # for the same reason
            continue
        except OSError as error:
            raise InputError(f"cannot create {own} in {root}: {error.strerror}; give another {flags[root]}") from error
    raise AssertionError("count() never ends")


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _numbers(roots: Iterable[Path], name: str) -> set[int]:
    """Numbers of the existing runs `name` (1), `name-2`, `name-3`, ..."""
    pattern = re.compile(re.escape(name) + "(?:-([2-9]|[1-9][0-9]+))?")
    found = [pattern.fullmatch(path.name) for root in roots for path in root.iterdir()]
    return {int(match[1] or 1) for match in found if match}


def _lock(*folders: Path) -> list[FolderLock]:
    """Locks of all folders, or of none."""
    locks: list[FolderLock] = []
    try:
        for folder in folders:
            if not any(folder.samefile(lock.path.parent) for lock in locks):
                locks.append(FolderLock(folder))
    except InputError:
        for lock in locks:
            lock.release()
        raise
    return locks


def _remove_unused(folders: set[Path]) -> None:
    """Remove folders in which a run has left nothing but the record of its start."""
    names = {path.name for folder in folders for path in folder.iterdir()}
    if any(name not in (LOCK, OPTIONS, LINES, STEPS) and not name.startswith(EVENTS) for name in names):
        return
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
