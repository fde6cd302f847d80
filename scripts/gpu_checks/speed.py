"""Checks of memory and time, with the tools of scripts/benchmark.py."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import torch

from scripts.benchmarking.measuring import MIB, measure, peak_tensor_bytes
from scripts.benchmarking.model_and_step import count_all, product_rate
from scripts.benchmarking.networks import Variant, make_call
from scripts.gpu_checks.bench import Bench, Fact

NETWORKS = ("h2cn", "tsn", "tsm", "tdn", "naive")
COMPILING = 60  # seconds that compiling a network may take


def memory(bench: Bench) -> Iterator[Fact]:
    """Memory of a training step in float32, above model, optimiser and input."""
    peaks = {}
    for name in NETWORKS:
        step = make_call(Variant(name), replace(bench.setting, training=True))
        step()  # in the first step cuDNN tries algorithms that need more memory
        peaks[name] = peak_tensor_bytes(step, bench.device)
        yield Fact(f"{name}, MiB", peaks[name] / MIB)
    # With small clips all need the same.
    yield Fact("h2cn, share of naive's", peaks["h2cn"] / peaks["naive"], high=1.01)


def speed(bench: Bench) -> Iterator[Fact]:
    """Evaluation and training step of H2CN, TSN, TSM, TDN and naive H2CN (in bfloat16 on a GPU)."""
    yield from _speed(bench, compiled=False)


def speed_compiled(bench: Bench) -> Iterator[Fact]:
    """The same by torch.compile, network by network while time remains."""
    bench.require_gpus(1)
    yield from _speed(bench, compiled=True)


def _speed(bench: Bench, *, compiled: bool) -> Iterator[Fact]:
    """Rates as shares of a matrix product's rate, with time, throughput and memory."""
    rate = product_rate(bench.device, torch.bfloat16 if bench.gpus else torch.float32)
    yield Fact("matrix product, TFLOP/s", rate / 1e12)
    changes = "+compiled" * compiled + "+bf16" * bool(bench.gpus)
    turns = [[name] for name in NETWORKS] if compiled else [NETWORKS]
    most = 1 if bench.gpus else None  # a share above 1 is a wrong time; on a CPU other programs disturb the rate
    for names, training in itertools.product(turns, (True, False)):
        bench.require_time(COMPILING * compiled)
        torch.compiler.reset()  # otherwise the ninth network is not compiled
        setting = replace(bench.setting, training=training)
        variants = [Variant.parse(n + "+prepared" * (n != "naive" and not training) + changes) for n in names]
        macs = count_all(variants, setting)
        calls = {variant: make_call(variant, setting) for variant in variants}
        for variant, own in measure(calls, bench.device, 5 if bench.gpus else 1).items():
            seconds = median(own.seconds)
            flops = 2 * macs[variant] / seconds
            figures = {"ms": 1000 * seconds, "clips/s": setting.batch_size / seconds, "TFLOP/s": flops / 1e12}
            what = f"{'step' if training else 'model'} {variant}"
            yield Fact(what, flops / rate, 0, most, {**figures, "MiB": own.tensor_bytes / MIB})
