"""torchvision's video networks (its code, its weights) as networks of this project.

They take T single frames, as many as `--num_segments` says, and mix them in time by themselves: 3-D convolutions
(R(2+1)D, arXiv 1711.11248; S3D, arXiv 1712.04851) or attention (MViTv2, arXiv 2112.01526; Video Swin, 2106.13230).
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError
from ops.network import NetworkName, VideoNet

TORCHVISION = "torchvision"  # stands for their one backbone where others have --arch


class Form(NamedTuple):
    """What differs between them.

    Attributes:
        classifier: name of its last layer.
        features: name of the layer whose output is its feature map.
        stride: of the whole network in space; H and W are multiples of it.
        input_size: H = W in pixels that its weights were made for.
        convolves: whether it mixes frames by 3-D convolutions.
        min_segments: of S3D more than its first temporal kernel covers: below, torch's convolution gives wrong
            gradients on the CPU or writes beyond its memory (seen with torch 2.15), and the strides leave nothing.
    """

    classifier: str
    features: str
    stride: int = 32
    input_size: int = 224
    convolves: bool = False
    min_segments: int = 1


TORCHVISION_NETS = {
    "r2plus1d_18": Form("fc", "layer4", stride=16, input_size=112, convolves=True),
    "mvit_v2_s": Form("head.1", "blocks.15"),
    "swin3d_t": Form("head", "norm"),
    "swin3d_s": Form("head", "norm"),
    "swin3d_b": Form("head", "norm"),
    "s3d": Form("classifier.1", "features", convolves=True, min_segments=8),
}


class TorchvisionNet(VideoNet):
    """One of `TORCHVISION_NETS`; parameters bear torchvision's names behind `network.`."""

    layouts = ("torchvision video",)

    def __init__(self, identity: NetworkName, dropout: float) -> None:
        """A network with random weights.

        Args:
            identity: which one; its `arch` is `TORCHVISION`.
            dropout: share of the features before the classifier that training sets to zero.

        Raises:
            InputError: too few segments.
        """
        from torchvision.models import get_model, get_model_weights  # here: it takes a second, and ResNets need none

        form = TORCHVISION_NETS[identity.net]
        if identity.num_segments < form.min_segments:
            raise InputError(
                f"--num_segments {identity.num_segments}: {identity.net} needs {form.min_segments} or more, "
                "for its temporal kernels and strides"
            )
        made_for = get_model_weights(identity.net).DEFAULT.transforms()  # type: ignore[attr-defined]
        super().__init__(identity, 1, made_for.mean, made_for.std)
        self.network = get_model(identity.net, weights=None, num_classes=identity.num_class)
        self.input_size = form.input_size
        self.classifier = (f"network.{form.classifier}.weight", f"network.{form.classifier}.bias")
        _set_dropout(self.network, form.classifier, dropout)
        if identity.net == "s3d":
            self.network.avgpool = WindowMean((2, 7, 7))

    def logits(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, 1, 3, H, W) -> logits (N, K)."""
        x = clip[:, :, 0].transpose(1, 2)  # (N, 3, T, H, W)
        if self.net == "mvit_v2_s":
            _set_token_grid(self.network, x.shape[2:])
        if x.device.type == "cpu" and TORCHVISION_NETS[self.net].convolves:
            # torch 2.15's 3-D convolution gives wrong bfloat16 gradients on the CPU (kernel 3, two frames).
            with torch.autocast("cpu", enabled=False):
                return self.network(x)
        return self.network(x)

    def feature_map(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, 1, 3, H, W) -> (N, C, T', h, w), the output of the layer `Form.features`."""
        layer = self.network.get_submodule(TORCHVISION_NETS[self.net].features)
        outputs = []

        def keep(module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            if module is layer:  # DataParallel's replicas share their hooks
                outputs.append(output)

        hook = layer.register_forward_hook(keep)
        try:
            self.logits(clip)
        finally:
            hook.remove()
        return _as_map(self.net, outputs[0])


def _as_map(net: str, output: Any) -> Tensor:
    """The output of a network's feature layer as (N, C, T', h, w)."""
    if net == "mvit_v2_s":
        tokens, grid = output  # (N, 1 + T'*h*w, C), the class token first
        return tokens[:, 1:].transpose(1, 2).unflatten(2, grid)
    return output.movedim(-1, 1) if net.startswith("swin3d") else output  # Swin: (N, T', h, w, C)


class WindowMean(nn.Module):
    """S3D's mean over windows of time and space, which also takes maps that are smaller than its window.

    torchvision's S3D stops at fewer than 13 frames or 224 pixels; wherever it does not, this is the same.
    """

    def __init__(self, window: tuple[int, int, int]) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> one value a window that fits."""
        window = [min(pair) for pair in zip(self.window, x.shape[2:], strict=True)]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # on the CPU there is none of lower precision
        return F.avg_pool3d(wide, window, stride=1).to(x.dtype)


class DropoutLinear(nn.Linear):
    """A classifier with dropout in front, under the names of a plain one."""

    def __init__(self, plain: nn.Linear, dropout: float) -> None:
        """Take the place of `plain`, with its weights."""
        super().__init__(plain.in_features, plain.out_features)
        self.load_state_dict(plain.state_dict())
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) -> (N, K)."""
        return super().forward(F.dropout(x, self.dropout, self.training))


def _set_dropout(network: nn.Module, classifier: str, dropout: float) -> None:
    """Dropout before the classifier: in the layer that the network has for it, or in the classifier itself."""
    head, _, _ = classifier.rpartition(".")
    if head:  # a Sequential of dropout and classifier
        network.get_submodule(head)[0].p = dropout  # type: ignore[index]
    else:
        setattr(network, classifier, DropoutLinear(getattr(network, classifier), dropout))


def _set_token_grid(network: nn.Module, clip_size: torch.Size) -> None:
    """Tell MViT the size (T, H, W) of its clip. It asks for it at construction only to know its grid of tokens.

    Its relative positions are interpolated to the grid by torchvision's own code.
    """
    grid = [(size - 1) // stride + 1 for size, stride in zip(clip_size, network.conv_proj.stride, strict=True)]  # type: ignore[union-attr, arg-type]
    network.pos_encoding.temporal_size, network.pos_encoding.spatial_size = grid[0], tuple(grid[1:])  # type: ignore[union-attr]
