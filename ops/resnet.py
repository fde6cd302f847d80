"""The video network of the ResNet family: one ResNet, given its temporal parts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ops.blocks import MakeParts, block_class, make_stage, no_parts
from ops.network import NetworkName, VideoNet
from ops.shift import ShiftedConv2d


class Motion(nn.Module, ABC):
    """A branch over the frames around the key frame."""

    frames: int  # L
    share: float  # weight of its maps where they join the ResNet's features, whose weight is 1 - share
    conv: nn.Conv2d  # 7x7

    def init_from(self, resnet: Mapping[str, Tensor]) -> list[str]:
        """Initialise from the state dict of an ImageNet ResNet; returns the names of the parameters.

        The 7x7 convolution takes the mean of the stem's (64, 3, 7, 7) over RGB, not rescaled by the number of channels,
        as in the official codes.
        """
        with torch.no_grad():
            self.conv.weight.copy_(resnet["conv1.weight"].mean(1, keepdim=True).expand_as(self.conv.weight))
        return ["conv.weight"]

    @abstractmethod
    def forward(self, frames: Tensor) -> list[Tensor]:
        """(B, L, 3, H, W) -> one map that joins the stem's output and, optionally, one that joins stage 1's."""


class ResNetVideo(VideoNet):
    """A ResNet over the key frame of each segment, with temporal parts; the segments' scores are averaged.

    Parameters of the ResNet have torchvision's names.
    """

    memory_format = torch.channels_last
    bias_lr = 2.0  # as in the whole TSN family
    explained_layer = "layer4"
    fusable = (("conv1", "bn1"),)

    def __init__(
        self, name: NetworkName, dropout: float, motion: Motion | None = None, make_parts: MakeParts = no_parts
    ) -> None:
        """A network of the family with random weights.

        Args:
            name: identifies the network.
            dropout: share of the features before the classifier that training sets to zero.
            motion: branch over all L frames; None: the network takes the key frame only.
            make_parts: the temporal modules of each block. Their convolutions and linear layers start by the ResNet's
                rule; to start as the identity, a module scales its output by a BatchNorm whose weight starts at 0.
        """
        super().__init__(name, 1 if motion is None else motion.frames)
        self.layouts = (name.net, "torchvision")
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages = (make_stage(name.arch, stage, make_parts) for stage in (1, 2, 3, 4))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512 * block_class(name.arch).expansion, name.num_class)
        self.motion = motion
        _initialise(self)

    def logits(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, L, 3, H, W) -> logits (N, K)."""
        return self.head(self.backbone(clip))

    def feature_map(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, L, 3, H, W) -> stage 4's output (N, C, T, H/32, W/32)."""
        return self.as_map(self.backbone(clip))

    def as_map(self, output: Tensor) -> Tensor:
        """(N*T, C, H/32, W/32) -> (N, C, T, H/32, W/32)."""
        return output.unflatten(0, (-1, self.num_segments)).transpose(1, 2)

    def backbone(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, L, 3, H, W) -> stage 4's output (N*T, C, H/32, W/32)."""
        frames = clip.flatten(0, 1)  # (N*T, L, 3, H, W)
        maps = [] if self.motion is None else self.motion(frames)
        x = self.stem(frames[:, self.frames_per_segment // 2])  # (N*T, 64, H/4, W/4) of the key frame
        x = self.layer1(self.join(x, maps[:1]))
        return self.layer4(self.layer3(self.layer2(self.join(x, maps[1:]))))

    def join(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """(N*T, C, H, W) features, blended with a motion map (N*T, C, H/2, W/2) if there is one."""
        if self.motion is None or not maps:
            return x
        motion = nn.functional.interpolate(maps[0] * self.motion.share, size=x.shape[2:], mode="nearest")
        return torch.add(motion, x, alpha=1 - self.motion.share)

    def stem(self, key_frames: Tensor) -> Tensor:
        """(N*T, 3, H, W) -> (N*T, 64, H/4, W/4)."""
        x = key_frames.contiguous(memory_format=torch.channels_last)
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def head(self, x: Tensor) -> Tensor:
        """(N*T, C, H/32, W/32) -> (N, K): the segments' scores, averaged before any softmax."""
        scores = self.fc(self.dropout(x.mean((2, 3))))  # (N*T, K)
        return scores.unflatten(0, (-1, self.num_segments)).mean(1)

    def init_temporal(self, resnet: Mapping[str, Tensor]) -> list[str]:
        """Initialise the motion branch from the ResNet's stem."""
        return [] if self.motion is None else [f"motion.{name}" for name in self.motion.init_from(resnet)]

    @staticmethod
    def is_temporal(name: str) -> bool:
        """Whether a parameter or module of this name belongs to the motion branch or to a part of a block."""
        return name.startswith("motion.") or ".gate." in name or ".last." in name

    def layers(self) -> list[tuple[str, ...]]:
        """The motion branch has the depth of the stem, which it joins."""
        stem, *blocks, last = super().layers()  # the branch, registered last, comes at the depth of `fc`
        return [(*stem, "motion"), *blocks, last[:1]] if self.motion is not None else [stem, *blocks, last]

    def shifted(self) -> set[str]:
        return {f"{name}.weight" for name, module in self.named_modules() if isinstance(module, ShiftedConv2d)}


def _initialise(model: nn.Module) -> None:
    """ResNet's rule for convolutions, N(0, 0.001) for linear layers. Hourglasses initialise themselves."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.001)
            nn.init.zeros_(module.bias)
