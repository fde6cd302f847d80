"""The table of networks."""

import sys
from pathlib import Path

import pytest
import torch
from started_python import run_python

from ops.flops import count_macs, count_parameters
from ops.models import build_model
from scripts import model_info

pytestmark = pytest.mark.slow


def test_counts_are_the_published_ones() -> None:
    """H2CN-R50 with 174 classes: 24.06 M parameters (without the unused stem), 33.61 and 67.22 G multiply-adds."""
    published = {("H2CN", 8): 33.61, ("H2CN", 16): 67.22, ("TDN", 8): 35.64, ("TSM", 8): 32.70}
    for (net, segments), macs in published.items():
        with torch.device("meta"):
            model = build_model(net, "resnet50", 174, segments)
        assert count_macs(model, 224) / 1e9 == pytest.approx(macs, abs=0.005)
        assert net != "H2CN" or count_parameters(model) == 24_061_064


def test_model_info_prints_a_table(tmp_path: Path) -> None:
    """As a user runs it, from any folder."""
    command = [sys.executable, model_info.__file__, "--net", "H2CN", "--arch", "resnet50", "--num_segments", "8"]
    done = run_python(command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    heading, row, note = done.stdout.splitlines()
    assert row.split() == ["H2CN", "resnet50", "8", "24.06", "M", "-", "33.61", "43.89"]
    assert "multiply-adds" in note
    assert "GMACs at 224" in heading


def test_a_network_of_torchvision_has_one_row(monkeypatch, capsys) -> None:
    flags = ["--net", "r2plus1d_18", "--num_segments", "16", "--num_class", "400"]
    monkeypatch.setattr(sys, "argv", ["model_info.py", *flags])
    model_info.main()
    _, row, _ = capsys.readouterr().out.splitlines()
    assert row.split()[:6] == ["r2plus1d_18", "torchvision", "16", "31.51", "M", "40.52"]  # as torchvision publishes it
