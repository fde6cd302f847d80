"""Weights in and out: every layout, an exact account of names, whole files or none."""

import errno
import os
from pathlib import Path

import pytest
import torch
import torchvision
from golden_data import official_state

from errors import InputError
from ops.checkpoint import load_pretrained, load_weights, read_checkpoint, save_checkpoint
from ops.models import build_model


@pytest.fixture
def model():
    return build_model("H2CN", "resnet18", 5, 2)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("outer", [True, False])
def test_ours_loads_with_and_without_wrappings(model, tmp_path: Path, prefix: str, outer: bool) -> None:
    state = {prefix + key: value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state} if outer else state, tmp_path / "w.pth.tar")
    other = build_model("H2CN", "resnet18", 5, 2)
    report = load_weights(other, tmp_path / "w.pth.tar")
    assert same(other.state_dict(), model.state_dict())
    assert report.layout == "ours"
    assert len(report.matched) == len(model.state_dict())
    assert report.new == report.unused == []


def test_official_layout_reports_its_unused_stem() -> None:
    official = build_model("H2CN", "resnet50", 174, 8)
    report = load_weights(official, {f"module.{k}": v for k, v in official_state().items()})
    assert report.layout == "H2CN"
    assert sorted(report.unused) == ["base_model.conv1_temp.bias", "base_model.conv1_temp.weight"]
    assert report.new == []


def test_torchvision_resnet_starts_the_backbone_and_inflates_the_motion_stem(model) -> None:
    resnet = torchvision.models.resnet18().state_dict()
    classifier = model.fc.weight.clone()
    report = load_weights(model, resnet)
    assert torch.equal(model.layer3[1].conv2.weight, resnet["layer3.1.conv2.weight"])
    assert torch.equal(model.motion.conv.weight[:, 4], resnet["conv1.weight"].mean(1))
    assert torch.equal(model.fc.weight, classifier)
    assert report.inflated == ["motion.conv.weight"]
    assert len(report.matched) + len(report.inflated) + len(report.new) == len(model.state_dict())


def test_torchvision_resnet_starts_tdns_own_stage_1_too() -> None:
    resnet = torchvision.models.resnet18().state_dict()
    tdn = build_model("TDN", "resnet18", 5, 2)
    report = load_weights(tdn, resnet)
    assert torch.equal(tdn.motion.stage1[1].conv2.weight, resnet["layer1.1.conv2.weight"])
    assert "motion.stage1.1.conv2.weight" in report.inflated
    assert len(report.matched) + len(report.inflated) + len(report.new) == len(tdn.state_dict())


@pytest.mark.parametrize("net", ["TSN", "TSM"])
def test_our_own_files_that_look_like_torchvisions_keep_their_classifier(net: str) -> None:
    one, other = build_model(net, "resnet18", 5, 2), build_model(net, "resnet18", 5, 2)
    assert load_weights(other, one.state_dict()).layout == "ours"
    assert torch.equal(other.fc.weight, one.fc.weight)
    with pytest.raises(InputError, match="class counts differ"):
        load_weights(build_model(net, "resnet18", 6, 2), one.state_dict())


def test_imagenet_that_cannot_be_downloaded_says_where_to_put_the_file(model, monkeypatch) -> None:
    def offline(*_args, **_kwargs):
        raise OSError("no route")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(InputError, match=r"--pretrain imagenet.*no route.*checkpoints.*--pretrain none"):
        load_pretrained(model, "imagenet")


def test_tune_from_replaces_a_classifier_of_another_size(model) -> None:
    other = build_model("H2CN", "resnet18", 9, 2)
    classifier = other.fc.weight.clone()
    report = load_weights(other, model.state_dict(), new_classifier=True)
    assert torch.equal(other.conv1.weight, model.conv1.weight)
    assert torch.equal(other.fc.weight, classifier)
    assert report.new == report.unused == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), ["1 missing: layer1.0.conv1.weight"]),
        (lambda s: s.update(extra=torch.zeros(1)), ["1 unexpected: extra"]),
        (
            lambda s: s.update({"fc.bias": torch.zeros(7)}),
            ["(7,) instead of (5,)", "class counts differ", "--tune_from"],
        ),
        (lambda s: s.clear(), ["no state dict"]),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(model, damage, words: list[str]) -> None:
    state = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    damage(state)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError) as error:
        load_weights(model, state)
    assert all(word in str(error.value) for word in words)
    assert same(model.state_dict(), before)


def test_weights_of_another_arch_are_refused(model) -> None:
    with pytest.raises(InputError, match="--arch"):
        load_weights(model, build_model("H2CN", "resnet34", 5, 2).state_dict())


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint at .*gone"):
        read_checkpoint(tmp_path / "gone.pth.tar")
    (tmp_path / "text.pth.tar").write_text("not a checkpoint")
    with pytest.raises(InputError, match=r"text\.pth\.tar"):
        read_checkpoint(tmp_path / "text.pth.tar")
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "cut.pth.tar")
    whole = (tmp_path / "cut.pth.tar").read_bytes()
    (tmp_path / "cut.pth.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.pth\.tar"):
        read_checkpoint(tmp_path / "cut.pth.tar")


def test_a_checkpoint_of_a_newer_version(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / "new.pth.tar")
    with pytest.raises(InputError, match="newer version"):
        read_checkpoint(tmp_path / "new.pth.tar")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Path("x"), "hook": os.system}, tmp_path / "evil.pth.tar")
    with pytest.raises(InputError, match="tensors and plain values"):
        read_checkpoint(tmp_path / "evil.pth.tar")


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "ckpt.pth.tar"
    save_checkpoint(path, {"epoch": 1})

    def full(_content, file) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match="No space left"):
        save_checkpoint(path, {"epoch": 2})
    assert read_checkpoint(path)["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["ckpt.pth.tar"]
