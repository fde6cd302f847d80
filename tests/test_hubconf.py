"""Networks through torch.hub, from another folder and beside a package with the name of our `datasets`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from started_python import run_python

import hubconf
from common.errors import InputError
from datasets.preprocessing import eval_preprocessing
from datasets.sampling import centre_starts, segment_indices
from ops.choices import ARCHS
from ops.models import build_model
from ops.weights.file import save_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ["left", "right", "up"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A working directory with another package named `datasets`."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("load_dataset = 'of another project'\n")
    return tmp_path


def run(folder: Path, code: str) -> str:
    """The output of a program in `folder`, which knows nothing of this project but its path ROOT."""
    program = f"import sys, json, torch\nROOT = {str(ROOT)!r}\n{code}"
    done = run_python([sys.executable, "-c", program], cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def video() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 40, 60, 3), dtype=np.uint8)


def checkpoint(folder: Path) -> torch.Tensor:
    """Write ckpt.pth.tar of an H2CN of 2 segments at 32 pixels; the logits of `video`."""
    torch.manual_seed(0)
    model = build_model("H2CN", "resnet18", 3, 2).eval()
    made_for = {
        "net": "H2CN", "arch": "resnet18", "num_segments": 2, "dataset": "mine", "class_names": CLASSES,
        "input_size": 32, "preprocessing": "", "train_list_hash": "", "val_list_hash": "", "ablate": [],
    }  # fmt: skip
    save_checkpoint(folder / "ckpt.pth.tar", {"state_dict": model.state_dict(), "trained_on": made_for})
    indices = segment_indices(centre_starts(9, 2, 5), 5, 9)
    crops = np.stack(list(eval_preprocessing(32)(video()[indices.flatten()])))
    clip = torch.from_numpy(crops).reshape(1, 2, 5, 32, 32, 3).movedim(-1, -3)
    with torch.inference_mode():
        return model(clip)


@pytest.mark.parametrize("first", ["", "import datasets\n"], ids=["on the path", "imported"])
def test_a_checkpoint_scores_a_video_beside_another_datasets(elsewhere: Path, first: str) -> None:
    expected = checkpoint(elsewhere)
    np.save(elsewhere / "video.npy", video())
    code = """
import numpy
for fused in (False, True):
    model = torch.hub.load(ROOT, "load", "ckpt.pth.tar", source="local", fused=fused)
    assert not model.training
    clip = model.preprocess(numpy.load("video.npy"))
    assert clip.dtype == torch.uint8 and clip.shape == (1, 2, 5, 3, 32, 32)
    with torch.inference_mode():
        print(json.dumps(model(clip).tolist()))
print(json.dumps(model.class_names))
import datasets
assert datasets.load_dataset == "of another project"
"""
    plain, fused, names = map(json.loads, run(elsewhere, first + code).splitlines())
    assert torch.allclose(torch.tensor(plain), expected, atol=1e-6)
    assert torch.allclose(torch.tensor(fused), expected, atol=1e-6)
    assert names == CLASSES


def test_networks_by_name_with_and_without_weights(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    options = {"num_class": 3, "num_segments": 2, "source": "local"}
    for name in ("h2cn_resnet18", "tsn_resnet18", "r2plus1d_18"):
        model = torch.hub.load(str(ROOT), name, **options).eval()
        clip = torch.zeros(1, 2, model.frames_per_segment, 3, 32, 32, dtype=torch.uint8)
        assert model(clip).shape == (1, 3)
    path = str(tmp_path / "ckpt.pth.tar")
    model = torch.hub.load(str(ROOT), "h2cn_resnet18", weights=path, **options)
    stored = torch.load(path)["state_dict"]
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


def test_a_clash_of_names_is_an_error(elsewhere: Path) -> None:
    (elsewhere / "ops").mkdir()
    code = """
import ops
try:
    torch.hub.load(ROOT, "h2cn_resnet18", source="local", num_class=3)
except ImportError as error:
    print(error)
"""
    said = run(elsewhere, code)
    assert "'ops'" in said
    assert str(elsewhere) in said


def test_every_network_is_offered_and_nothing_else() -> None:
    names = [name for name in vars(hubconf) if callable(getattr(hubconf, name)) and name[0] != "_"]
    assert names[0] == "load"
    assert {"h2cn_resnet50", "tdn_resnet101", "tsm_resnet34", "tsn_resnet18", "s3d", "swin3d_t"} < set(names)
    assert len(names) == 1 + 4 * len(ARCHS) + 6


def test_weights_without_class_names_cannot_be_loaded_by_themselves(tmp_path: Path) -> None:
    torch.save(build_model("TSN", "resnet18", 3, 2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth does not name its network and classes"):
        hubconf.load(str(tmp_path / "w.pth"))
