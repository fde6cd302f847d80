"""scripts/benchmark.py: its arithmetic and its meters on known cases, and that every command measures what it says."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from errors import InputError
from scripts import benchmark
from scripts.benchmarking import model_and_step
from scripts.benchmarking.memory import MIB, peak_resident_bytes, peak_tensor_bytes
from scripts.benchmarking.networks import Setting, Variant, build
from scripts.benchmarking.timing import Spread, alternate, ratios

CPU = torch.device("cpu")
TINY = ["--arch", "resnet18", "-b", "1", "--segments", "2", "--size", "32", "--device", "cpu", "--rounds", "2"]


@pytest.fixture(autouse=True)
def _one_thread():
    """So small networks gain nothing from two, and lose much where other work holds one of the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def measured(tmp_path: Path, *arguments: str) -> dict:
    """What a command writes."""
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
    """The second round met a busy machine, and both variants did: the ratio does not see it."""
    assert ratios([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == Spread(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="argument"):
        ratios([1.0], [1.0, 2.0])


def test_variants_take_turns() -> None:
    calls: list[str] = []
    times = alternate({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=3, warmup=1, calls=2)
    assert "".join(calls) == "ab" + 3 * "aabb"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_tensor_memory_is_exact() -> None:
    """What is held at once counts, what was released before does not; nor what was there before."""
    before = torch.ones(MIB)

    def call() -> None:
        a = torch.empty(8 * MIB, dtype=torch.uint8)
        b = torch.empty(4 * MIB, dtype=torch.uint8)
        del a
        c = torch.empty(6 * MIB, dtype=torch.uint8)
        del b, c

    assert peak_tensor_bytes(call, CPU) == 12 * MIB
    assert before.sum() == MIB


def test_resident_memory_sees_what_is_written() -> None:
    peak = peak_resident_bytes(lambda: torch.ones(64 * MIB, dtype=torch.uint8))
    if peak is None:
        pytest.skip("this system has no /proc to read the peak from")
    assert 60 * MIB < peak < 100 * MIB


@pytest.mark.parametrize("wrong", ["resnet", "tsn+fast", "tsn+channels_last", "naive+prepared", ""])
def test_a_wrong_variant_is_refused(wrong: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="torchvision"):
        Variant.parse(wrong)


def test_a_variant_is_written_in_one_way() -> None:
    assert str(Variant.parse("h2cn+bf16+prepared")) == "h2cn+prepared+bf16"


def test_the_networks_compute_the_same() -> None:
    """Ours and the naive one have the same weights and clip, and torchvision's takes the key frames that TSN takes."""
    setting = Setting("resnet18", 1, 2, 32, CPU, training=False, num_class=5)
    results, clips = {}, {}
    for name in ("h2cn", "naive", "tsn", "torchvision", "torchvision+channels_last"):
        network, clips[name] = build(Variant.parse(name), setting)
        with torch.inference_mode():
            results[name] = network(clips["h2cn"] if name == "naive" else clips[name])
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


def test_default_variants_are_known_and_hold_their_bases() -> None:
    for variants, bases in model_and_step.DEFAULTS.values():
        assert {Variant.parse(base) for base in bases.split()} <= {Variant.parse(name) for name in variants.split()}


def test_every_turn_in_a_process_of_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(model_and_step.MATRIX, "cpu", 32)
    content = measured(tmp_path, "step", *TINY[:-1], "1", "--variants", "tsn", "--base", "tsn", "--processes")
    assert len(content["variants"]["tsn"]["seconds"]) == 1
    assert all(peak > MIB for peak in content["variants"]["tsn"]["resident_bytes"])


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(model_and_step, "run", lambda *args, **options: pytest.fail("it measures"))
    for file in (tmp_path, tmp_path / "not there" / "x.json"):
        with pytest.raises(InputError, match="--json .* give a file in a folder that is there"):
            benchmark.main(["model", "--json", str(file)])
