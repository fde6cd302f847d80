"""How a script ends."""

import os
import signal
from collections.abc import Iterator

import pytest

from errors import InputError, run_script


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [(InputError("a.txt is not there"), 2, "error: a.txt is not there\n"), (KeyboardInterrupt(), 130, "\nStopped.\n")],
)
def test_what_a_user_can_mend_or_did_is_one_line(error: BaseException, status: int, line: str, capsys) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        run_script(main)
    assert stop.value.code == status
    assert capsys.readouterr().err == line


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 / 0)


def test_the_end_of_workers_is_no_fault_behind_an_error() -> None:
    """The interpreter ends them as it exits; torch's handler would raise then, on top of the message."""

    def main() -> None:
        raise InputError("this is wrong")

    def fault(*_: object) -> None:
        raise AssertionError

    signal.signal(signal.SIGCHLD, fault)
    with pytest.raises(SystemExit):
        run_script(main)
    os.kill(os.getpid(), signal.SIGCHLD)
