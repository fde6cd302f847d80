"""Programs in processes of their own that need not import torch again: a process forked early starts them.

Each forgets the project's modules, the tests' folders on `sys.path` and the handlers of pytest, so that it finds and
imports the project as `python script.py` does. Where a system has no fork, Python is started as usual.
"""

import atexit
import json
import logging
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import util
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
TESTS = str(ROOT / "tests")


class Starter:
    """A process, forked from this one before torch has started threads, that forks one more for each program."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the threads are pytest-xdist's
            self.pid = os.fork()
        if self.pid == 0:
            self._requests.close()
            _serve(theirs)
        theirs.close()

    def request(self, **request: object) -> None:
        self._requests.sendall(json.dumps(request).encode() + b"\n")

    def close(self) -> None:
        self._requests.shutdown(socket.SHUT_WR)  # also for workers that a failed test has left, which have a copy
        self._requests.close()
        os.waitpid(self.pid, 0)


_starters: list[Starter] = []


def start_starter() -> None:
    """Fork the process that `run_python` uses, once all modules are imported and before the first test."""
    if hasattr(os, "fork"):
        _starters.append(Starter())


def stop_starter() -> None:
    while _starters:
        _starters.pop().close()


def run_python(
    command: Sequence[str | Path],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` with captured text, for `[sys.executable, script or "-c" and a program, *arguments]`."""
    words = [str(part) for part in command]
    assert words[0] == sys.executable
    if not _starters:
        return subprocess.run(words, cwd=cwd, env=env, timeout=timeout, check=check, capture_output=True, text=True)
    with TemporaryDirectory() as folder:
        _starters[0].request(
            words=words[1:], cwd=str(cwd or os.getcwd()), env=dict(os.environ if env is None else env), folder=folder
        )
        status, end = Path(folder, "status"), time.monotonic() + timeout
        try:
            while not status.exists():
                if time.monotonic() > end:
                    raise subprocess.TimeoutExpired(words, timeout)
                time.sleep(0.01)
        except BaseException:  # including Ctrl-C: leave no process running
            with suppress(OSError):
                os.killpg(int(Path(folder, "pid").read_text()), signal.SIGKILL)
            raise
        out, err = (Path(folder, name).read_text() for name in ("out", "err"))
        done = subprocess.CompletedProcess(words, int(status.read_text()), out, err)
    if check:
        done.check_returncode()
    return done


def _serve(requests: socket.socket) -> None:
    """Start what is asked for until nobody can ask any more; wait for all, so that their CPU time is counted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watchers = []
    for line in requests.makefile():
        watchers.append(os.fork())
        if watchers[-1] == 0:
            requests.close()
            _watch(**json.loads(line))
    for watcher in watchers:
        os.waitpid(watcher, 0)
    os._exit(0)


def _watch(words: list[str], cwd: str, env: dict[str, str], folder: str) -> None:
    """Start a program, wait for it, and write its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            _redirect(folder)
            _become_new(cwd, env)
            status = _run(words)
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        os._exit(status)
    Path(folder, "pid").write_text(str(pid))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    Path(folder, "unfinished").write_text(str(status))
    os.replace(Path(folder, "unfinished"), Path(folder, "status"))
    os._exit(0)


def _redirect(folder: str) -> None:
    """Send this process's output to files, and make it a group of its own."""
    os.setsid()
    for number, (name, flags) in enumerate([(os.devnull, os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY)]):
        os.dup2(os.open(Path(folder, name), flags | (os.O_CREAT if number else 0)), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def _become_new(cwd: str, env: dict[str, str]) -> None:
    """Forget what pytest and the tests' modules have set up."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    atexit._clear()
    atexit.register(util._exit_function)
    logging.getLogger().handlers.clear()
    warnings.resetwarnings()
    warnings.simplefilter("ignore", DeprecationWarning)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    own = {path.stem for path in ROOT.iterdir()}
    for name in [name for name in sys.modules if name.split(".")[0] in own]:
        del sys.modules[name]
    others = [path for path in sys.path if path not in ("", str(ROOT)) and not path.startswith(TESTS)]
    sys.path[:] = [*filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *others]


def _run(words: list[str]) -> int:
    """Run a program to its end; returns its exit status."""
    status = 0
    try:
        _execute(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    return status


def _execute(words: list[str]) -> None:
    first, *others = words
    if first == "-c":
        sys.argv, code = ["-c", *others[1:]], compile(others[0], "<string>", "exec")
        sys.path.insert(0, "")
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(code, sys.modules["__main__"].__dict__)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(first).resolve().parent))
        runpy.run_path(first, run_name="__main__")
