"""How a script ends."""

import pytest

from errors import InputError, run_script


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
