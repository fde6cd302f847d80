"""The pieces of messages."""

from pathlib import Path

import pytest

from common.errors import InputError, counted, quoted, reason, refuse


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a b", "'a b'"), (r"c\d.mp4", r"'c\d.mp4'"), ("it's", '"it\'s"'), ("\x1b[2J", r"'\x1b[2J'"), ("a\n", r"'a\n'")],
)
def test_names_are_quoted_as_they_are(name: str, shown: str) -> None:
    assert quoted(name) == shown


def test_a_reason_does_not_repeat_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone") as error:
        (tmp_path / "gone").read_text()
    assert reason(error.value) == "No such file or directory"
    assert (reason(ValueError("odd")), reason(EOFError())) == ("odd", "EOFError")


def test_counts_in_singular_and_plural() -> None:
    assert [counted(n, "clip") for n in (0, 1, 2000)] == ["0 clips", "1 clip", "2,000 clips"]
    assert [counted(2, noun) for noun in ("class", "more bad entry")] == ["2 classes", "2 more bad entries"]
    with pytest.raises(InputError, match="and 1 more bad line$"):
        refuse(["a"] * 6)
