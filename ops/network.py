"""What every video network offers, whoever made it: clips in, class scores out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from common.errors import InputError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class NetworkName(NamedTuple):
    """Which network it is, in the words of the command line.

    Attributes:
        net: network.
        arch: backbone.
        num_class: K.
        num_segments: T.
        ablate: parts that are left out, for an ablation.
    """

    net: str
    arch: str
    num_class: int
    num_segments: int
    ablate: tuple[str, ...] = ()


class VideoNet(nn.Module, ABC):
    """A network that scores clips.

    Attributes:
        net: network, as are `arch`, `num_class`, `num_segments` and `ablate`: see `NetworkName`.
        frames_per_segment: L.
        classifier: names of the parameters that belong to the classes.
        memory_format: in which its weights are fastest.
        input_size: H = W in pixels that its published weights were made for.
        bias_lr: factor of the learning rate of biases.
        layouts: of other people's state dicts, by the names of `ops.weights.layouts.layout_of`, those that it can take.
    """

    classifier: tuple[str, str] = ("fc.weight", "fc.bias")
    memory_format: torch.memory_format = torch.preserve_format
    input_size: int = 224
    bias_lr: float = 1.0
    layouts: tuple[str, ...]
    mean: Tensor  # (3, 1, 1), as `std`
    std: Tensor

    def __init__(
        self,
        identity: NetworkName,
        frames_per_segment: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.net, self.arch, self.num_class, self.num_segments, self.ablate = identity
        self.frames_per_segment = frames_per_segment
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, clip: Tensor) -> Tensor:
        """Class scores of clips.

        Args:
            clip: (N, T, L, 3, H, W); uint8 RGB is normalised here, a float clip is taken as already normalised.
                H and W are multiples of the network's stride, 32.

        Returns:
            (N, K) logits.

        Raises:
            ValueError: a clip of another shape, which would mix segments of different clips.
        """
        if clip.ndim != 6 or clip.shape[1:4] != (self.num_segments, self.frames_per_segment, 3):
            wanted = f"(N, {self.num_segments}, {self.frames_per_segment}, 3, H, W)"
            raise ValueError(f"the clip has shape {tuple(clip.shape)}; {self.net} takes {wanted}")
        return self.logits(self.normalise(clip))

    @abstractmethod
    def logits(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, L, 3, H, W) -> logits (N, K)."""

    def feature_map(self, clip: Tensor) -> Tensor:
        """The last features that still have places in time and space, for SV-Mix.

        Args:
            clip: (N, T, L, 3, H, W), normalised.

        Returns:
            (N, C, T', h, w).

        Raises:
            InputError: the network has no such map.
        """
        raise InputError(f"{self.net} has no feature map with places in time and space, which --mix svmix needs")

    def normalise(self, frames: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 -> the same as float, less the mean, over the standard deviation; floats pass."""
        if frames.dtype != torch.uint8:
            return frames
        width = frames.shape[-1]
        rows = frames.movedim(-3, -1).flatten(-2)  # (..., H, W*3), as a loader lays them out: long rows are faster
        mean, std = self.mean.flatten().repeat(width), self.std.flatten().repeat(width)
        return rows.to(self.mean.dtype).div_(255).sub_(mean).div_(std).unflatten(-1, (width, 3)).movedim(-1, -3)

    def backbone_norms(self) -> list[nn.Module]:
        """The BatchNorms that pretrained weights bring, in the order of the layers; none of a motion module."""
        kind = nn.modules.batchnorm._BatchNorm
        return [m for name, m in self.named_modules() if isinstance(m, kind) and not self.is_temporal(name)]

    def is_temporal(self, name: str) -> bool:
        """Whether a parameter or module of this name is one that no image network has."""
        return False

    def inflate(self, resnet: Mapping[str, Tensor]) -> list[str]:
        """Start temporal modules from the state dict of an image network; returns the names of what was started so."""
        return []

    def shifted(self) -> set[str]:
        """Names of the convolution weights that stand behind a temporal shift."""
        return set()


def not_finite(tensors: Mapping[str, Any] | Sequence[Any]) -> str | None:
    """The path, such as "layer1.0.bn1.running_var", of the first tensor with an infinite value or NaN; or None.

    Args:
        tensors: state dicts, nested as in a checkpoint; other values are passed over.
    """
    for name, value in tensors.items() if isinstance(tensors, Mapping) else enumerate(tensors):
        if isinstance(value, (Mapping, list, tuple)):
            inner = not_finite(value)
            if inner is not None:
                return f"{name}.{inner}"
        elif isinstance(value, Tensor) and not value.isfinite().all():
            return str(name)
    return None


def require_finite_tensors(tensors: Mapping[str, Any], where: str) -> None:
    """Refuse weights with a value that is not finite; the message calls their source `where`.

    Raises:
        InputError: there is one.
    """
    bad = not_finite(tensors)
    if bad is not None:
        raise InputError(
            f"{where}: {bad} has values that are not finite; its training diverged, or the file is damaged. Give "
            "another checkpoint, such as one of an earlier epoch"
        )
