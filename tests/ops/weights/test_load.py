"""Weights in and out: every layout, an exact account of names, whole files or none."""

import errno
import gzip
import os
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from golden_data import official_state

from common.errors import InputError
from ops.models import build_model
from ops.training.state import TrainedOn
from ops.weights.checkpoint import Weights
from ops.weights.file import read_checkpoint, save_checkpoint
from ops.weights.load import load_pretrained, load_weights

pytestmark = pytest.mark.slow


@pytest.fixture
def model():
    return build_model("H2CN", "resnet10", 5, 2)


@pytest.fixture
def h2cn18():
    """The smallest H2CN that an image network of torchvision starts."""
    return build_model("H2CN", "resnet18", 5, 2)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.module."])
@pytest.mark.parametrize("outer", [True, False])
def test_ours_loads_with_and_without_wrappings(model, tmp_path: Path, prefix: str, outer: bool) -> None:
    state = {prefix + key: value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state} if outer else state, tmp_path / "w.pth.tar")
    other = build_model("H2CN", "resnet10", 5, 2)
    report = load_weights(other, tmp_path / "w.pth.tar")
    assert same(other.state_dict(), model.state_dict())
    assert report.layout == "ours"
    assert len(report.matched) == len(model.state_dict())
    assert report.new == report.unused == []


@pytest.mark.parametrize(
    "outer", [["model_state"], ["model"], ["model_state_dict"], ["module"], ["model", "state_dict"]]
)
def test_weights_under_the_keys_of_other_projects(model, outer: list[str]) -> None:
    content: dict = {f"_orig_mod.module.{key}": value for key, value in model.state_dict().items()}
    for key in reversed(outer):
        content = {key: content, "epoch": 3}
    content["model_ema"] = content[outer[0]]
    report = load_weights(build_model("H2CN", "resnet10", 5, 2), content)
    assert len(report.matched) == len(model.state_dict())
    assert "'model_ema'" in str(report)


@pytest.mark.parametrize("numpy", ["numpy._core", "numpy.core"])
def test_numpy_numbers_beside_the_weights(model, tmp_path: Path, numpy: str) -> None:
    """Of NumPy 1, too; they come as plain numbers."""
    beside = {"top1": np.float64(25), "epoch": np.int64(3), "is_best": np.bool_(True), "curve": np.arange(3.0)}
    torch.save({"state_dict": model.state_dict(), **beside}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    content, count = re.subn(rb"numpy\._?core", numpy.encode(), (tmp_path / "w.pth").read_bytes())
    assert count > 0
    (tmp_path / "w.pth").write_bytes(content)
    read = read_checkpoint(tmp_path / "w.pth")
    assert {name: read[name] for name in ("top1", "epoch", "is_best")} == {"top1": 25.0, "epoch": 3, "is_best": True}
    assert load_weights(model, read).new == []


@pytest.mark.parametrize(
    "content",
    [
        {"net": {"fc.bias": torch.zeros(5)}}, {1: torch.zeros(5)}, {"state_dict": {"fc.bias": None}},
        {"state_dict": {"fc.bias": torch.zeros(5, dtype=torch.complex64)}}, {"model": torch.zeros(5)}, {"model": {}},
        {"model": {"fc.bias": torch.zeros(5, device="meta")}}, {"model": {"fc.bias": [0.0] * 5}},
    ],
)  # fmt: skip
def test_what_holds_no_weights_is_refused_with_its_keys(model, tmp_path: Path, content: dict) -> None:
    torch.save({"state": 0, **content}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=rf"w\.pth has no state dict.*{next(iter(content))}.*'state_dict'"):
        load_weights(model, tmp_path / "w.pth")


def test_weights_of_unknown_names(model) -> None:
    with pytest.raises(InputError, match=r"none of its names \(encoder\.conv1\.weight, "):
        load_weights(model, {f"encoder.{key}": value for key, value in model.state_dict().items()})


def test_official_layout_reports_its_unused_stem() -> None:
    official = build_model("H2CN", "resnet50", 174, 8)
    report = load_weights(official, {f"module.{k}": v for k, v in official_state().items()})
    assert report.layout == "H2CN"
    assert sorted(report.unused) == ["base_model.conv1_temp.bias", "base_model.conv1_temp.weight"]
    assert report.new == []


def test_torchvision_resnet_starts_the_backbone_and_inflates_the_motion_stem(h2cn18) -> None:
    resnet = torchvision.models.resnet18().state_dict()
    classifier = h2cn18.fc.weight.clone()
    report = load_weights(h2cn18, resnet)
    assert torch.equal(h2cn18.layer3[1].conv2.weight, resnet["layer3.1.conv2.weight"])
    assert torch.equal(h2cn18.motion.conv.weight[:, 4], resnet["conv1.weight"].mean(1))
    assert torch.equal(h2cn18.fc.weight, classifier)
    assert report.inflated == ["motion.conv.weight"]
    assert len(report.matched) + len(report.inflated) + len(report.new) == len(h2cn18.state_dict())


def test_torchvision_resnet_starts_tdns_own_stage_1_too() -> None:
    resnet = torchvision.models.resnet18().state_dict()
    tdn = build_model("TDN", "resnet18", 5, 2)
    report = load_weights(tdn, resnet)
    assert torch.equal(tdn.motion.stage1[1].conv2.weight, resnet["layer1.1.conv2.weight"])
    assert "motion.stage1.1.conv2.weight" in report.inflated
    assert len(report.matched) + len(report.inflated) + len(report.new) == len(tdn.state_dict())


@pytest.mark.parametrize("net", ["TSN", "TSM"])
def test_our_own_files_that_look_like_torchvisions_keep_their_classifier(net: str) -> None:
    one, other = build_model(net, "resnet10", 5, 2), build_model(net, "resnet10", 5, 2)
    assert load_weights(other, one.state_dict()).layout == "ours"
    assert torch.equal(other.fc.weight, one.fc.weight)
    with pytest.raises(InputError, match="class counts differ"):
        load_weights(build_model(net, "resnet10", 6, 2), one.state_dict())


def test_imagenet_that_cannot_be_downloaded_says_where_to_put_the_file(h2cn18, monkeypatch) -> None:
    def offline(*_args, **_kwargs):
        raise OSError("no route")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(InputError, match=r"--pretrain imagenet.*no route.*checkpoints/resnet18-.*\.pth.*none"):
        load_pretrained(h2cn18, "imagenet")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Path:
    """An empty folder as torch's cache of downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def cached_file(hub: Path, weights: torchvision.models.WeightsEnum) -> Path:
    return hub / weights.url.rpartition("/")[2]


def test_imagenet_weights_in_the_cache_are_taken_offline(h2cn18, hub: Path) -> None:
    resnet = torchvision.models.resnet18().state_dict()
    torch.save(resnet, cached_file(hub, torchvision.models.ResNet18_Weights.IMAGENET1K_V1))
    report = load_pretrained(h2cn18, "imagenet")
    assert torch.equal(h2cn18.layer4[1].conv2.weight, resnet["layer4.1.conv2.weight"])
    temporal = [name for name in h2cn18.state_dict() if ".gate." in name or name.startswith("motion.")]
    assert len(report.new) == len(temporal) - 1 + 2
    assert str(report).endswith("1 inflated, 133 new, 2 unused; a new classifier, for 5 classes instead of 1000")


def test_a_cut_file_in_the_cache_is_named(h2cn18, hub: Path) -> None:
    path = cached_file(hub, torchvision.models.ResNet18_Weights.IMAGENET1K_V1)
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=f"resnet18-.*{path}"):
        load_pretrained(h2cn18, "imagenet")


def test_kinetics_weights_are_torchvisions_video_networks(h2cn18, hub: Path) -> None:
    with pytest.raises(InputError, match="no such weights for H2CN resnet18; give imagenet, IMAGENET1K_V1"):
        load_pretrained(h2cn18, "kinetics")
    s3d = torchvision.models.video.s3d().state_dict()
    torch.save(s3d, cached_file(hub, torchvision.models.video.S3D_Weights.KINETICS400_V1))
    net = build_model("s3d", None, 5, 8)
    report = load_pretrained(net, "kinetics")
    assert torch.equal(net.network.features[0][0][0].weight, s3d["features.0.0.0.weight"])
    assert report.new == list(net.classifier)
    assert str(report).endswith("a new classifier, for 5 classes instead of 400")
    with pytest.raises(InputError, match="no such weights for s3d"):
        load_pretrained(net, "imagenet")


def test_a_start_from_an_image_network_of_other_classes(h2cn18) -> None:
    places = torchvision.models.resnet18(num_classes=365).state_dict()
    assert load_weights(h2cn18, places, new_classifier=True).inflated == ["motion.conv.weight"]
    with pytest.raises(InputError, match="missing: layer1.0.gate"):  # a test must not take it for a whole network
        load_weights(h2cn18, places)


def test_safetensors(model, tmp_path: Path) -> None:
    safetensors.torch.save_file(dict(model.state_dict()), tmp_path / "w.safetensors")
    other = build_model("H2CN", "resnet10", 5, 2)
    load_weights(other, tmp_path / "w.safetensors")
    assert same(other.state_dict(), model.state_dict())
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"w\.safetensors cannot be read as safetensors"):
        load_weights(other, tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("made_for", "words"),
    [
        ({"net": "TSN"}, "is of TSN, this network is TSM; build --net TSN"),
        ({"net": "TSM", "ablate": ["shift"]}, "is of TSM without shift, .* build --net TSM --ablate shift"),
    ],
)
def test_a_checkpoint_of_another_net_is_refused_although_it_would_fit(made_for: dict, words: str) -> None:
    content = {"state_dict": build_model("TSN", "resnet10", 5, 2).state_dict(), "trained_on": made_for}
    with pytest.raises(InputError, match=words):
        load_weights(build_model("TSM", "resnet10", 5, 2), content)


@pytest.mark.parametrize("net", ["H2CN", "TDN", "TSM", "TSN"])
def test_official_weights_of_8_segments_fit_a_network_of_16(net: str) -> None:
    report = load_weights(build_model(net, "resnet50", 174, 16), official_state(net.lower()))
    assert report.layout == net
    assert report.new == []
    assert bool(report.reshaped) == (net in ("H2CN", "TDN"))  # their temporal kernels


def test_tune_from_replaces_a_classifier_of_another_size(model) -> None:
    other = build_model("H2CN", "resnet10", 9, 2)
    classifier = other.fc.weight.clone()
    report = load_weights(other, model.state_dict(), new_classifier=True)
    assert torch.equal(other.conv1.weight, model.conv1.weight)
    assert torch.equal(other.fc.weight, classifier)
    assert report.new == report.unused == ["fc.weight", "fc.bias"]
    assert str(report).endswith("a new classifier, for 9 classes instead of 5")


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
        load_weights(model, build_model("H2CN", "resnet18", 5, 2).state_dict())


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "is damaged; copy or download it again"),
        (b"", "is damaged; copy or download it again"),
        (bytes(range(256)), "is damaged; copy or download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n", "Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "is a web page.*download the file again"),
        (gzip.compress(b"checkpoint", mtime=0), "is a packed archive.*unpack it"),
        ([torch.zeros(1)], "holds a list"),
        (torch.zeros(1), "holds a Tensor"),
        ("text", "holds a str"),
        (None, "holds a NoneType"),
        ({"hook": os.system}, r"holds \w+\.system, not only tensors.*was not read"),
    ],
)
def test_files_of_another_content(tmp_path: Path, content, words: str) -> None:
    path = tmp_path / "w.pth.tar"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=words) as raised:
        read_checkpoint(path)
    assert "\n" not in str(raised.value)
    assert "weights_only" not in str(raised.value)


def test_damage_within_a_file_is_found(tmp_path: Path) -> None:
    """By its checksums; torch itself would give the damaged weights."""
    save_checkpoint(tmp_path / "w.pth.tar", {"state_dict": {"a": torch.zeros(1000)}})
    whole = (tmp_path / "w.pth.tar").read_bytes()
    middle = whole.index(bytes(2000)) + 1000
    (tmp_path / "w.pth.tar").write_bytes(whole[:middle] + b"x" * 100 + whole[middle + 100 :])
    with pytest.raises(InputError, match=r"w\.pth\.tar .*is damaged"):
        read_checkpoint(tmp_path / "w.pth.tar")


def test_an_archive_that_grows_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**8))
    torch.save({"state_dict": {"a": torch.zeros(10**6)}}, tmp_path / "twice.pth")
    whole = (tmp_path / "twice.pth").read_bytes()
    directory = whole.index(b"PK\x01\x02")
    sizes = struct.pack("<II", 4_000_000, 4_000_000)
    assert whole.count(sizes, directory) == 1
    (tmp_path / "twice.pth").write_bytes(whole[:directory] + whole[directory:].replace(sizes, sizes[:4] + b"\xf0" * 4))
    for name in ("packed", "twice"):
        with pytest.raises(InputError, match=rf"{name}\.pth is a packed archive"):
            read_checkpoint(tmp_path / f"{name}.pth")


def test_a_format_of_somebody_else_is_none_of_ours(tmp_path: Path) -> None:
    torch.save({"format": "x"}, tmp_path / "w.pth.tar")
    assert read_checkpoint(tmp_path / "w.pth.tar") == {"format": "x"}


@pytest.mark.parametrize("made_for", [{}, {"net": None}, {"net": "H2CN", "ablate": None}])
def test_a_checkpoint_that_does_not_say_its_network(model, made_for: dict) -> None:
    with pytest.raises(InputError, match="does not name its network"):
        load_weights(model, {"state_dict": model.state_dict(), "trained_on": made_for})


def test_weights_that_do_not_say_all_they_were_trained_on(model, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "w.pth.tar", {**declared(model), "options": {}})
    with pytest.raises(InputError, match=r"lacks the arch, num_segments, dataset, input_size"):
        Weights.read(str(tmp_path / "w.pth.tar"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_segments", True), ("num_segments", 0), ("num_segments", 10**9), ("input_size", 32.0), ("input_size", -32),
        ("class_names", ["a", None]), ("ablate", [["shift"]]), ("dataset", None), ("options", {"root_path": 3}),
        ("options", [3]),
    ],
)  # fmt: skip
def test_odd_values_in_a_checkpoint_are_named(model, tmp_path: Path, name: str, value: object) -> None:
    made_for = TrainedOn("H2CN", "resnet10", 2, "mine", [*"abcde"], 32, "", "", "")
    content = {**declared(model, **vars(made_for)), "options": {}}
    (content if name == "options" else content["trained_on"])[name] = value
    save_checkpoint(tmp_path / "w.pth.tar", content)
    with pytest.raises(InputError, match=rf"w\.pth\.tar lacks the {'root_path' if name == 'options' else name}"):
        Weights.read(str(tmp_path / "w.pth.tar")).data_options(None, {"root_path": None})


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


def declared(model, **trained_on) -> dict:
    """A checkpoint as train.py writes it."""
    made_for = {"net": model.net, "ablate": list(model.ablate), "class_names": [str(i) for i in range(model.num_class)]}
    return {"state_dict": model.state_dict(), "trained_on": {**made_for, **trained_on}}


def test_a_thousand_classes_of_ours_are_no_imagenet() -> None:
    """By names and shapes alone such a TSN looks like torchvision's ResNet."""
    one, other = build_model("TSN", "resnet18", 1000, 2), build_model("TSN", "resnet18", 1000, 2)
    report = load_weights(other, declared(one))
    assert (report.layout, report.new) == ("ours", [])
    assert torch.equal(other.fc.weight, one.fc.weight)
    with pytest.raises(InputError, match="is of TSN, this network is TSM"):
        load_weights(build_model("TSM", "resnet18", 1000, 2), declared(one))


def test_a_start_from_our_own_network_of_another_kind_is_refused(model) -> None:
    tsn = build_model("TSN", "resnet10", 5, 2)
    with pytest.raises(InputError, match="is of TSN, this network is H2CN; build --net TSN"):
        load_weights(model, declared(tsn), new_classifier=True)


def test_a_file_that_does_not_say_its_network_is_taken_on_trust_aloud(model) -> None:
    assert str(load_weights(model, model.state_dict())).endswith(
        "the file does not name its network; assumed to be H2CN"
    )
    assert load_weights(model, declared(model)).notes == []


def test_official_weights_are_of_no_ablation() -> None:
    with pytest.raises(InputError, match="is of H2CN, this network is H2CN without shift; build --net H2CN"):
        load_weights(build_model("H2CN", "resnet50", 174, 8, ablate=("shift",)), official_state())


def test_other_class_names_get_a_new_classifier_although_they_are_as_many(model) -> None:
    """Something-Something V1 and V2 both have 174 classes, in part under other numbers."""
    other = build_model("H2CN", "resnet10", 5, 2)
    same_names = [str(i) for i in range(5)]
    assert load_weights(other, declared(model), new_classifier=True, class_names=same_names).new == []
    report = load_weights(other, declared(model), new_classifier=True, class_names=same_names[::-1])
    assert report.new == ["fc.weight", "fc.bias"]
    assert report.notes == ["a new classifier, for 5 other classes"]


def damaged(net: str, name: str, change) -> dict:
    state = official_state(net.lower())
    value = state.pop(name)
    if change is not None:
        state[name] = change(value)
    return state


@pytest.mark.parametrize(
    ("net", "name", "change", "words"),
    [
        ("H2CN", "base_model.bn1.running_mean", None, "has no bn1.running_mean .* bias"),
        ("TDN", "base_model.layer2_bak.0.bn2.running_mean", None, r"has no layer2\.0\.bn2\.running_mean"),
        ("TSM", "base_model.bn1.running_mean", None, r"1 missing: bn1\.running_mean"),
        ("H2CN", "base_model.fhgc1.0.convt.weight", lambda v: v.reshape(3, 3), "temporal kernel .* 3 taps"),
    ],
)
def test_a_damaged_official_file_is_named(net: str, name: str, change, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_weights(build_model(net, "resnet50", 174, 8), damaged(net, name, change))


def test_two_names_that_fall_together_are_refused(model) -> None:
    """One of the two would be lost without a word."""
    state = model.state_dict()
    with pytest.raises(InputError, match=r"fc\.bias and module\.fc\.bias are both fc\.bias here"):
        load_weights(model, {**state, "module.fc.bias": state["fc.bias"]})
    official = official_state("h2cn")
    with pytest.raises(InputError, match=r"new_fc\.bias and base_model\.fc\.bias are both fc\.bias here"):
        load_weights(
            build_model("H2CN", "resnet50", 174, 8), {**official, "base_model.fc.bias": official["new_fc.bias"]}
        )


def test_an_official_tsm_with_other_shifts_is_refused() -> None:
    state = official_state("tsm")
    state["base_model.layer1.0.conv1.weight"] = state.pop("base_model.layer1.0.conv1.net.weight")
    with pytest.raises(InputError, match=r"shifts in front of other convolutions.*layer1\.0\.conv1\.weight"):
        load_weights(build_model("TSM", "resnet50", 174, 8), state)
