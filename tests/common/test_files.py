"""Files that are written together or not at all."""

import os
from pathlib import Path

import pytest

from common.errors import InputError
from common.files import all_or_nothing, remove_unfinished, write_whole


def test_all_files_and_links_take_their_places(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    for text in ("first", "second"):
        with all_or_nothing(home, "--flag") as scratch:
            (scratch / "a.txt").write_text(text)
            (scratch / "link").symlink_to(tmp_path / text)
    assert (home / "a.txt").read_text() == "second"
    assert (home / "link").readlink() == tmp_path / "second"
    assert len(list(home.iterdir())) == 2


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_fault_on_the_way_changes_nothing(tmp_path: Path, fault: BaseException) -> None:
    def write(folder: Path) -> None:
        with all_or_nothing(folder, "--flag") as scratch:
            (scratch / "a.txt").write_text("half")
            raise fault

    (tmp_path / "a.txt").write_text("before")
    expected = InputError if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "before")]
    with pytest.raises(expected):
        write(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(InputError, match="b.txt is a folder there; choose another --flag"):  # noqa: PT012, SIM117
        with all_or_nothing(tmp_path, "--flag") as scratch:
            (scratch / "a.txt").touch()
            (scratch / "b.txt").touch()
    assert not (tmp_path / "a.txt").exists()


def test_a_fault_while_files_take_their_places_says_which_are_new(tmp_path: Path, monkeypatch) -> None:
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == "b.txt":
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(InputError, match="Input/output error.*Only a.txt are new: run it again"):  # noqa: PT012, SIM117
        with all_or_nothing(tmp_path, "--flag") as scratch:
            (scratch / "a.txt").touch()
            (scratch / "b.txt").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_one_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "é")
    monkeypatch.setattr(os, "replace", lambda *_args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "half")
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [("a.txt", "é")]


def test_a_file_is_on_the_disk_before_it_replaces_another(tmp_path: Path, monkeypatch) -> None:
    """Else a power cut may leave an empty file under its name."""
    posix = pytest.importorskip("posix")
    events: list[str] = []
    sync, replace = posix.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (events.append(os.readlink(f"/proc/self/fd/{file}")), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (events.append("replace"), replace(*names)))
    write_whole(tmp_path / "a.txt", "text")
    assert events == [f"{tmp_path}/.a.txt.{os.getpid()}.tmp", "replace", str(tmp_path)]


def test_what_killed_writers_have_left_is_removed(tmp_path: Path) -> None:
    names = (".a.txt.7.tmp", ".a.txt.12.tmp", ".b.txt.7.tmp", "a.txt", "a.txt.tmp")
    for name in names:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, "a.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[2:])
