"""Checks of memory and time, by the means of scripts/benchmark.py."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import torch

from scripts.benchmarking.memory import MIB, peak_tensor_bytes
from scripts.benchmarking.model_and_step import CALLS, count_all, measure_together, product_rate
from scripts.benchmarking.networks import Variant, make_call
from scripts.gpu_checks.bench import Bench, Fact

NETWORKS = ("h2cn", "tsn", "tsm", "tdn", "naive")
COMPILING = 60  # seconds that compiling a network takes at most


def memory(bench: Bench) -> Iterator[Fact]:
    """What a training step in float32 needs above model, optimiser and input."""
    peaks = {}
    for name in NETWORKS:
        step = make_call(Variant(name), replace(bench.setting, training=True))
        step()  # in the first one cuDNN tries algorithms, which takes more
        peaks[name] = peak_tensor_bytes(step, bench.device)
        yield Fact(f"{name}, MiB", peaks[name] / MIB)
    yield Fact("h2cn, share of naive's", peaks["h2cn"] / peaks["naive"], high=1.01)  # of small clips all take the same


def speed(bench: Bench, *, compiled: bool = False) -> Iterator[Fact]:
    """Evaluation and training step (bfloat16 on a GPU): share of a matrix product's rate, and what was measured."""
    bench.require_gpus(int(compiled))
    rate = product_rate(bench.device, torch.bfloat16 if bench.gpus else torch.float32)
    yield Fact("matrix product, TFLOP/s", rate / 1e12)
    changes = "+compiled" * compiled + "+bf16" * bool(bench.gpus)
    turns = [[name] for name in NETWORKS] if compiled else [NETWORKS]
    for names, training in itertools.product(turns, (True, False)):
        bench.require_time(COMPILING * compiled)
        torch.compiler.reset()  # else the ninth network stays as it is
        setting = replace(bench.setting, training=training)
        variants = [Variant.parse(n + "+prepared" * (n != "naive" and not training) + changes) for n in names]
        macs = count_all(variants, setting)
        measured = measure_together(variants, setting, 5 if bench.gpus else 1, CALLS[bench.device.type])
        for variant, own in measured.items():
            seconds = median(own.seconds)
            flops = 2 * macs[variant] / seconds
            figures = {"ms": 1000 * seconds, "clips/s": setting.batch_size / seconds, "TFLOP/s": flops / 1e12}
            what = f"{'step' if training else 'model'} {variant}"
            yield Fact(what, flops / rate, 0, 1, {**figures, "MiB": own.tensor_bytes / MIB})
