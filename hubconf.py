"""Networks for other projects: torch.hub.load(FOLDER, "h2cn_resnet50", source="local", num_class=174).

Names come from `ops.models.NETS`, in lower case, with the backbone where there is a choice; `load` reads a checkpoint.
`torch.hub.list` shows every name that can be called and has no `_` in front, so other names are imported as modules.

Only `ops/` and `common/` are imported. The folder `datasets/` is not, since Hugging Face's package has that name.
"""

import collections.abc
import importlib.util
import pathlib
import types

import numpy as np
import torch
from torch import nn

import common
import ops

dependencies = ["joblib", "numpy", "safetensors", "torch", "torchvision", "tqdm"]
_FOLDER = pathlib.Path(__file__).resolve().parent

for _package in (common, ops):
    if _FOLDER not in [pathlib.Path(path).resolve().parent for path in _package.__path__]:
        raise ImportError(
            f"another package named {_package.__name__!r} is imported already, from {list(_package.__path__)}; "
            f"load the networks of {_FOLDER} in a process of their own"
        )

from ops import choices, fuse, models, network  # noqa: E402  (after the check of names)
from ops.weights import checkpoint as checkpoint_file  # noqa: E402
from ops.weights import load as loading  # noqa: E402


def load(checkpoint: str, fused: bool = False) -> network.VideoNet:
    """The network of a checkpoint of train.py, ready to score.

    Args:
        checkpoint: a file such as runs/NAME/ckpt.best.pth.tar.
        fused: fold BatchNorms for speed; such a network cannot be trained.

    Returns:
        The network in evaluation mode, with attributes: `class_names`, and `preprocess`, which turns the frames of
        a video (F, H, W, 3) uint8 RGB into a clip (1, T, L, 3, S, S) uint8, as the one-clip centre-crop test does. The
        network takes such clips and returns logits (1, K), for sigmoids if videos may have several labels
        (`multi_label`), otherwise for a softmax. If it was trained at a frame rate (`frame_rate`, in frames per second;
        0: any), give the frames of a video at this rate.

    Raises:
        common.errors.InputError: the file is not such a checkpoint, or its weights do not fit.
    """
    weights = checkpoint_file.Weights.read(checkpoint)
    made_for = weights.require_trained_on()
    model = weights.build(made_for.class_names)
    if fused:
        model = fuse.fuse_for_inference(model)
    model.class_names = made_for.class_names  # type: ignore[assignment]
    model.frame_rate = made_for.frame_rate  # type: ignore[assignment]
    model.multi_label = made_for.multi_label  # type: ignore[assignment]
    segments, length = model.num_segments, model.frames_per_segment
    preprocessing = _file_of_datasets("preprocessing").eval_preprocessing(made_for.input_size)
    sampling = _file_of_datasets("sampling")

    def preprocess(frames: np.ndarray) -> torch.Tensor:
        shape = len(frames), segments, length
        stride = made_for.frame_stride
        starts = sampling.dense_starts(*shape, stride) if stride else sampling.centre_starts(*shape)
        indices = sampling.segment_indices(starts, length, len(frames))  # (T, L)
        crops = np.stack(list(preprocessing(frames[indices.flatten()])))  # (T*L, S, S, 3)
        return torch.from_numpy(crops).reshape(1, segments, length, *crops.shape[-3:]).movedim(-1, -3)

    model.preprocess = preprocess  # type: ignore[assignment]
    return model


def _file_of_datasets(name: str) -> types.ModuleType:
    """Import one file of `datasets/`, which imports no other of them, without taking the package's name."""
    spec = importlib.util.spec_from_file_location(f"ops_hub_{name}", _FOLDER / "datasets" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _builder(net: str, arch: str | None) -> collections.abc.Callable[..., nn.Module]:
    def build(num_class: int, num_segments: int = 8, weights: str | None = None, dropout: float = 0.5) -> nn.Module:
        model = models.build_model(net, arch, num_class, num_segments, dropout=dropout)
        if weights is not None and pathlib.Path(weights).exists():
            loading.load_weights(model, weights)
        elif weights is not None:
            loading.load_pretrained(model, weights)
        return model

    build.__doc__ = f"""{net} {arch or ""} for clips (N, T, {models.NETS[net].frames_per_segment}, 3, H, W) uint8.

    Args:
        num_class: K.
        num_segments: T.
        weights: a file, "imagenet", "kinetics", or a name that torchvision gives weights; None: random.
        dropout: share of the features before the classifier that training sets to zero.
    """
    return build


for _net, _entry in models.NETS.items():
    for _arch in [None] if _entry.arch else choices.ARCHS:
        globals()[f"{_net.lower()}_{_arch}" if _arch else _net] = _builder(_net, _arch)
