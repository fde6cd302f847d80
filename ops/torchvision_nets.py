"""torchvision's video networks, with its code and its weights.

They take T single frames (`--num_segments`) and mix them over time themselves: by 3-D convolutions (R(2+1)D, arXiv
1711.11248; S3D, arXiv 1712.04851) or by attention (MViTv2, arXiv 2112.01526; Video Swin, arXiv 2106.13230).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError
from ops.choices import TORCHVISION_NETS
from ops.network import NetworkName, VideoNet


class TorchvisionNet(VideoNet):
    """One of `TORCHVISION_NETS`; parameters have torchvision's names, prefixed by `network.`."""

    layouts = ("torchvision video",)

    def __init__(self, name: NetworkName, dropout: float) -> None:
        """`dropout`: share of the features before the classifier. Too few segments raise an `InputError`."""
        from torchvision.models import get_model, get_model_weights  # imported here because it takes a second

        form = TORCHVISION_NETS[name.net]
        if name.num_segments < form.min_segments:
            raise InputError(
                f"--num_segments {name.num_segments}: {name.net} needs {form.min_segments} or more, "
                "for its temporal kernels and strides"
            )
        weights = get_model_weights(name.net).DEFAULT.transforms()  # type: ignore[attr-defined]
        super().__init__(name, 1, weights.mean, weights.std)
        self.network = get_model(name.net, weights=None, num_classes=name.num_class)
        self.input_size = form.input_size
        self.explained_layer = f"network.{form.explained or form.features}"
        self.classifier = (f"network.{form.classifier}.weight", f"network.{form.classifier}.bias")
        _set_dropout(self.network, form.classifier, dropout)
        if name.net == "s3d":
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

    def set_drop_path(self, rate: float) -> None:
        from torchvision.ops import StochasticDepth

        depths = [module for module in self.modules() if isinstance(module, StochasticDepth)]
        if not depths:
            super().set_drop_path(rate)
        for number, module in enumerate(depths):  # one per block
            module.p = rate * number / (len(depths) - 1)

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
        return self.as_map(outputs[0])

    def as_map(self, output: Any) -> Tensor:
        """The output of a feature layer as (N, C, T', h, w)."""
        if self.net == "mvit_v2_s":
            tokens, grid = output  # (N, 1 + T'*h*w, C), the class token first
            return tokens[:, 1:].transpose(1, 2).unflatten(2, grid)
        return output.movedim(-1, 1) if self.net.startswith("swin3d") else output  # Swin: (N, T', h, w, C)


class WindowMean(nn.Module):
    """S3D's mean over windows of time and space, for maps smaller than the window as well.

    torchvision's S3D fails below 13 frames or 224 pixels; above, the results are the same.
    """

    def __init__(self, window: tuple[int, int, int]) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> one value per position of the window."""
        window = [min(pair) for pair in zip(self.window, x.shape[2:], strict=True)]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # the CPU has no pooling in lower precision
        return F.avg_pool3d(wide, window, stride=1).to(x.dtype)


class DropoutLinear(nn.Linear):
    """A classifier that applies dropout to its input, with the parameter names of a plain one."""

    def __init__(self, plain: nn.Linear, dropout: float) -> None:
        """Replace `plain`, with its weights."""
        super().__init__(plain.in_features, plain.out_features)
        self.load_state_dict(plain.state_dict())
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) -> (N, K)."""
        return super().forward(F.dropout(x, self.dropout, self.training))


def _set_dropout(network: nn.Module, classifier: str, dropout: float) -> None:
    """Set the dropout before the classifier: in the network's own layer, or else in the classifier."""
    head, _, _ = classifier.rpartition(".")
    if head:  # a Sequential of dropout and classifier
        network.get_submodule(head)[0].p = dropout  # type: ignore[index]
    else:
        setattr(network, classifier, DropoutLinear(getattr(network, classifier), dropout))


def _set_token_grid(network: nn.Module, clip_size: torch.Size) -> None:
    """Tell MViT the size (T, H, W) of the clip, which it otherwise fixes at construction, for its grid of tokens.

    torchvision's code interpolates its relative positions to the grid.
    """
    grid = [(size - 1) // stride + 1 for size, stride in zip(clip_size, network.conv_proj.stride, strict=True)]  # type: ignore[union-attr, arg-type]
    network.pos_encoding.temporal_size, network.pos_encoding.spatial_size = grid[0], tuple(grid[1:])  # type: ignore[union-attr]
