"""Scoring of a list of videos by a trained network: what both test scripts and predict.py share."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import InputError, command, short, wrong_fields
from ops.checkpoint import load_weights, official_net
from ops.checkpoint_file import read_checkpoint
from ops.models import build_model
from ops.network import VideoNet, require_finite_tensors
from ops.run_log import write_json
from ops.runtime import Runtime
from ops.score_journal import SUFFIX
from ops.torchvision_nets import TORCHVISION_NETS
from ops.trained_on import TrainedOn
from progress import track

PROTOCOL = "protocol.json"
# What must be in a protocol; what may be missing in older ones; and what else may be in it.
FIELDS: dict[str, Any] = dict.fromkeys(
    ("dataset", "net", "arch", "sampling", "preprocessing", "weights", "list_hash"), str
)
FIELDS |= {"num_segments": int, "frames_per_segment": int, "class_names": list[str]}
OTHER_FIELDS: dict[str, Any] = {"frame_order": str, "ablate": list[str], "training_clips": int}
PLAIN = (str, int, float, type(None))
BY_HASH = ("weights", "val_list", "subset", "training_clips")  # may differ: the hashes of weights and list are compared


@dataclass(frozen=True)
class Weights:
    """A checkpoint that was read.

    Attributes:
        path: the file.
        content: all of it.
        trained_on: what it was made for; None for weights of another origin.
    """

    path: Path
    content: dict[str, Any]
    trained_on: TrainedOn | None

    @classmethod
    def read(cls, path: str) -> "Weights":
        content = read_checkpoint(path)
        return cls(Path(path), content, TrainedOn.of(content, path))

    def data_options(self, dataset: str | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The data set's name and where its files are: what is given, and what the training used for the rest.

        Raises:
            InputError: neither says which data set.
        """
        if self.trained_on is None:
            if dataset is None:
                raise InputError(f"{self.path} does not say its data set; name it: somethingv1, kinetics, ...")
            return dataset, dict(given)
        stored = self.content.get("options", {})
        wrong = wrong_fields(stored, dict.fromkeys(given, (str, type(None))))
        if wrong:
            raise InputError(
                f"{self.path} does not say the {', '.join(wrong)} of its training: it is damaged; give another one"
            )
        if given.get("split") is not None:  # instead of the training's lists
            stored = {**stored, "train_list": None, "val_list": None}
        same = dataset in (None, self.trained_on.dataset)
        used = {name: stored.get(name) if value is None and same else value for name, value in given.items()}
        return dataset or self.trained_on.dataset, used

    def build(self, class_names: list[str], **given: Any) -> VideoNet:
        """The network with these weights, ready for evaluation.

        Args:
            class_names: of the data set that is tested.
            given: `net`, `arch`, `num_segments`, `dataset`; None: not given. Another data set may be tested if its
                class names are the same.

        Raises:
            InputError: what is given contradicts what the weights were made for, or they do not fit or are not finite.
        """
        dataset = given.pop("dataset")
        if self.trained_on is not None:
            made_for = self.trained_on
            made_for.require(str(self.path), class_names=class_names, **given)
            if dataset not in (None, made_for.dataset):
                logging.info("Note: %s was trained on %s, whose class names are the same.", self.path, made_for.dataset)
            given = {name: getattr(made_for, name) for name in ("net", "arch", "num_segments", "ablate")}
        else:
            net = official_net(self.content, str(self.path)) or "H2CN"
            defaults = {"net": net, "arch": "resnet50", "num_segments": 8}
            unknown = {name: value for name, value in defaults.items() if given.get(name) is None}
            given = {**given, **unknown, "ablate": []}
            if given["net"] in TORCHVISION_NETS:
                unknown.pop("arch", None)
            if unknown:
                taken = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in unknown.items())
                logging.info("%s: neither the file nor a flag says otherwise, so taken as %s", self.path, taken)
        net = given["net"]
        model = build_model(net, given["arch"], len(class_names), given["num_segments"], ablate=given["ablate"])
        report = load_weights(model, self.content, where=str(self.path))
        if report.new:
            raise InputError(
                f"{self.path}: {report}; what is new would be random, which is no network to test. Train it first: "
                f"{command('train.py', '--net', net, '--pretrain', self.path)}"
            )
        require_finite_tensors(model.state_dict(), str(self.path))
        logging.info("%s: %s", self.path, report)
        return model.eval()


@torch.inference_mode()
def score_views(
    model: nn.Module,
    loader: Any,
    runtime: Runtime,
    *,
    batch_size: int,
    amp: str,
    title: str,
    print_freq: int,
    start: int = 0,
) -> Iterator[Tensor]:
    """Logits of every view of every video, in one pass over the videos.

    A batch is one clip of several videos, with all its crops: the same batches, and to the bit the same logits, as if
    each clip were scored by a pass of its own.

    Args:
        model: as `Runtime.wrap` gave it.
        loader: the videos in list order, each with `to(device)`, `clip(number)` -> (V, T, L, H, W, 3) uint8, `places`
            (C, T, L).
        runtime: the devices.
        batch_size: N, videos a batch; the frames of so many are held on the device.
        amp: "off", "bf16" or "fp16".
        title: of the progress line.
        print_freq: videos between two progress lines.
        start: the loader's first video.

    Yields:
        (C, V, N, K) float32 logits of each batch, in list order.
    """
    model.eval()
    waiting: list[Any] = []
    total = start + len(loader)
    videos = track(loader, total, title, print_freq, lambda: "videos", start)
    for count, video in enumerate(videos, start=start + 1):
        waiting.append(video.to(runtime.device))
        if len(waiting) == batch_size or count == total:
            clips = range(len(video.places))
            yield torch.stack([_score_clip(model, waiting, clip, runtime, amp) for clip in clips])
            waiting.clear()


def on_the_cpu(logits: Tensor) -> Tensor:
    """Scores as float32 on the CPU.

    Raises:
        InputError: scores that are no numbers.
    """
    logits = logits.float().cpu()
    if not logits.isfinite().all():
        raise InputError(
            "the network's scores are not finite: its weights are damaged, its training diverged, or --amp fp16 is too "
            "narrow for it; try --amp off, or another checkpoint"
        )
    return logits


def _score_clip(model: nn.Module, videos: list[Any], clip: int, runtime: Runtime, amp: str) -> Tensor:
    """Logits (V, N, K) of one clip of N videos, on the CPU."""
    clips = torch.stack([video.clip(clip) for video in videos])  # (N, V, T, L, H, W, 3)
    views = clips.permute(0, 1, 2, 3, 6, 4, 5).flatten(0, 1)  # (N*V, T, L, 3, H, W)
    with runtime.autocast(amp):
        logits = model(views)
    return on_the_cpu(logits).unflatten(0, clips.shape[:2]).transpose(0, 1)


def read_protocol(folder: Path) -> dict[str, Any]:
    """How the views of a folder were made; empty, if no protocol is there.

    Raises:
        InputError: it cannot be read, or lacks a field.
    """
    path = folder / PROTOCOL
    try:
        stored = json.loads(path.read_bytes())
        others = {name: OTHER_FIELDS.get(name, PLAIN) for name in stored} if isinstance(stored, dict) else {}
        wrong = wrong_fields(stored, others | FIELDS)
        fault = f"it has no valid {', '.join(wrong)}" if wrong else ""
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        fault = short(error)
    if fault:
        raise InputError(
            f"{path} does not say how the views were made ({fault}); make them again with --overwrite, or choose "
            "another --output_dir"
        )
    return stored


def claim_folder(folder: Path, protocol: dict[str, Any], *, overwrite: bool, scored: Path | None = None) -> None:
    """Make sure that the views in a folder were made in the same way: they are averaged. With `scored`, say so in it.

    Args:
        folder: for score pickles.
        protocol: how the views are made.
        overwrite: views that were made in another way may be deleted.
        scored: file for the first scores. Without it nothing is written or deleted: before there are scores, a wrong
            flag would claim the folder, or cost its views.

    Raises:
        InputError: the folder has views of another network, list or protocol.
    """
    try:
        stored = read_protocol(folder)
    except InputError:
        if not overwrite:
            raise
        stored = {}
    views = set(folder.glob("*_crop*.pkl"))
    if stored:
        views |= set(folder.glob(f"*{SUFFIX}")) - {scored}
    other = [name for name, value in protocol.items() if name not in BY_HASH and stored.get(name) != value]
    if other and views and not overwrite:
        name = other[0]
        differs = f"with {name} {short(repr(stored.get(name)))}, this run has {short(repr(protocol[name]))}"
        alike = ", give all clips of a folder the same --sampling" if stored and name == "sampling" else ""
        raise InputError(
            f"{folder} holds views {differs if stored else f'but no {PROTOCOL}'}; choose another --output_dir{alike}, "
            "or --overwrite to delete the views there"
        )
    if scored is None:
        return
    if other:
        for view in {*views, *folder.glob(f"*{SUFFIX}")} - {scored}:
            view.unlink(missing_ok=True)
    write_json(folder / PROTOCOL, protocol)
