"""Features of views: the inputs of a network's classifier, in one NumPy file per view.

They are averaged in the same way as the network's scores: over the segments (H2CN, TDN, TSM, TSN) or windows (S3D). So
a view's logits are `features @ weight.T + bias` of the classifier.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import InputError, reason
from common.files import writing
from ops.choices import DTYPES
from ops.network import VideoNet
from ops.scoring.predictions import write_rows

INDEX = "features_index.csv"  # video, label and class of each row


def features_path(pickle: Path) -> Path:
    """File of the (M, D) features of the view with this score pickle, in list order."""
    return pickle.with_name(f"{pickle.stem}_features.npy")


def num_features(model: VideoNet) -> int:
    """D."""
    return model.get_parameter(model.classifier[0]).shape[1]


class WithInput(nn.Module):
    """A classifier that returns its scores and its input, (N, D, ...) -> (N, K + D, ...)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.classifier(x), x], 1)


def return_features(model: VideoNet) -> None:
    """Make a network return (N, K + D), logits, then features. After `classifier`, all networks only average."""
    path = model.classifier[0].rpartition(".")[0]
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, WithInput(model.get_submodule(path)))


def read_features(path: Path) -> np.ndarray:
    """(M, D), a memory map; raises an `InputError` if the file cannot be read."""
    try:
        features = np.load(path, mmap_mode="r")
        if features.ndim != 2 or features.dtype not in DTYPES:
            raise ValueError(f"it holds {features.dtype} of shape {features.shape}")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} has no valid features ({reason(error)}); dump them again with --overwrite") from error
    return features


def have_features(pickles: Sequence[Path], dtype: str) -> bool:
    """Whether all these views have features; refuses features of another type, which would be mixed with new ones."""
    paths = [path for path in map(features_path, pickles) if path.exists()]
    for path in paths:
        found = read_features(path).dtype
        if found != dtype:
            raise InputError(
                f"{path} has {found} features, not {dtype}; give another --output_dir, or replace them with --overwrite"
            )
    return len(paths) == len(pickles)


def write_features(
    pickles: Sequence[Sequence[Path]], batches: Iterable[np.ndarray], shape: tuple[int, int], dtype: str
) -> None:
    """Write the features of C x V views, whole or not at all, from (C, V, N, D) batches; `shape` is (M, D)."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with ExitStack() as stack:
        files = []
        for path in (features_path(pickle) for of_clip in pickles for pickle in of_clip):
            temporary = stack.enter_context(writing(path))
            files.append(stack.enter_context(temporary.open("wb")))
            np.lib.format.write_array_header_1_0(files[-1], header)
        for batch in batches:  # not all in memory at once
            for file, view in zip(files, batch.reshape(-1, *batch.shape[2:]), strict=True):
                file.write(view.tobytes())


def write_index(path: Path, videos: Sequence[str], labels: Sequence[Sequence[int]], class_names: Sequence[str]) -> None:
    """Write the video, label and class of each row; without labels, -1 and no class.

    Several labels are written 3,5,7, and their classes with semicolons.
    """
    rows: list[list[Any]] = [["row", "video", "label", "class"]]
    for row, (video, own) in enumerate(zip(videos, labels, strict=True)):
        names = [class_names[label] for label in own if label >= 0]
        rows.append([row, video, ",".join(map(str, own)), "; ".join(names)])
    with writing(path) as temporary:
        write_rows(temporary, rows)
