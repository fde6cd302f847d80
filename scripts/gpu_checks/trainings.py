"""Checks that run the project's scripts: short trainings, a resumed one, both tests and their merge."""

import json
from collections.abc import Iterator
from math import log, log2

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import counted
from datasets.built_in.motions import CLASS_NAMES
from ops.scoring.pickles import read_scores
from ops.weights.file import read_checkpoint
from scripts.gpu_checks.bench import Bench, Fact, Run

GUESSING = log(len(CLASS_NAMES))  # loss of uniform probabilities
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")


def learns(run: Run, bench: Bench, highest: float = 0.8 * GUESSING) -> Iterator[Fact]:
    """The loss is low enough, and the training ran on the right device."""
    yield Fact("loss on the val list", run.lines[-1]["val/loss"], 0, highest)
    yield Fact("lines about the CPU", run.output.count("on the CPU"), high=0 if bench.gpus else 1)


def train(bench: Bench) -> Iterator[Fact]:
    """A short training with --gpus 0."""
    yield from learns(bench.plain, bench)


def resume(bench: Bench) -> Iterator[Fact]:
    """One more epoch after `train`, with --amp bf16."""
    last = bench.plain.lines[-1]
    flags = ("--resume", bench.plain.checkpoint, "--epochs", last["epoch"] + 2, "--amp", "bf16")
    run = bench.train_briefly("resume", *flags)
    yield Fact("epochs trained again", sum(line["epoch"] < last["epoch"] for line in run.lines), high=0)
    yield from learns(run, bench, last["val/loss"] + 0.3)


def fp16(bench: Bench) -> Iterator[Fact]:
    """A short training with --amp fp16 on the last GPU; the gradient scaler works."""
    run = bench.train_briefly("fp16", "--amp", "fp16", *(["--gpus", bench.gpus[-1]] if bench.gpus else []))
    yield from learns(run, bench)
    scaler = read_checkpoint(run.checkpoint)["scaler"]
    skipped = log2(2.0**16 / scaler["scale"])
    yield Fact("steps skipped", skipped, 0, 10)
    yield Fact("steps counted by the scaler", skipped + scaler["_growth_tracker"], low=1)


def svmix(bench: Bench) -> Iterator[Fact]:
    """A short training with --mix svmix."""
    yield from learns(bench.train_briefly("svmix", "--mix", "svmix"), bench)


def parallel(bench: Bench) -> Iterator[Fact]:
    """A short training by DataParallel on all GPUs, with --amp bf16."""
    bench.require_gpus(2)
    yield from learns(bench.train_briefly("parallel", "--gpus", *bench.gpus, "--amp", "bf16"), bench)


def compiled(bench: Bench) -> Iterator[Fact]:
    """A short training with --compile --amp bf16."""
    bench.require_gpus(1)
    yield from learns(bench.train_briefly("compiled", "--compile", "--amp", "bf16"), bench)


def torchrun(bench: Bench) -> Iterator[Fact]:
    """Short trainings by one process per GPU (NCCL) and by a single one; without GPUs by two (gloo)."""
    clips = len((bench.data / "train.txt").read_text().splitlines())
    for processes in sorted({1, len(bench.gpus)}) if bench.gpus else [2]:
        batch = max(4 // processes, 1)
        steps = clips // processes // batch
        run = bench.train_briefly(f"torchrun{processes}", "-b", batch, launcher=(*TORCHRUN, str(processes)))
        epochs = run.output.count(f"train {steps}/{steps} ")
        yield Fact(f"{counted(processes, 'process')}: epochs of {steps} steps", epochs, 3, 3)
        yield from learns(run, bench)


def tests(bench: Bench) -> Iterator[Fact]:
    """Both test scripts and the merge give the results of training and, on a GPU, of the CPU."""
    for script, crops in (("test_models_center_crop.py", 1), ("test_models_three_crops.py", 3)):
        scores, label = score(bench, script, crops)
        if bench.gpus and crops == 3:
            from_cpu = (scores - score(bench, script, crops, cpu=True)[0]).abs().max()
            yield Fact(f"{script}: probabilities, difference from the CPU", float(from_cpu), high=0.05)
        if crops == 1:
            apart = abs(float(F.nll_loss(scores.log(), label)) - bench.plain.lines[-1]["val/loss"])
            yield Fact(f"{script}: loss, difference from training", apart, high=0.02 if bench.gpus else 1e-5)
    bench.script("pkl_to_results.py", "--output_dir", bench.folder / "scores3")
    merged = json.loads((bench.folder / "scores3" / "results.json").read_text())
    top1 = 100 * float((scores.argmax(1) == label).double().mean())
    yield Fact("pkl_to_results.py: top-1, %", merged["top1"], top1 - 1e-6, top1 + 1e-6)


def score(bench: Bench, script: str, crops: int, *, cpu: bool = False) -> tuple[Tensor, Tensor]:
    """Probabilities (M, K) on the val list, averaged over crops, and labels (M,)."""
    folder = bench.folder / f"scores{crops}{'_cpu' * cpu}"
    flags = ["--weights", bench.plain.checkpoint, "--output_dir", folder, "-j", min(4, 4 * len(bench.gpus))]
    bench.script(script, *flags, *(["--gpus", 0] if bench.gpus and not cpu else []), cpu=cpu)
    views = [read_scores(folder / f"0_crop{crop}.pkl") for crop in range(crops)]
    logits = torch.stack([torch.from_numpy(view.logits) for view in views])  # (V, M, K)
    return logits.double().softmax(-1).mean(0), torch.from_numpy(views[0].labels)


def accuracy(bench: Bench) -> Iterator[Fact]:
    """H2CN of `make demo` exceeds 75 %; on a CPU it reaches 91 to 92 %."""
    bench.require_gpus(1)
    run = bench.train("accuracy", "--data_root", bench.folder / "data", "--epochs", 14, "-j", 8)
    yield Fact("top-1, %", run.lines[-1]["val/top1"], 75, 100)
