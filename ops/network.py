"""The interface of every video network: clips in, class scores out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from common.errors import InputError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class NetworkName(NamedTuple):
    """Identifies a network, in the words of the command line."""

    net: str
    arch: str  # backbone
    num_class: int  # K
    num_segments: int  # T
    ablate: tuple[str, ...] = ()  # parts left out for an ablation


class VideoNet(nn.Module, ABC):
    """A network that scores clips. `net`, `arch`, `num_class`, `num_segments` and `ablate` are its `NetworkName`."""

    frames_per_segment: int  # L
    # Names of the parameters that depend on the classes. Only averaging follows this layer, whose input is written by
    # --dump_features.
    classifier: tuple[str, str] = ("fc.weight", "fc.bias")
    memory_format: torch.memory_format = torch.preserve_format  # in which its weights are fastest
    stride: int = 32  # H and W of a clip are multiples of it
    input_size: int = 224  # H = W in pixels that its published weights expect
    bias_lr: float = 1.0  # factor of the learning rate of biases
    layouts: tuple[str, ...] = ()  # layouts of other projects that it can load, see `ops.weights.layouts.layout_of`
    explained_layer: str | None = None  # name of the module whose output Grad-CAM weights; None: it has none
    frozen: tuple[str, ...] = ()  # names of frozen modules, see `ops.freezing.freeze`
    mean: Tensor  # (3, 1, 1), like `std`
    std: Tensor

    def __init__(
        self,
        name: NetworkName,
        frames_per_segment: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.net, self.arch, self.num_class, self.num_segments, self.ablate = name
        self.frames_per_segment = frames_per_segment
        for buffer, values in (("mean", mean), ("std", std)):
            self.register_buffer(buffer, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, clip: Tensor, *, normalised: bool = False) -> Tensor:
        """Class scores of clips.

        Args:
            clip: (N, T, L, 3, H, W), H and W multiples of `stride`: uint8 RGB, or with `normalised` the floats that
                `normalise` returns.
            normalised: whether the clip has been through `normalise`, as mixed clips have.

        Returns:
            (N, K) logits.

        Raises:
            ValueError: the clip has another shape, which would mix segments of different clips, or floats come
                without `normalised`: images scaled to 0..1 would give plausible, wrong scores.
        """
        if clip.ndim != 6 or clip.shape[1:4] != (self.num_segments, self.frames_per_segment, 3):
            wanted = f"(N, {self.num_segments}, {self.frames_per_segment}, 3, H, W)"
            raise ValueError(f"the clip has shape {tuple(clip.shape)}; {self.net} takes {wanted}")
        if normalised and not clip.is_floating_point():
            raise ValueError(f"the clip is {clip.dtype}, so it is not normalised; leave out normalised=True")
        return self.logits(clip if normalised else self.normalise(clip))

    @abstractmethod
    def logits(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, L, 3, H, W) -> logits (N, K)."""

    def feature_map(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, L, 3, H, W) -> the features before pooling (N, C, T', h, w), or an `InputError`."""
        raise InputError(f"{self.net} has no feature map over time and space, which --mix svmix needs")

    def as_map(self, output: Any) -> Tensor:
        """The output of `explained_layer` as (N, C, T', h, w)."""
        return output

    def normalise(self, frames: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 RGB (or a `ValueError`) -> floats: scaled to 0..1, minus mean, over deviation."""
        if frames.dtype != torch.uint8:
            raise ValueError(
                f"the clip is {frames.dtype}; {self.net} takes uint8 RGB from 0 to 255. "
                "For floats that are already normalised: model(clip, normalised=True)"
            )
        width = frames.shape[-1]
        rows = frames.movedim(-3, -1).flatten(-2)  # (..., H, W*3), the order of the loader: long rows are faster
        mean, std = self.mean.flatten().repeat(width), self.std.flatten().repeat(width)
        return rows.to(self.mean.dtype).div_(255).sub_(mean).div_(std).unflatten(-1, (width, 3)).movedim(-1, -3)

    def is_temporal(self, name: str) -> bool:
        """Whether the parameter or module of this name is absent from the image network."""
        return False

    def layers(self) -> list[tuple[str, ...]]:
        """Names of the modules with parameters from the input to the classifier, one tuple per depth.

        Each item of an `nn.Sequential` or an `nn.ModuleList` is a block and has a depth of its own. Modules before the
        first block share the first depth, and modules after a block have that of the block.
        """
        head = self.classifier[0].rpartition(".")[0]
        layers: list[list[str]] = [[]]
        for name, module, is_block in _layers(self, head):
            if (is_block or name == head) and layers[0]:
                layers.append([])
            if any(True for _ in module.parameters()):
                layers[-1].append(name)
        return [tuple(names) for names in layers if names]

    def set_drop_path(self, rate: float) -> None:
        """Set the stochastic depth (arXiv 1603.09382): the last block is skipped at this rate, the first one never."""
        raise InputError(f"--drop_path {rate:g}: {self.net} has no stochastic depth; mvit_v2_s and swin3d_* have it")

    def init_temporal(self, resnet: Mapping[str, Tensor]) -> list[str]:
        """Initialise temporal modules from the state dict of an image network ("inflated" in a load's report).

        Returns the parameters' names.
        """
        return []

    def shifted(self) -> set[str]:
        """Names of the convolution weights that follow a temporal shift."""
        return set()


def _layers(
    parent: nn.Module, head: str, path: str = "", in_list: bool = False
) -> Iterator[tuple[str, nn.Module, bool]]:
    """Modules with their names, and whether they are blocks; `head` is the name of the classifier."""
    for child, module in parent.named_children():
        name = f"{path}{child}"
        is_list = type(module) in (nn.Sequential, nn.ModuleList)
        if is_list or head.startswith(f"{name}."):
            yield from _layers(module, head, f"{name}.", is_list)
        else:
            yield name, module, in_list


def not_finite(tensors: Mapping[str, Any] | Sequence[Any]) -> str | None:
    """The path, such as "layer1.0.bn1.running_var", of the first tensor with an infinite value or NaN; or None.

    Takes state dicts, nested as in a checkpoint; other values are skipped.
    """
    for name, value in tensors.items() if isinstance(tensors, Mapping) else enumerate(tensors):
        if isinstance(value, (Mapping, list, tuple)):
            inner = not_finite(value)
            if inner is not None:
                return f"{name}.{inner}"
        elif isinstance(value, Tensor) and not value.sum(dtype=torch.float64).isfinite():  # in a single pass
            return str(name)
    return None


def require_finite_tensors(tensors: Mapping[str, Any], where: str) -> None:
    """Refuse weights with values that are not finite; `where` names their source in the message."""
    bad = not_finite(tensors)
    if bad is not None:
        raise InputError(
            f"{where}: {bad} has values that are not finite; its training diverged, or the file is damaged. Give "
            "another checkpoint, such as one of an earlier epoch"
        )
