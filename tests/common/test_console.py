"""How a script runs: exit statuses, and output that survives odd names and full disks."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from interruptions import needs_posix
from started_python import run_python
from torch.utils.data import DataLoader

from common import console
from common.console import run_script
from common.errors import InputError
from datasets.loader import ClipLoader

ROOT = Path(console.__file__).parents[1]


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [(InputError("a.txt is not there"), 2, "error: a.txt is not there\n"), (KeyboardInterrupt(), 130, "\nStopped.\n")],
)
def test_user_errors_and_ctrl_c_are_one_line(error: BaseException, status: int, line: str, capsys) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        run_script(main)
    assert stop.value.code == status
    assert capsys.readouterr().err == line


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's default is used")
def test_workers_are_forked_whatever_the_default(request) -> None:
    request.addfinalizer(partial(multiprocessing.set_start_method, multiprocessing.get_start_method(), force=True))
    multiprocessing.set_start_method("forkserver", force=True)  # as Python 3.14
    run_script(lambda: None)
    assert multiprocessing.get_start_method() == "fork"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 / 0)


@needs_posix
def test_workers_that_end_after_an_error_are_no_second_error() -> None:
    """The interpreter ends them as it exits; torch's handler would then raise on top of the message."""

    def main() -> None:
        raise InputError("this is wrong")

    def fault(*_: object) -> None:
        raise AssertionError

    signal.signal(signal.SIGCHLD, fault)
    with pytest.raises(SystemExit):
        run_script(main)
    os.kill(os.getpid(), signal.SIGCHLD)


PRINTS = """
import logging, sys
from functools import partial
from pathlib import Path
from common.console import run_script

def main():
    for number in range(20000):
        logging.info("line ü %d", number)
        print("and one")
    Path(sys.argv[1]).write_text("done")

run_script(main)
"""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_work_continues_when_nobody_reads_its_output(tmp_path: Path, encoding: str) -> None:
    command = [sys.executable, "-c", PRINTS, str(tmp_path / "result")]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": encoding},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == ("line ü 0\n" if encoding == "utf-8" else "line \\xfc 0\n")
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 0
    assert (tmp_path / "result").read_text() == "done"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("stderr", [subprocess.PIPE, None])
def test_work_continues_when_the_disk_with_its_output_is_full(tmp_path: Path, stderr: int | None) -> None:
    """The exit status shows that output was lost."""
    command = [sys.executable, "-c", PRINTS, str(tmp_path / "result")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=stderr or full, text=True
        )  # fmt: skip
    assert (tmp_path / "result").read_text() == "done"
    assert done.returncode == 2
    if stderr is not None:
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: cannot write to standard output: No space left on device")


NAMES = """
import logging, sys
from common.errors import InputError
from common.console import run_script

def main():
    logging.info("%s", sys.argv[1])
    print(sys.argv[1])
    print("50%\\r100%", file=sys.stderr)
    raise InputError(sys.argv[1])

run_script(main)
"""


def test_names_cannot_control_a_terminal() -> None:
    command = [sys.executable, "-c", NAMES, "\x1b[2J\u202ea\rb\tc\nd \xe9"]
    utf8 = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=ROOT, env=utf8, capture_output=True)
    shown = "\\x1b[2J\\u202ea\\rb\tc\nd \xe9\n"
    assert done.stdout.decode() == shown * 2
    assert done.stderr.decode() == f"50%\r100%\nerror: {shown}"


LOADS = """
import os, signal, sys
from datasets.loader import ClipLoader
from common.console import run_script

class Deadly:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == "kill" else os._exit(3)

if __name__ == "__main__":
    run_script(lambda: list(ClipLoader(Deadly(), [(0, 0)], workers=1, pin_memory=False)))
"""


@needs_posix
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_worker_that_dies_is_one_line(tmp_path: Path, how: str) -> None:
    (tmp_path / "loads.py").write_text(LOADS)  # a file, which workers can import
    done = run_python([sys.executable, tmp_path / "loads.py", how], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for part in ("DataLoader worker", "-j", "--resume auto"):
        assert part in done.stderr


def test_an_operation_that_cannot_be_deterministic_is_one_line(request, capsys) -> None:
    request.addfinalizer(lambda: torch.use_deterministic_algorithms(False))
    torch.use_deterministic_algorithms(True)
    with pytest.raises(SystemExit) as end:
        run_script(lambda: torch.zeros(2).put_(torch.tensor([0]), torch.ones(1)))
    assert end.value.code == 2
    assert re.fullmatch(r"error: torch has no deterministic put_ .*--deterministic out\n", capsys.readouterr().err)


def test_other_runtime_errors_keep_their_traceback() -> None:
    def main() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        run_script(main)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("[/x/gloo/transport/tcp/pair.cc:545] Read error: Connection reset by peer.\nmore"),
     torch.distributed.DistBackendError("NCCL error in: x")],
)  # fmt: skip
def test_a_fault_is_one_line(error: RuntimeError, capsys) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit, match="2"):
        run_script(main)
    assert re.fullmatch(
        r"error: another process .*(Connection reset|NCCL error).*--resume auto\n", capsys.readouterr().err
    )


@needs_posix
@pytest.mark.parametrize("error", [EOFError(), ConnectionRefusedError(111, "refused")])
def test_a_reader_worker_that_dies_while_it_hands_over_a_batch(error: Exception, monkeypatch, capsys) -> None:
    """torch notices a dead worker only while it waits; otherwise its connection breaks."""

    def broken(_loader: DataLoader) -> Iterator[int]:
        yield 1
        raise error

    def fault(*_: object) -> None:
        raise AssertionError("torch's news of the worker's end, on top of the first error")

    real = console._fault
    monkeypatch.setattr(console, "_fault", lambda error: (signal.raise_signal(signal.SIGCHLD), real(error))[1])
    monkeypatch.setattr(DataLoader, "__iter__", broken)
    signal.signal(signal.SIGCHLD, fault)
    with pytest.raises(SystemExit) as stop:
        run_script(lambda: list(ClipLoader([1], [(0, 0)], workers=0, pin_memory=False)))
    assert stop.value.code == 2
    assert re.match(r"error: a process that reads clips has died .*\(-j\)", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("given", "count"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_spin_briefly_unless_the_user_says_otherwise(given: dict[str, str], count: str) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names} | given
    code = "import os, common.console; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == count


@pytest.mark.parametrize(
    ("fault", "text"), [("KeyboardInterrupt", r"\nStopped\.\n"), ("KeyError", "Traceback.*KeyError.*")]
)
def test_ctrl_c_while_a_script_imports(fault: str, text: str) -> None:
    code = "from argparse import ArgumentParser; from common.console import answer_help\n"
    code += f"answer_help(ArgumentParser()); raise {fault}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert re.fullmatch(text, done.stderr, re.DOTALL)
