"""scripts/fuzz.py: damaged files of every kind are refused or read; a crash or a hang is counted, and its file kept."""

import os
import time
from functools import partial
from pathlib import Path

import pytest
from video_files import write_video

from common.errors import InputError
from scripts import fuzz

pytestmark = pytest.mark.slow


def test_every_kind(tmp_path: Path, capsys) -> None:
    video = write_video(tmp_path / "video.mp4", 12)
    fuzz.main(["--videos", str(video), "--tries", "12", "--output_dir", str(tmp_path / "kept")])
    rows = {row[0]: list(map(int, row[1:])) for row in map(str.split, capsys.readouterr().out.splitlines()[1:])}
    assert rows.keys() == fuzz.KINDS.keys()
    for kind, (tries, refused, equal, other, failed, hung) in rows.items():
        assert tries == 12 == refused + equal + other, kind
        assert failed == hung == 0
        assert len(list((tmp_path / "kept").glob(f"{kind}_*_other.*"))) == other
    for kind in ("pickles", "checkpoints", "safetensors", "archives"):
        assert rows[kind][3] == 0


def read_badly(path: Path) -> str:
    """Crash, hang, raise, refuse, or give the content, by the content."""
    word = path.read_text()
    if word == "crash":
        os._exit(9)
    if word == "hang":
        time.sleep(60)
    if word == "refuse":
        raise InputError("refused")
    return "sound" if word == "sound" else "other"[: 1 // (word != "raise")]


@pytest.mark.usefixtures("forked_workers")
def test_failures_are_counted_and_kept(tmp_path: Path, monkeypatch, capsys) -> None:
    def kind(folder: Path, _video: Path) -> fuzz.Sound:
        (folder / "file.txt").write_text("sound")
        return folder / "file.txt", partial(read_badly, folder / "file.txt")

    words = iter(["crash", "hang", "refuse", "sound", "raise", "other", "hang", "refuse"])
    monkeypatch.setattr(fuzz, "damaged", lambda *_: next(words).encode())
    monkeypatch.setattr(fuzz, "KINDS", {"bad": kind})
    monkeypatch.setattr(fuzz, "LIMIT", 0.5)
    with pytest.raises(SystemExit, match="1"):
        fuzz.main(["bad", "--videos", "-", "--tries", "8", "--output_dir", str(tmp_path)])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[2:] == ["refused", "equal", "other", "traceback", "hang"]
    assert printed[1].split() == ["bad", "8", "2", "1", "1", "2", "2"]
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    names = {"bad_0_traceback": "crash", "bad_1_hang": "hang", "bad_4_traceback": "raise", "bad_5_other": "other"}
    names["bad_6_hang"] = "hang"
    assert {name[:-4]: text for name, text in kept.items() if name.endswith(".txt")} == names
    assert "ZeroDivisionError" in kept["bad_4_traceback.report"]
    assert "crashed" in kept["bad_0_traceback.report"]


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kind clips; .*videos"):
        fuzz.main(["clips", "--videos", "-", "--output_dir", str(tmp_path)])
