"""scripts/publish.py: weights alone, which load wherever a checkpoint does."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from checkpoint_files import CLASSES, SIZE, random_clips, write_checkpoint
from PIL import Image
from video_files import write_frames

import hubconf
import predict
from common.errors import InputError
from common.files import file_hash
from ops.models import build_model
from ops.weights.checkpoint import Weights
from ops.weights.file import read_checkpoint
from ops.weights.load import load_weights
from scripts import explain, publish

pytestmark = pytest.mark.slow

FIGURES = {"val/top1": 62.5, "train/loss": 1.0}


def published(folder: Path, *flags: str) -> Path:
    publish.main([str(folder / "ckpt.pth.tar"), "--output_dir", str(folder / "out"), *flags])
    (path,) = (folder / "out").iterdir()
    return path


def logits(model, clips) -> torch.Tensor:
    with torch.inference_mode():
        return model(clips)


def test_round_trip(tmp_path: Path, capsys) -> None:
    model = write_checkpoint(tmp_path / "ckpt.pth.tar", epoch=3, figures=FIGURES, optimizer={"secret": "/home/me"})
    path = published(tmp_path)
    assert "top-1 62.50 %" in capsys.readouterr().out
    assert path.name == f"H2CN_mine_resnet10_2f-{file_hash(path)[:8]}.safetensors"
    assert path == published(tmp_path)  # the same file
    with safetensors.safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["h2cn"])
        assert set(file.keys()) == set(model.state_dict())
    assert about["trained_on"]["class_names"] == CLASSES
    assert about["figures"] == {"val/top1": 62.5}

    clips = random_clips(model)
    expected = logits(model, clips)
    assert torch.equal(logits(Weights.read(str(path)).build(CLASSES), clips), expected)
    assert torch.equal(logits(hubconf.load(str(path)), clips), expected)
    other = build_model("H2CN", "resnet10", 3, 2)
    report = load_weights(other, path, new_classifier=True, class_names=["other", "class", "names"])  # --tune_from
    assert report.new == list(other.classifier)
    with pytest.raises(InputError, match="build --net H2CN"):
        load_weights(build_model("TSN", "resnet10", 3, 2), path)


def test_float16(tmp_path: Path, capsys) -> None:
    model = write_checkpoint(tmp_path / "ckpt.pth.tar", "TSN")
    path = published(tmp_path, "--dtype", "float16", "--name", "my net/1")
    assert "top-1 unknown" in capsys.readouterr().out
    assert path.name == f"my_net_1-{file_hash(path)[:8]}.safetensors"
    assert path.stat().st_size < 0.51 * (tmp_path / "ckpt.pth.tar").stat().st_size
    loaded = Weights.read(str(path)).build(CLASSES)
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}
    expected, found = (logits(each, random_clips(model)) for each in (model, loaded))
    assert torch.allclose(found, expected, rtol=0, atol=0.01 * float(expected.abs().max()))
    assert not torch.equal(found, expected)

    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(3):
        Image.fromarray(np.full((SIZE, SIZE, 3), 80 * number, np.uint8)).save(frames / f"{number}.png")
    predict.main([str(frames), "--weights", str(path)])
    assert "left" in capsys.readouterr().out


def test_scores_that_are_not_finite(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "ckpt.pth.tar", "TSN")
    state = model.state_dict()
    state["conv1.weight"].fill_(1e38)
    write_checkpoint(tmp_path / "ckpt.pth.tar", "TSN", state_dict=state)
    write_frames(tmp_path / "frames", 3)
    for script, *source in ((publish,), (explain, str(tmp_path / "frames"), "--weights")):
        with pytest.raises(InputError, match="scores are not finite"):
            script.main([*source, str(tmp_path / "ckpt.pth.tar"), "--output_dir", str(tmp_path / "out")])
        assert not (tmp_path / "out").exists()


def test_values_beyond_float16(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "ckpt.pth.tar", "TSN")
    state = model.state_dict()
    state["bn1.running_var"][0] = 1e5
    write_checkpoint(tmp_path / "ckpt.pth.tar", "TSN", state_dict=state)
    with pytest.raises(InputError, match=r"bn1\.running_var is too large"):
        published(tmp_path, "--dtype", "float16")
    assert not (tmp_path / "out").exists()


def test_damaged_files_and_weights_from_elsewhere(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "ckpt.pth.tar", "TSN")
    path = published(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="does not match the hash in its name"):
        read_checkpoint(path)
    renamed = path.rename(tmp_path / "renamed.safetensors")
    with pytest.raises(InputError, match=r"renamed\.safetensors is damaged"):
        read_checkpoint(renamed)
    renamed.rename(path)
    path.write_bytes(content[:-9])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        read_checkpoint(path)
    torch.save(build_model("TSN", "resnet10", 3, 2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth does not name its network and classes"):
        publish.main([str(tmp_path / "w.pth")])
