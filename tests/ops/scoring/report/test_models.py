"""What is read of a run folder, whole, damaged or absent."""

import json
from pathlib import Path

import pytest

from ops.scoring.report.models import read_training

LOG = ['{"epoch": 0, "train/loss": 2.5, "val/top1": 10}', '{"epoch": 1, "train/loss": NaN, "val/top1": 20.5}']


def write_run(folder: Path, log: str, **options: object) -> str:
    folder.mkdir(parents=True)
    record = {"options": options, "command": ["train.py", "a b"], "torch": "2.15.0", "history": []}
    (folder / "options.json").write_text(json.dumps(record))
    (folder / "log.jsonl").write_text(log)
    return str(folder / "ckpt.best.pth.tar")


def test_a_run_folder(tmp_path: Path) -> None:
    training = read_training(write_run(tmp_path / "run", "\n".join([*LOG, '{"epoch": 2, "tr'])))
    assert training.curve("train/loss") == [(1, 2.5)]  # a loss that is not finite is not drawn
    assert training.curve("val/top1") == [(1, 10), (2, 20.5)]
    assert training.curve("val/loss") == []
    assert training.facts() == {"training: command": "train.py 'a b'", "training: torch": "2.15.0"}


def test_a_log_in_another_folder(tmp_path: Path) -> None:
    weights = write_run(tmp_path / "models" / "run", "", root_log=str(tmp_path / "logs"))
    write_run(tmp_path / "logs" / "run", LOG[0])
    assert read_training(weights).curve("val/top1") == [(1, 10)]


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"[" * 10**5, b'{"options": 3, "command": 1}', b'{"epoch": "1"}']
)
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    for name in ("options.json", "log.jsonl"):
        (tmp_path / name).write_bytes(content)
    training = read_training(str(tmp_path / "ckpt.pth.tar"))
    assert training.epochs == []
    assert list(training.facts()) == (["training: command"] if b"command" in content else [])


def test_no_run_folder(tmp_path: Path) -> None:
    assert read_training(str(tmp_path / "none" / "x.pth")) == ({}, [])
    assert read_training("") == ({}, [])
