"""Features of views: for every network they give its logits, and their files are whole."""

import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_net import random_clips

from common.errors import InputError
from ops.fuse import fuse_for_inference
from ops.models import build_model
from ops.scoring.features import (
    features_path,
    have_features,
    num_features,
    read_features,
    return_features,
    write_features,
)
from ops.scoring.journal import ScoreJournal


@pytest.mark.parametrize(
    ("net", "arch", "segments", "size", "width"),
    [
        ("H2CN", "resnet10", 2, 32, 512),
        ("TSN", "resnet10", 3, 32, 512),
        ("r2plus1d_18", None, 2, 16, 512),
        ("mvit_v2_s", None, 2, 32, 768),
        ("swin3d_t", None, 2, 32, 768),
        ("s3d", None, 24, 32, 1024),  # its classifier is applied to two windows
    ],
)
@torch.inference_mode()
def test_the_classifier_of_the_features_gives_the_logits(
    net: str, arch: str, segments: int, size: int, width: int
) -> None:
    model = build_model(net, arch, 3, segments).eval()
    weight, bias = (model.get_parameter(name) for name in model.classifier)
    torch.nn.init.normal_(weight, std=1e6 if net == "s3d" else 1)  # its random features are tiny
    torch.nn.init.normal_(bias)
    clips = random_clips(2, segments, model.frames_per_segment, size)
    fused = fuse_for_inference(model)
    expected = fused(clips)
    return_features(fused)
    logits, features = fused(clips).split([3, width], 1)
    assert num_features(model) == width
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features @ weight.flatten(1).T + bias, expected, rtol=1e-4, atol=1e-4)
    assert (features[0] - features[1]).abs().max() > 1e-2 * features.max()
    assert model(clips).shape == (2, 3)  # the network itself is unchanged


def test_files_of_views(tmp_path: Path) -> None:
    batches = [np.random.default_rng(n).random((2, 1, n, 5)).astype(np.float16) for n in (4, 3)]
    pickles = [[tmp_path / f"{clip}_crop0.pkl"] for clip in (0, 1)]
    write_features(pickles, iter(batches), (7, 5), "float16")
    second = read_features(features_path(tmp_path / "1_crop0.pkl"))
    assert isinstance(second, np.memmap)
    assert np.array_equal(second, np.concatenate([batch[1, 0] for batch in batches]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0_crop0_features.npy", "1_crop0_features.npy"]
    assert have_features(pickles[0], "float16")
    assert not have_features([tmp_path / "2_crop0.pkl"], "float16")
    with pytest.raises(InputError, match=r"0_crop0_features\.npy has float16 features, not float32.*--overwrite"):
        have_features(pickles[0], "float32")


def test_a_full_disk(tmp_path: Path) -> None:
    """Simulated by a limit on file sizes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*0_crop0_features\.npy"):
            write_features([[tmp_path / "0_crop0.pkl"]], [np.zeros((1, 1, 100, 9), np.float32)], (100, 9), "float32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncated", "empty", "pickle", "vector"])
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "0_crop0_features.npy"
    np.save(
        path,
        np.ones((3, 4), np.float32) if damage == "truncated" else np.ones(3, object if damage == "pickle" else "f4"),
    )
    if damage in ("truncated", "empty"):
        path.write_bytes(path.read_bytes()[: -5 if damage == "truncated" else 0])
    with pytest.raises(InputError, match=r"0_crop0_features\.npy has no valid features.*--overwrite"):
        read_features(path)


def test_features_too_large_for_float16(tmp_path: Path) -> None:
    depends_on = {"test_crops": 1, "num_class": 2, "batch_size": 1, "num_features": 1, "dump_features": "float16"}
    with (
        pytest.raises(InputError, match="float16.*65504.*float32"),
        ScoreJournal(tmp_path / "x", depends_on, [0], overwrite=False) as journal,
    ):
        journal.append(np.full((1, 1, 1, 3), 70000, np.float32))
    assert not (tmp_path / "x").exists()
