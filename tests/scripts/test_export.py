"""scripts/export.py and the files that it writes."""

import copy
import importlib.util
import json
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from checkpoint_files import CLASSES, SIZE, random_clips, write_checkpoint
from tiny_net import TinyNet
from torch.torch_version import TorchVersion
from video_files import write_video

import predict
from common.errors import InputError
from common.files import file_hash
from ops.network import VideoNet
from ops.weights.exported import ExportedNet, read_exported
from ops.weights.file import read_checkpoint
from scripts import export

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

WRITES_PT2 = torch.__version__ >= "2.9"
needs_pt2 = pytest.mark.skipif(not WRITES_PT2, reason="torch before 2.9 pickles the weights in .pt2 files")
FORMATS = [pytest.param(".pt2", marks=needs_pt2), ".onnx"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[VideoNet, Path]:
    """A network, and the folder with its checkpoint and exported files."""
    folder = tmp_path_factory.mktemp("made")
    model = write_checkpoint(folder / "ckpt.pth.tar")
    names = ["net.onnx", "net.pt2"] if WRITES_PT2 else ["net.onnx"]
    export.main([str(folder / "ckpt.pth.tar"), "--output", *(str(folder / name) for name in names)])
    return model, folder


@pytest.fixture(scope="module", params=FORMATS)
def exported(request, made: tuple[VideoNet, Path]) -> tuple[Path, ExportedNet]:
    """A file, and the network that it holds, which takes a second to read."""
    path = made[1] / f"net{request.param}"
    return path, read_exported(path)


def test_a_file_scores_as_its_checkpoint(made: tuple[VideoNet, Path], exported: tuple[Path, ExportedNet]) -> None:
    model, (_, net) = made[0], exported
    clips = random_clips(model)
    with torch.inference_mode():
        expected = model(clips)
    assert torch.allclose(net(clips), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert net(clips[:1]).shape == (1, 3)
    assert (net.trained_on.net, net.trained_on.arch) == ("H2CN", "resnet10")
    assert (net.class_names, net.num_segments) == (CLASSES, 2)
    assert (net.frames_per_segment, net.input_size) == (5, SIZE)
    assert net.size == SIZE
    for wrong in (clips.float(), clips[:, :1], clips[..., :16], clips[0]):
        with pytest.raises(ValueError, match=r"takes \(N, 2, 5, 3, 32, 32\) of torch.uint8"):
            net(wrong)


def test_predict_runs_a_file(exported: tuple[Path, ExportedNet], tmp_path: Path, monkeypatch) -> None:
    path, net = exported
    write_video(tmp_path / "v.mkv", 20)
    probabilities = []
    for weights in ("ckpt.pth.tar", path.name):
        flags = ["--weights", str(path.with_name(weights)), "--json", str(tmp_path / "p.json"), "--top", "3"]
        predict.main([str(tmp_path / "v.mkv"), *flags])
        (found,) = json.loads((tmp_path / "p.json").read_text())["predictions"]
        probabilities.append({row["name"]: row["probability"] for row in found["classes"]})
    assert probabilities[1] == pytest.approx(probabilities[0], abs=1e-5)
    for flag in (["--net", "TSN"], ["--amp", "bf16"], ["--classes", "x.txt"]):
        with pytest.raises(InputError, match=rf"{flag[0]}: .*net\{path.suffix} is an exported network"):
            predict.main([str(tmp_path / "v.mkv"), *flags, *flag])
    larger = copy.copy(net)
    larger.size = 64
    monkeypatch.setattr(predict, "read_exported", lambda _: larger)
    with pytest.raises(InputError, match=r"crops of 64 pixels.* give 32; change --full_res"):
        predict.main([str(tmp_path / "v.mkv"), *flags])


def metadata_and_content(path: Path) -> tuple[str, bytes]:
    if path.suffix == ".onnx":
        (entry,) = onnx.load(path).metadata_props
        return entry.value, path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read("archive/extra/h2cn.json").decode(), b"".join(map(archive.read, archive.namelist()))


def test_a_file_describes_itself_and_not_this_machine(exported: tuple[Path, ExportedNet]) -> None:
    path, _ = exported
    metadata, content = metadata_and_content(path)
    about = json.loads(metadata)
    assert about["trained_on"]["class_names"] == CLASSES
    assert about["weights_sha256"] == file_hash(path.with_name("ckpt.pth.tar"))
    assert about["version"] == importlib.import_module("common.version").project_version() != "unknown"
    assert str(Path(export.__file__).parents[1]).encode() not in content
    assert b"site-packages" not in content


def test_the_onnx_file_names_its_input_and_output(made: tuple[VideoNet, Path]) -> None:
    model = onnx.load(made[1] / "net.onnx")
    onnx.checker.check_model(model)
    (clips,), (logits,) = model.graph.input, model.graph.output
    assert [d.dim_param or d.dim_value for d in clips.type.tensor_type.shape.dim] == ["N", 2, 5, 3, SIZE, SIZE]
    assert (clips.name, logits.name) == ("clips", "logits")


def changed_archive(source: Path, path: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> Path:
    """A copy of a .pt2 file with changed and more members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, content in more.items():
            new.writestr(f"archive/{name}", content)
    return path


ATTACKS = {
    "an expression": (b"Symbol('s", b"open('attacked', 'w') or Symbol('s"),
    "a call": (b'"torch.ops.aten.sigmoid.default"', b'"torch.serialization.load"'),
    "a guard": (b'"guards_code": []', b'"guards_code": ["open(1)"]'),
    "a type": (b"builtins.dict", b"collections.defaultdict"),
    "a pickled weight": (b'"use_pickle": false', b'"use_pickle": true'),
}


@needs_pt2
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_program_that_could_run_code_is_refused(made, attack: str, tmp_path: Path, monkeypatch) -> None:
    old, new = ATTACKS[attack]
    path = changed_archive(made[1] / "net.pt2", tmp_path / "a.pt2", lambda _, content: content.replace(old, new, 1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"a\.pt2 holds .*could run code"):
        read_exported(path)
    assert not (tmp_path / "attacked").exists()


@needs_pt2
@pytest.mark.parametrize("name", ["data/aotinductor/model/a.so", "data/constants/opaque_obj_0", "models/other.json"])
def test_an_archive_with_other_members_is_refused(made, name: str, tmp_path: Path) -> None:
    path = changed_archive(made[1] / "net.pt2", tmp_path / "a.pt2", lambda _, content: content, **{name: b"{}"})
    with pytest.raises(InputError, match=f"holds {name}: it could run code"):
        read_exported(path)


@needs_pt2
def test_pickled_example_inputs_are_refused(made, tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        return pickle.dumps(print) if "sample_inputs" in name else content

    with pytest.raises(InputError, match="holds example inputs"):
        read_exported(changed_archive(made[1] / "net.pt2", tmp_path / "a.pt2", change))


@needs_pt2
def test_a_checkpoint_of_this_name_is_not_an_exported_network(made, tmp_path: Path) -> None:
    path = shutil.copy(made[1] / "ckpt.pth.tar", tmp_path / "net.pt2")
    with pytest.raises(InputError, match=r"net\.pt2 is not an exported network; .*scripts/export\.py.* \.pth\.tar"):
        read_exported(Path(path))


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_and_foreign_files(made, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    with pytest.raises(InputError, match="no exported network at"):
        read_exported(path)
    path.write_bytes((made[1] / path.name).read_bytes()[:-1000])
    with pytest.raises(InputError, match=rf"net\{suffix} cannot be read"):
        read_exported(path)
    shutil.copy(made[1] / path.name, path)
    with pytest.raises(InputError, match=r"is an exported network, which only predict\.py accepts"):
        read_checkpoint(path)
    about = {"frames_per_segment": "5"}
    if suffix == ".pt2":
        changed_archive(
            made[1] / path.name, path, lambda name, old: json.dumps(about).encode() if "extra" in name else old
        )
    else:
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {"h2cn": json.dumps(about)})
        onnx.save(model, path)
    with pytest.raises(InputError, match="does not name its network and classes"):
        read_exported(path)


def test_missing_packages_and_other_formats(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(InputError, match=r"--output a\.trt: .*\.onnx or \.pt2"):
        export.main(["ckpt", "--output", "a.trt"])
    (tmp_path / "a.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install onnxruntime -c constraints.txt"):
        read_exported(tmp_path / "a.onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match="pip install onnx onnxscript onnxruntime -c constraints.txt; or export to .pt2"
    ):
        export.main(["ckpt", "--output", "a.onnx"])


def test_pt2_needs_a_newer_torch(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.pt2"
    path.touch()
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.8.0+cpu"))
    for use in (lambda: export.main(["ckpt", "--output", str(path)]), lambda: read_exported(path)):
        with pytest.raises(InputError, match=r"a\.pt2 needs torch 2\.9 or newer, this is 2\.8\.0.*\.onnx"):
            use()


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """The checkpoint of a network that is exported quickly."""
    write_checkpoint(tmp_path / "ckpt.pth.tar", "Tiny")
    return str(tmp_path / "ckpt.pth.tar")


@needs_pt2
@pytest.mark.parametrize("fault", [1e-3, float("nan")])
def test_a_file_with_other_logits_is_not_written(tiny: str, tmp_path: Path, monkeypatch, fault: float) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.pt2").write_text("old")
    real = ExportedNet.__call__
    monkeypatch.setattr(ExportedNet, "__call__", lambda self, clips: real(self, clips) + fault * (len(clips) == 5))
    with pytest.raises(InputError, match="logits differ from those of Tiny"):
        export.main([tiny, "--output", str(tmp_path / "out" / "a.pt2")])
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [("a.pt2", "old")]


def test_a_network_that_cannot_be_exported(tiny: str, tmp_path: Path, monkeypatch) -> None:
    real = TinyNet.logits
    monkeypatch.setattr(TinyNet, "logits", lambda self, clip: real(self, clip) * (1 if clip.sum() > 0 else 2))
    with pytest.raises(InputError, match="torch.export cannot export Tiny"):
        export.main([tiny, "--output", str(tmp_path / "a.onnx")])


@needs_pt2
def test_latency_of_full_res_without_a_compiler(tmp_path: Path, capsys, monkeypatch) -> None:
    def start_runtime(_gpus: list[int], compiled: bool = False) -> None:
        if compiled:
            raise InputError("torch.compile fails here")

    monkeypatch.setattr(export, "start_runtime", start_runtime)
    path, checkpoint = str(tmp_path / "a.pt2"), tmp_path / "ckpt.pth.tar"
    write_checkpoint(checkpoint, "Tiny", input_size=128)
    export.main([str(checkpoint), "--output", path, "--full_res", "--latency", "--rounds", "2"])
    net = read_exported(Path(path))
    assert (net.input_size, net.size) == (128, 160)
    out = capsys.readouterr().out
    assert "torch.compile fails here" in out
    assert [line.split(" |")[0] for line in out.splitlines() if line.startswith("| ")] == [
        "| network", "| eager", f"| {path}"
    ]  # fmt: skip
