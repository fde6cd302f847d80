"""`scaling`: steps of one and two processes, long lists in worker processes, and checkpoints. See docs/SCALING.md."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from common.cli import number
from common.files import write_json
from datasets.lists import clip_ids, read_list
from ops.models import build_model
from ops.optimiser import make_optimiser, parameter_groups
from ops.runtime import start_runtime
from ops.training.seen_clips import clip_digests
from ops.weights.file import save_checkpoint
from scripts.benchmarking.measuring import MIB, Spread, alternate, private_bytes, seconds
from scripts.benchmarking.report import print_table

WORKERS, READ = 2, 100_000  # worker processes, and records that they read together
LAUNCHES, STEPS = 2, 4  # of each kind, in turns; measured steps per launch
KINDS = {"1 process": (1, 2), "2, strong scaling": (2, 1), "2, weak scaling": (2, 2)}  # processes, clips of each


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=number(int, 1), nargs="*", default=[10**5, 10**6, 10**7], help="of the lists")
    parser.add_argument("--arch", default="resnet50", help="of H2CN, the network of the steps and the checkpoint")
    parser.add_argument("--size", type=number(int, 32), default=112, help="H = W in pixels")


def run(args: argparse.Namespace) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        lists = {rows: measure_list(Path(folder) / "list.txt", rows) for rows in args.rows}
        checkpoint = measure_checkpoint(args, Path(folder))
    cells = [[f"{rows:,}", *(f"{value:.1f}" for value in row.values())] for rows, row in lists.items()]
    print_table(["rows", *next(iter(lists.values()), {})], cells)
    print("\n" + ", ".join(f"{name}: {value:.2f}" for name, value in checkpoint.items()))
    steps: dict[str, dict[str, list[float]]] = {kind: {} for kind in KINDS}
    for _ in range(LAUNCHES):
        for kind, (processes, clips) in KINDS.items():
            for name, values in launch(args, processes, clips).items():
                steps[kind].setdefault(name, []).extend(values)
    rows = [[kind, *(Spread.of(values).text() for values in times.values())] for kind, times in steps.items()]
    print_table(["", *steps["1 process"]], rows)
    return {"lists": lists, "checkpoint": checkpoint, "steps": steps}


def measure_list(path: Path, rows: int) -> dict[str, float]:
    """Seconds and memory of a list in this process, and private memory of its workers before and after reading."""
    with path.open("w") as file:
        file.writelines(f"class_{row % 400:03d}/{row:011d}_000001_000011.mp4 {row % 400}\n" for row in range(rows))
    start = time.process_time()
    records: Any = read_list(path, 400)
    loaded = time.process_time()
    clip_digests(clip_ids(records))
    measured = {"load, s": loaded - start, "names of the clips, s": time.process_time() - loaded}
    measured["list, MiB"] = sum(value.nbytes for value in vars(records).values() if isinstance(value, np.ndarray)) / MIB
    indices = torch.randint(rows, (READ,), generator=torch.Generator().manual_seed(0)).tolist()
    for method in ("fork", "forkserver"):
        start = time.perf_counter()
        loader = DataLoader(  # of records, no frames
            records, 100, sampler=indices, num_workers=WORKERS, collate_fn=len, multiprocessing_context=method
        )
        batches: Any = iter(loader)
        next(batches)
        measured[f"{method}: first batch, s"] = time.perf_counter() - start
        pids = [worker.pid for worker in batches._workers]
        before = np.array([private_bytes(pid) for pid in pids])
        for count, _ in enumerate(batches, start=2):
            if count == len(loader) - 2 * WORKERS:  # the workers are still alive
                after = np.array([private_bytes(pid) for pid in pids])
        if after.any():  # otherwise not known: there is no /proc
            measured[f"{method}: MiB per worker"] = float(after.max() / MIB)
            measured[f"{method}: growth, MiB"] = float((after - before).max() / MIB)
    return measured


def measure_checkpoint(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Size and time of a checkpoint with weights and SGD's momentum."""
    model = build_model("H2CN", args.arch, 400, 8)
    tensors = {**model.state_dict(), **{f"momentum.{name}": p.detach().clone() for name, p in model.named_parameters()}}
    path = folder / "ckpt.pth.tar"
    times = [seconds(lambda: save_checkpoint(path, {"state_dict": tensors})) for _ in range(5)]
    gradients = sum(p.numel() * p.element_size() for p in model.parameters())
    median = Spread.of(times).median
    return {"gradients, MiB": gradients / MIB, "checkpoint, MiB": path.stat().st_size / MIB, "saving, s": median}


def launch(args: argparse.Namespace, processes: int, clips: int) -> dict[str, list[float]]:
    """Times of the first process of a run of its own."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    with TemporaryDirectory() as folder:
        result = Path(folder) / "times.json"
        own = ["-m", __name__, args.arch, str(args.size), str(clips), str(result)]
        subprocess.run([*torchrun, *own], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
        return json.loads(result.read_text())


def measure_steps(arch: str, size: str, clips: str, result: str) -> None:
    """In each process: a step, a step without communication, and the sum of all gradients alone."""
    runtime = start_runtime([], distributed=True)
    model = build_model("H2CN", arch, 400, 8)
    network = runtime.wrap(runtime.place(model).train())
    optimiser = make_optimiser("sgd", parameter_groups(model, 0.01, 0.0), 0.01, 0.9)
    clip = torch.randint(256, (int(clips), 8, 5, 3, int(size), int(size)), dtype=torch.uint8)
    label = torch.zeros(int(clips), dtype=torch.int64)
    gradients = torch.zeros(sum(p.numel() for p in model.parameters()))

    def step(*, share: bool) -> None:
        with runtime.sharing_gradients(network, share) if runtime.world_size > 1 else nullcontext():
            F.cross_entropy(network(clip), label).backward()
        optimiser.step()
        optimiser.zero_grad()

    calls: dict[str, Callable[[], object]] = {"step, s": lambda: step(share=True)}
    calls["without communication, s"] = lambda: step(share=False)
    calls["gradients alone, s"] = lambda: torch.distributed.all_reduce(gradients) if runtime.world_size > 1 else None
    times = alternate(calls, rounds=STEPS)
    if runtime.is_main:
        write_json(Path(result), times)
    runtime.close()


if __name__ == "__main__":
    measure_steps(*sys.argv[1:])
