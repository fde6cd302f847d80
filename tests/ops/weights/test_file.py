"""Checkpoint files that carry a digest of their tensors."""

import hashlib
import logging
import os
import signal
from pathlib import Path

import pytest
import torch
from interruptions import needs_posix
from processes import exit_statuses

from common.errors import InputError
from common.files import remove_unfinished
from ops.weights.file import DamagedFileError, read_checkpoint, save_checkpoint, tensor_digest


def test_the_digest_depends_on_every_tensor() -> None:
    def content(**changes) -> dict:
        tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(1, dtype=torch.bfloat16), **changes}
        return {"state_dict": tensors, "list": [{"c": torch.zeros(0)}, (torch.ones(2),)], "plain": 3}

    first = tensor_digest(content())
    assert tensor_digest({**content(), "plain": 4}) == first
    channels_last = torch.arange(6.0).view(2, 3).t().contiguous().t()
    assert tensor_digest(content(a=channels_last)) == first  # the same values, elsewhere in memory
    others = [{"a": torch.arange(6.0).view(3, 2)}, {"a": torch.arange(6).view(2, 3)}, {"b": torch.tensor(2.0)}]
    others += [{"a": torch.arange(1.0, 7).view(2, 3)}, {"d": torch.zeros(0)}]
    assert len({first, *(tensor_digest(content(**other)) for other in others)}) == 6


def test_a_flipped_bit_in_a_checkpoint_without_checksums(tmp_path: Path) -> None:
    """Ours, saved again in torch's old format, which has none."""
    path = tmp_path / "w.pth"
    save_checkpoint(path, {"state_dict": {"a": torch.full((1000,), 1.0)}})
    torch.save(torch.load(path), path, _use_new_zipfile_serialization=False)
    assert read_checkpoint(path)["state_dict"]["a"].sum() == 1000
    data = bytearray(path.read_bytes())
    data[data.rindex(torch.full((9,), 1.0).numpy().tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"w\.pth is damaged: its tensors"):
        read_checkpoint(path)


def test_a_checkpoint_of_an_earlier_version_has_no_digest(tmp_path: Path, caplog) -> None:
    torch.save({"format": 1, "state_dict": {"a": torch.ones(1)}}, tmp_path / "w.pth")
    with caplog.at_level(logging.INFO):
        assert read_checkpoint(tmp_path / "w.pth")["state_dict"]["a"] == 1
    assert caplog.text == ""


def test_a_file_from_elsewhere_is_logged_with_its_digest(tmp_path: Path, caplog) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pth")
    with caplog.at_level(logging.INFO):
        read_checkpoint(tmp_path / "w.pth")
    assert f"{tmp_path}/w.pth" in caplog.text
    assert hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest() in caplog.text


@pytest.mark.parametrize("links", [True, False])
def test_the_previous_checkpoint_is_kept(tmp_path: Path, links: bool, monkeypatch) -> None:
    if not links:
        monkeypatch.delattr("os.link")
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links")), raising=False)
    path, previous = tmp_path / "a.pth", tmp_path / "b.pth"
    for epoch in range(3):
        save_checkpoint(path, {"epoch": epoch}, previous=previous)
    assert [read_checkpoint(file)["epoch"] for file in (path, previous)] == [2, 1]
    monkeypatch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(RuntimeError("the disk is full")))
    with pytest.raises(InputError, match="disk is full"):
        save_checkpoint(path, {"epoch": 3}, previous=previous)
    assert [read_checkpoint(file)["epoch"] for file in (path, previous)] == [2, 1]


@needs_posix
@pytest.mark.parametrize("moment", ["torch.save", "os.link", "os.fsync", "os.replace"])
def test_a_kill_in_a_checkpoint_write_leaves_a_whole_one(tmp_path: Path, moment: str, monkeypatch) -> None:
    path, previous = tmp_path / "a.pth", tmp_path / "b.pth"
    for epoch in range(2):
        save_checkpoint(path, {"epoch": epoch}, previous=previous)

    def killed(*arguments: object) -> None:
        if moment == "torch.save":
            Path(arguments[1]).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    def work(_rank: int) -> None:
        monkeypatch.setattr(moment, killed)
        save_checkpoint(path, {"epoch": 2}, previous=previous)

    assert exit_statuses(work, 1) == [-signal.SIGKILL]
    assert read_checkpoint(path)["epoch"] == 1
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    remove_unfinished(tmp_path, path.name)
    save_checkpoint(path, {"epoch": 2}, previous=previous)
    assert [read_checkpoint(file)["epoch"] for file in (path, previous)] == [2, 1]
    assert len(list(tmp_path.iterdir())) == 2
