"""Run folders: made exclusively, found again, and locked while their process is alive."""

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from interruptions import needs_posix

from common import folder_lock
from common.errors import InputError
from common.folder_lock import FolderInUseError, FolderLock
from ops.runtime import Runtime
from ops.training.run_folder import claimed_run
from ops.training.run_log import RunLog

RUNTIME = Runtime(torch.device("cpu"))


def claim(root: Path, resume: str | None = None, log: Path | None = None) -> Any:
    return claimed_run(root, log or root, "name", resume, RUNTIME)


def finished(root: Path, resume: str | None = None, log: Path | None = None) -> str:
    """The name of a run that writes a checkpoint and ends."""
    with claim(root, resume, log) as run:
        (run.folder / "ckpt.pth.tar").touch()
    return run.folder.name


@contextmanager
def elsewhere(work: Callable[[], None]) -> Iterator[multiprocessing.Process]:
    """Another process that does `work` and then waits for the end of the block."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()

    def main() -> None:
        work()
        there.send("ready")
        there.recv()

    process = fork.Process(target=main, daemon=True)
    process.start()
    assert here.poll(30)
    yield process
    process.kill()
    process.join()


def test_every_run_has_its_own_folder(tmp_path: Path) -> None:
    assert [finished(tmp_path) for _ in range(3)] == ["name", "name-2", "name-3"]
    (tmp_path / "name" / "ckpt.pth.tar").unlink()
    (tmp_path / "name" / "run.lock").unlink()
    (tmp_path / "name").rmdir()
    (tmp_path / "name-10x").mkdir()  # of another name
    assert finished(tmp_path) == "name-4"  # no number is used twice: the highest is the newest


@needs_posix
def test_simultaneous_starts_do_not_share_a_folder(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    start, results = fork.Barrier(4), fork.Queue()

    def main() -> None:
        start.wait()
        with claim(tmp_path / "models", log=tmp_path / "logs") as run:
            results.put((run.folder.name, run.log_folder.name))
            start.wait()

    processes = [fork.Process(target=main) for _ in range(4)]
    for process in processes:
        process.start()
    names = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len({folder for folder, _ in names}) == 4
    assert all(folder == log for folder, log in names)


def test_a_log_folder_of_another_run_is_not_used(tmp_path: Path) -> None:
    """One --root_log for all, a new --root_model for each."""
    logs = tmp_path / "logs"
    assert finished(tmp_path / "a", log=logs) == "name"
    (logs / "name" / "log.jsonl").write_text('{"epoch": 0}\n')
    assert finished(tmp_path / "b", log=logs) == "name-2"
    assert finished(tmp_path / "b", "auto", logs) == "name-2"
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["name-2"]
    assert (logs / "name" / "log.jsonl").read_text() == '{"epoch": 0}\n'


def test_auto_continues_the_newest_run(tmp_path: Path) -> None:
    assert finished(tmp_path, "auto") == "name"
    assert finished(tmp_path) == "name-2"
    with claim(tmp_path, "auto") as run:
        assert run.start == tmp_path / "name-2" / "ckpt.pth.tar"
        assert run.to_continue("auto") == "auto"


def test_auto_has_more_than_one_checkpoint_to_resume_from(tmp_path: Path) -> None:
    assert finished(tmp_path) == "name"
    for name in ("ckpt.previous.pth.tar", "ckpt.best.pth.tar"):
        (tmp_path / "name" / name).touch()
    names = ["ckpt.pth.tar", "ckpt.previous.pth.tar", "ckpt.best.pth.tar"]
    for first in (0, 1):
        with claim(tmp_path, "auto") as run:
            assert run.starts == [tmp_path / "name" / name for name in names[first:]]
        if first == 0:
            with claim(tmp_path, str(tmp_path / "name" / "ckpt.pth.tar")) as run:
                assert run.starts == [tmp_path / "name" / "ckpt.pth.tar"]
            (tmp_path / "name" / "ckpt.pth.tar").unlink()  # as if it had been moved away, because it is damaged


def test_the_unfinished_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    assert finished(tmp_path) == "name"
    for name in (".ckpt.pth.tar.12.tmp", ".ckpt.best.pth.tar.12.tmp", ".log.jsonl.12.tmp", ".mine.12.tmp"):
        (tmp_path / "name" / name).touch()
    with claim(tmp_path, "auto"):
        assert [path.name for path in (tmp_path / "name").glob(".*")] == [".mine.12.tmp"]


@pytest.mark.parametrize("left", [[], ["options.json"], ["options.json", "ckpt.best.pth.tar", "log.jsonl"]])
def test_a_run_that_was_killed_before_its_first_checkpoint_stays_in_its_folder(tmp_path: Path, left: list[str]) -> None:
    assert finished(tmp_path) == "name"
    (tmp_path / "name-2").mkdir()
    for name in left:
        (tmp_path / "name-2" / name).touch()
    with claim(tmp_path, "auto") as run:
        assert (run.folder.name, run.start) == ("name-2", None)


@pytest.mark.parametrize("left", [{"0_crop0.pkl": ""}, {"options.json": "{}", "log.jsonl": '{"epoch": 0}\n'}])
def test_auto_skips_folders_that_are_not_runs_or_lost_their_checkpoint(tmp_path: Path, left: dict[str, str]) -> None:
    (tmp_path / "name").mkdir()
    for name, text in left.items():
        (tmp_path / "name" / name).write_text(text)
    assert finished(tmp_path, "auto") == "name-2"


def test_a_run_continues_in_its_folder_however_its_path_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("q/run", "disk"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "ckpt.pth.tar").touch()
    (tmp_path / "q" / "ckpt.pth.tar").touch()
    (tmp_path / "link").symlink_to("q")
    (tmp_path / "q" / "moved").symlink_to(tmp_path / "disk")
    for root in (Path("q"), tmp_path / "q", Path("link")):
        for resume in (f"{tmp_path}/q/run/ckpt.pth.tar", "q/run/ckpt.pth.tar", "q/../q/run/ckpt.pth.tar"):
            with claim(root, resume) as run:
                assert (run.folder.name, run.to_continue(resume)) == ("run", resume)
        with claim(root, "q/moved/ckpt.pth.tar") as run:
            assert run.folder.name == "moved"
        with claim(root, "q/ckpt.pth.tar") as run:  # from elsewhere
            assert run.folder.name.startswith("name")
            assert (run.start, run.to_continue("q/ckpt.pth.tar")) == (Path("q/ckpt.pth.tar"), "q/ckpt.pth.tar")
            (run.folder / "ckpt.pth.tar").touch()
            assert run.to_continue("q/ckpt.pth.tar") == "auto"
    monkeypatch.chdir(tmp_path / "q" / "run")
    with claim(tmp_path / "q", "ckpt.pth.tar") as run:
        assert run.folder.name == "run"


@needs_posix
def test_a_live_run_has_its_folder_to_itself_and_a_dead_one_is_no_obstacle(tmp_path: Path) -> None:
    """Even while a worker of the dead one, which has inherited its files, is alive."""
    logs, workers = tmp_path / "logs", multiprocessing.get_context("fork").Queue()
    assert finished(tmp_path, log=logs) == "name"

    def work() -> None:
        held.append(claim(tmp_path, "auto", logs))
        held[0].__enter__()
        if os.fork() == 0:
            workers.put(os.getpid())
            signal.pause()

    held: list[Any] = []
    with elsewhere(work) as process:
        for resume in ("auto", str(tmp_path / "name" / "ckpt.pth.tar")):
            with pytest.raises(FolderInUseError, match=rf"{process.pid} on .*--suffix"), claim(tmp_path, resume, logs):
                pass
        with pytest.raises(FolderInUseError), claim(tmp_path / "copy", "auto", logs) as run:
            FolderLock(logs / "name")
        assert finished(tmp_path, log=logs) == "name-2"  # a new run goes beside it
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        resume = str(tmp_path / "name" / "ckpt.pth.tar")
        with claim(tmp_path, resume, logs) as run:
            assert run.folder.name == "name"
        os.kill(workers.get(timeout=30), signal.SIGKILL)


def test_a_disk_without_locks_is_named(tmp_path: Path, monkeypatch, caplog) -> None:
    def unsupported(_file: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock, "_lock", unsupported)
    assert finished(tmp_path) == "name"
    assert f"{tmp_path}/name cannot be locked (No locks available)" in caplog.text


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_deleted_during_the_run_is_not_written_to(tmp_path: Path, again: bool) -> None:
    with claim(tmp_path) as run:
        run.require_valid()
        (run.folder / "run.lock").unlink()
        run.folder.rmdir()
        if again:
            finished(tmp_path)
        with pytest.raises(InputError, match=r"name was deleted, moved or replaced"):
            run.require_valid()


@pytest.mark.parametrize(
    ("error", "left", "stays"),
    [
        (InputError, ["options.json", "log.jsonl", "events.out.tfevents.1", "steps"], False),
        (InputError, ["options.json", "bad_frames.txt"], True),
        (InputError, ["ckpt.pth.tar"], True),
        (KeyboardInterrupt, ["options.json"], True),
    ],
)
def test_a_start_that_fails_leaves_no_folder(
    tmp_path: Path, error: type[BaseException], left: list[str], stays: bool
) -> None:
    def fail() -> None:
        with claim(tmp_path / "m", log=tmp_path / "l") as run:
            for name in left:
                (run.folder / name).touch()
            raise error

    with pytest.raises(error):
        fail()
    assert [(tmp_path / root / "name").exists() for root in "ml"] == [stays, stays]


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for flag, roots in (("root_model", ("file", ".")), ("root_log", (".", "file"))):
        with pytest.raises(InputError, match=f"--{flag}"), claim(tmp_path / roots[0], log=tmp_path / roots[1]):
            pass


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch) -> None:
    def full(_file: int, _text: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_lock.os, "write", full)
    with pytest.raises(InputError, match="cannot create name in .*No space left|cannot write to .*No space left"):
        claim(tmp_path).__enter__()


def test_the_log_of_another_run_is_not_continued(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for epoch in range(5):
        log.write(epoch, {"train/loss": float(epoch)})
    log.close()
    before = (tmp_path / "log.jsonl").read_text()
    for start, figures in ((3, {"train/loss": 7.0}), (9, {"train/loss": 8.0})):
        with pytest.raises(InputError, match=r"log of another run.*--root_log"):
            RunLog(tmp_path, start, figures)
        assert (tmp_path / "log.jsonl").read_text() == before
    RunLog(tmp_path, 6, {"train/loss": 5.0}).close()  # the line of its last epoch was not written
    RunLog(tmp_path, 3, {"train/loss": 2.0}).close()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "line", ["1", "null", '"epoch"', '{"epoch": true}', '{"epoch": 1e400}', '{"epoch": -1}', '{"epoch": 1.5}',
             "[" * 100_000, "NaN", ""],
)  # fmt: skip
def test_odd_lines_of_a_log(tmp_path: Path, line: str) -> None:
    (tmp_path / "log.jsonl").write_text(f'{{"epoch": 0}}\n{line}\n')
    with pytest.raises(InputError, match=r"line 2 of \S+log\.jsonl"):
        RunLog(tmp_path, 1)
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(InputError, match="--root_log"):
        RunLog(tmp_path, 1)
