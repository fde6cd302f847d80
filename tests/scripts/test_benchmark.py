"""scripts/benchmark.py: arithmetic and meters on known cases, and every command on its smallest setting."""

import argparse
import json
import mmap
import re
from itertools import count
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from video_files import own_data_flags, write_dataset

from common.errors import InputError
from datasets.catalogue import BUILT_IN
from scripts import benchmark
from scripts.benchmarking import measuring, model_and_step, scaling
from scripts.benchmarking.growth import Growth, along_workers, growth
from scripts.benchmarking.loading import worker_counts
from scripts.benchmarking.material import Size
from scripts.benchmarking.measuring import (
    MIB,
    Measured,
    Spread,
    alternate,
    peak_resident_bytes,
    peak_tensor_bytes,
    ratios,
)  # fmt: skip
from scripts.benchmarking.networks import OURS, Setting, Variant, build

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
TINY = ["--arch", "resnet10", "-b", "1", "--segments", "2", "--size", "32", "--device", "cpu", "--rounds", "2"]


def measured(tmp_path: Path, *arguments: str) -> dict:
    """The JSON report of a command."""
    file = tmp_path / "measured.json"
    benchmark.main([*arguments, "--json", str(file)])
    return json.loads(file.read_text())


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([1.0, 2.0]) == Spread(1.5, 1.25, 1.75)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)
    assert Spread(0.7149, 0.69, 0.744).text() == "0.71 (0.69 to 0.74)"
    assert Spread(0.0015, 0.001, 0.002).text(1, 1000) == "1.5 (1.0 to 2.0)"


def test_ratios_are_those_of_each_round() -> None:
    """The machine was busy in the second round, for both variants alike, which leaves the ratio unchanged."""
    assert ratios([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == Spread(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="argument"):
        ratios([1.0], [1.0, 2.0])


def test_variants_take_turns() -> None:
    calls: list[str] = []
    times = alternate({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=3, warmup=1, calls=2)
    assert "".join(calls) == "ab" + 3 * "aabb"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_tensor_memory_is_exact() -> None:
    """The peak counts tensors that exist at the same time, without those from before the call."""
    before = torch.ones(MIB)

    def call() -> None:
        a = torch.empty(8 * MIB, dtype=torch.uint8)
        b = torch.empty(4 * MIB, dtype=torch.uint8)
        del a
        c = torch.empty(6 * MIB, dtype=torch.uint8)
        del b, c

    assert peak_tensor_bytes(call, CPU) == 12 * MIB
    assert before.sum() == MIB


def test_resident_memory_counts_written_pages() -> None:
    # mmap gives new pages; the allocator may still hold some from an earlier test
    peak = peak_resident_bytes(lambda: np.frombuffer(mmap.mmap(-1, 64 * MIB), np.uint8).fill(1))
    if not peak:
        pytest.skip("this system has no /proc to read the peak from")
    assert 60 * MIB < peak < 100 * MIB


@pytest.mark.parametrize("wrong", ["resnet", "tsn+fast", "tsn+channels_last", "naive+prepared", ""])
def test_a_wrong_variant_is_refused(wrong: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=rf"^{re.escape(repr(wrong))}: .*(h2cn|torchvision)"):
        Variant.parse(wrong)


def test_the_name_of_a_variant_is_canonical() -> None:
    assert str(Variant.parse("h2cn+bf16+prepared")) == "h2cn+prepared+bf16"


def test_torchvision_lacks_a_backbone() -> None:
    with pytest.raises(InputError, match="no resnet10"):
        build(Variant.parse("torchvision"), Setting("resnet10", 1, 2, 32, CPU, training=False))


def test_the_networks_compute_the_same() -> None:
    """Ours and the naive H2CN share weights and clip; torchvision's network takes the key frames, as TSN does."""
    setting = Setting("resnet18", 1, 2, 32, CPU, training=False, num_class=5)
    results, clips = {}, {}
    for name in ("h2cn", "naive", "tsn", "torchvision", "torchvision+channels_last"):
        network, clips[name] = build(Variant.parse(name), setting)
        with torch.inference_mode():
            options = {"normalised": True} if name in OURS else {}
            results[name] = network(clips["h2cn"] if name == "naive" else clips[name], **options)
    assert torch.allclose(results["h2cn"], results["naive"], atol=1e-5)
    assert torch.allclose(results["torchvision"], network(clips["torchvision"]), atol=1e-5)
    assert clips["h2cn"].shape == clips["naive"].shape == (1, 2, 5, 3, 32, 32)
    assert clips["tsn"].shape == clips["torchvision"].shape == (1, 2, 1, 3, 32, 32)


@pytest.mark.parametrize("command", ["model", "step"])
def test_networks(command: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(model_and_step.MATRIX, "cpu", 32)
    content = measured(tmp_path, command, *TINY, "--variants", "naive", "tsn", "h2cn", "--base", "tsn")
    assert content["benchmark"] == command
    assert content["machine"]["torch"] == torch.__version__
    assert set(content["variants"]) == {"naive", "tsn", "h2cn"}
    for figures in content["variants"].values():
        assert len(figures["seconds"]) == 2
        assert figures["tensor_bytes"] > 0
        assert set(figures["ratio_to"]) == {"tsn"}
    assert content["variants"]["tsn"]["ratio_to"]["tsn"]["median"] == 1
    out = capsys.readouterr().out
    assert out.count("\n| `") == 3
    assert "| time x tsn | tensors x tsn |" in out


def test_mixing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(model_and_step.MATRIX, "cpu", 32)
    tiny = ["2" if flag == "1" else flag for flag in TINY]  # two clips, for mixing
    variants = ["--variants", "tsn", "tsn+svmix", "--base", "tsn"]
    figures = measured(tmp_path, "step", *tiny, *variants)["variants"]
    assert figures["tsn+svmix"]["tensor_bytes"] > figures["tsn"]["tensor_bytes"]
    with pytest.raises(InputError, match=r"\+svmix is only for step"):
        benchmark.main(["model", *tiny, *variants])


def test_loader(tmp_path: Path, capsys) -> None:
    tiny = ["--clips", "3", "--rounds", "1", "-j", "1", "--num_segments", "2", "--input_size", "32"]
    content = measured(tmp_path, "loader", *tiny, "--num_frames", "6", "8", "--frame_sizes", "40x32")
    assert [table["videos"] for table in content["tables"]] == [f"{n} frames of 40 x 32 per video" for n in (6, 8)]
    for table in content["tables"]:
        names = {"family", "pil", "decode", "decode_unique"}
        assert names <= set(table["seconds"]["0"]) == set(table["seconds"]["1"])
        assert {len(values) for values in table["seconds"]["1"].values()} == {1}
        assert {len(values) for values in table["main_process_cpu_seconds"]["1"].values()} == {1}
        assert table["pixels"]["pil"][0] <= 1
    text = capsys.readouterr().out
    assert "| x family | x decode |" in text
    assert "| CPU time of the main process per clip, ms | no workers | 1 worker | at most, clips/s |" in text


def test_loader_with_own_videos_in_every_form(tmp_path: Path, capsys) -> None:
    flags = own_data_flags(write_dataset(tmp_path, train=3))
    (tmp_path / "train.txt").write_text((tmp_path / "train.txt").read_text() * 2)  # repeated clips are measured once
    flags = [*flags[:4], *flags[6:]]  # without the val list
    tiny = ["--rounds", "1", "-j", "0", "--num_segments", "2", "--input_size", "32", "--base", "folder"]
    content = measured(tmp_path, "loader", "mine", *flags, *tiny, "--variants", "folder", "archive", "video")
    assert set(content["tables"][0]["seconds"]["0"]) == {"folder", "archive", "video"}
    files = [line.split(" files")[0] for line in capsys.readouterr().out.splitlines() if " files, " in line]
    assert files == ["archive: 3", f"folder: {12 + 13 + 14}", "video: 3"]


def test_views(tmp_path: Path, capsys) -> None:
    tiny = ["--clips", "2", "--rounds", "1", "--num_segments", "2", "--input_size", "32", "--num_clips", "2"]
    content = measured(tmp_path, "views", *tiny, "--num_frames", "6", "--frame_sizes", "40x32")
    assert set(content["tables"][0]["times_as_fast"]) == {"family", "single", "once", "once_cut"}
    assert content["tables"][0]["pixels"] <= 2
    assert "2 clips x 3 crops of 2 x 5 frames, resize to short side 32" in capsys.readouterr().out


def test_worker_counts() -> None:
    assert [worker_counts(most) for most in (0, 1, 2, 6)] == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 4, 6]]


@pytest.mark.parametrize("wrong", ["320", "320x", "320x8", "axb", "320x240x3"])
def test_a_wrong_frame_size_is_refused(wrong: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="320x240"):
        Size.parse(wrong)


def test_growth_is_an_exponent() -> None:
    """Twice the segments take four times as long (quadratic) and twice the memory (linear)."""
    quadratic = growth(2, Measured([1.0, 2.0, 1.0], 100), Measured([4.0, 8.0, 4.0], 200))
    assert quadratic == Growth(Spread(2.0, 2.0, 2.0), 1.0)
    assert quadratic.is_superlinear()
    assert not growth(2, Measured([1.0], 100), Measured([1.9], 150)).is_superlinear()
    assert growth(4, Measured([1.0], 100), Measured([1.0], 800)).memory == pytest.approx(1.5)


def test_growth_along_every_axis(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("scripts.benchmarking.growth.VIDEO", (6, Size(40, 32)))
    axes = ["--segments", "2", "4", "--sizes", "32", "64", "--batch_sizes", "1"]
    few = ["--arch", "resnet10", "--device", "cpu", "--rounds", "1", "--clips", "2", "-j", "1", "--variant", "tsn"]
    content = measured(tmp_path, "growth", *axes, *few)
    measured_axes = [(table["axis"], table["training"], table["values"]) for table in content["tables"]]
    values = [("segments", [2, 4]), ("size", [32, 64])]  # an axis of one value is not varied
    assert measured_axes == [(name, training, axis) for training in (False, True) for name, axis in values]
    assert all(len(table["growth"]) == 1 for table in content["tables"])
    assert content["loader"]["workers"] == [0, 1]
    assert all(memory is None or memory > MIB for memory in content["loader"]["bytes"])


def test_memory_that_is_not_known(monkeypatch, capsys) -> None:
    """As on systems without /proc."""
    monkeypatch.setattr("scripts.benchmarking.growth.VIDEO", (6, Size(40, 32)))
    monkeypatch.setattr(measuring, "_field", lambda *_: 0)
    few = argparse.Namespace(workers=1, dataset=BUILT_IN, clips=2, segments=[2], sizes=[32], rounds=1)
    assert along_workers(few)["bytes"] == [None, None]
    assert capsys.readouterr().out.count("not known") == 4


def test_a_list_in_reader_processes(tmp_path: Path, monkeypatch) -> None:
    """Readers share the list; forked ones even what the main process has imported. Memory may not be known."""
    calls, of_forks = count(), 2 * scaling.WORKERS  # before and after reading
    known = measuring.private_bytes
    monkeypatch.setattr(scaling, "private_bytes", lambda pid: known(pid) if next(calls) < of_forks else 0)
    found = scaling.measure_list(tmp_path / "list.txt", 5000)
    assert found["list, MiB"] < 0.4
    assert found.get("fork: MiB per worker", 0) < 100  # absent without /proc
    assert [name for name in found if name.startswith("forkserver")] == ["forkserver: first batch, s"]


def test_default_variants_are_valid_and_include_their_bases() -> None:
    for variants, bases in model_and_step.DEFAULTS.values():
        assert {Variant.parse(base) for base in bases.split()} <= {Variant.parse(name) for name in variants.split()}


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="this system has no fork")
def test_turns_in_new_processes(tmp_path: Path, monkeypatch) -> None:
    """Forked here, since new ones would import torch again; what they get and give is pickled all the same."""
    forked = get_context("fork")
    monkeypatch.setattr(model_and_step.multiprocessing, "get_context", lambda _: forked)
    monkeypatch.setitem(model_and_step.MATRIX, "cpu", 32)
    content = measured(tmp_path, "step", *TINY[:-1], "1", "--variants", "tsn", "--base", "tsn", "--processes")
    assert len(content["variants"]["tsn"]["seconds"]) == 1
    assert all(peak > MIB for peak in content["variants"]["tsn"]["resident_bytes"])


def test_an_unwritable_file_is_refused_before_measuring(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(model_and_step, "run", lambda *args, **options: pytest.fail("measured"))
    (tmp_path / "file").touch()
    for file in (tmp_path, tmp_path / "file" / "x.json"):
        with pytest.raises(InputError, match="--json"):
            benchmark.main(["model", "--json", str(file)])
