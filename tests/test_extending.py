"""The examples of docs/extending.md run as they are written."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from datasets import transforms
from datasets.preparing import annotations
from datasets.preparing.annotations.base import AnnotationFiles
from ops import models
from ops.flops import count_macs
from ops.fuse import fuse_for_inference
from ops.models import NETS, build_model
from ops.weights.file import save_checkpoint
from ops.weights.load import load_weights

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def blocks(section: str) -> list[str]:
    """The Python examples of a section."""
    text = PAGE.split(f"\n## {section}", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def run(section: str, monkeypatch, **names: Any) -> dict[str, Any]:
    """Run a section's examples: files as modules, lines of tables as entries, the rest in one namespace of `names`."""
    namespace = {"torch": torch, "build_model": build_model, **names}
    found = blocks(section)
    assert found, section
    for code in found:
        file, line_of, table = re.match(r"(?:# (\S+\.py)(?:, a (line) of (\S+))?\n)?", code).groups()
        if line_of:
            add_line(table, code, namespace, monkeypatch)
        elif file:
            module = ModuleType(file.removesuffix(".py").replace("/", "."))
            monkeypatch.setitem(sys.modules, module.__name__, module)
            exec(compile(code, file, "exec"), vars(module))
            namespace |= vars(module)
        else:
            exec(compile(code, section, "exec"), namespace)
    return namespace


def add_line(table: str, code: str, namespace: dict[str, Any], monkeypatch) -> None:
    """Add an example line to the table or list that its comment names."""
    if table == "NETS":
        for name, entry in eval(f"{{{code}\n}}", {**vars(models), **namespace}).items():
            monkeypatch.setitem(NETS, name, entry)
    elif table == "OFFICIAL":
        for name, entry in eval(f"{{{code}\n}}", namespace).items():
            monkeypatch.setitem(annotations.OFFICIAL, name, entry)
    else:
        assert table == "TrainTransform.steps"
        steps = transforms.TrainTransform.steps
        added = eval(f"[{code}\n]", {"v2": v2})
        monkeypatch.setattr(transforms.TrainTransform, "steps", lambda self: [*steps(self), *added])


def test_networks_and_the_temporal_module(monkeypatch) -> None:
    run("A temporal module", monkeypatch)
    run("A network of the ResNet family", monkeypatch)
    torch.manual_seed(0)
    model = build_model("NLTSM", "resnet50", 5, 2).eval()
    report = load_weights(model, {**build_model("TSN", "resnet50", 1000, 2).state_dict()}, new_classifier=True)
    assert report.layout == "torchvision"
    assert {name.split(".")[2] for name in report.new if name.startswith("layer")} == {"last"}
    attention = model.layer3[1].last
    x = torch.rand(2, 1024, 3, 2)
    assert torch.equal(attention(x), x)
    torch.nn.init.normal_(attention.norm.weight)
    other = torch.stack([x[0], torch.rand(1024, 3, 2)])
    assert not torch.allclose(attention(other)[0], attention(x)[0])  # one segment sees the other
    clip = torch.randint(256, (1, 2, 1, 3, 32, 32), dtype=torch.uint8)
    assert torch.allclose(fuse_for_inference(model)(clip), model(clip), atol=1e-5)


def test_any_other_network(monkeypatch) -> None:
    run("Any other network", monkeypatch)
    model = build_model("FrameDifference", None, 5, 2).eval()
    assert model.stride == 16
    clip = torch.randint(256, (2, 2, 2, 3, 32, 32), dtype=torch.uint8)
    assert torch.allclose(fuse_for_inference(model)(clip), model(clip), atol=1e-5)
    assert model.feature_map(model.normalise(clip)).shape == (2, 64, 2, 2, 2)
    assert count_macs(model, 32) > 0


def test_a_data_set(tmp_path: Path, monkeypatch) -> None:
    run("A data set with official files", monkeypatch)
    (tmp_path / "clips.csv").write_text("a,run,train\nb,jump,val\n")
    parsed = annotations.OFFICIAL["sports"].parse(AnnotationFiles([tmp_path]))
    assert parsed.class_names == ("jump", "run")
    assert [(clip.name, clip.label) for clip in parsed.lists["train"] + parsed.lists["val"]] == [("a", 1), ("b", 0)]
    (tmp_path / "clips.csv").write_text("a,run,train\nb,jump,test\n")
    with pytest.raises(ValueError, match=r"clips\.csv:2: subset 'test' is neither"):
        annotations.OFFICIAL["sports"].parse(AnnotationFiles([tmp_path]))


def test_an_augmentation(monkeypatch) -> None:
    frames = np.random.default_rng(0).integers(256, size=(3, 40, 60, 3), dtype=np.uint8)
    frames[2] = frames[0]

    def sample() -> np.ndarray:
        return transforms.TrainTransform.sample(32, np.random.default_rng(1), flip=False)(frames)

    before = sample()
    run("An augmentation", monkeypatch)
    after = sample()
    assert after.shape == before.shape
    assert not np.array_equal(after, before)
    assert np.array_equal(after[0], after[2])
    assert np.array_equal(after, sample())


def test_a_loss(monkeypatch) -> None:
    settings = run("A loss", monkeypatch)["settings"]
    logits, label = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    expected = settings.training_loss(logits, label)
    assert expected < torch.nn.functional.cross_entropy(logits, label, label_smoothing=0.1)
    targets = torch.nn.functional.one_hot(label, 3).float()
    assert torch.allclose(settings.training_loss(logits, targets), expected)


def test_another_project(tmp_path: Path, monkeypatch, capsys) -> None:
    made_for = {
        "net": "H2CN", "arch": "resnet18", "num_segments": 2, "dataset": "mine", "class_names": ["only"],
        "input_size": 32, "preprocessing": "", "train_list_hash": "", "val_list_hash": "", "ablate": [],
    }  # fmt: skip
    path = tmp_path / "ckpt.pth.tar"
    state = build_model("H2CN", "resnet18", 1, 2).state_dict()
    save_checkpoint(path, {"state_dict": state, "trained_on": made_for})
    run("H2CN in another project", monkeypatch, FOLDER=str(ROOT), CHECKPOINT=str(path))
    assert capsys.readouterr().out.splitlines()[-1] == "only"
