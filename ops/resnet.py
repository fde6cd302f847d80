"""The video network of the ResNet family: one ResNet that is given its temporal parts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ops.blocks import ARCHS, MakeParts, make_stage
from ops.network import NetworkName, VideoNet
from ops.shift import ShiftedConv2d


class Motion(nn.Module, ABC):
    """What a network makes of the frames around the key frame.

    Attributes:
        frames: L, frames that it takes from a segment.
        share: of its maps where they join the ResNet's features; the rest is the features'.
        conv: its 7x7 convolution.
    """

    frames: int
    share: float
    conv: nn.Conv2d

    def inflate_from(self, resnet: Mapping[str, Tensor]) -> list[str]:
        """Start from an ImageNet ResNet: the 7x7 convolution from the mean of its stem (64, 3, 7, 7) over RGB.

        Not rescaled by the number of channels, as in the official codes.

        Args:
            resnet: its state dict.

        Returns:
            The names of what was started so.
        """
        with torch.no_grad():
            self.conv.weight.copy_(resnet["conv1.weight"].mean(1, keepdim=True).expand_as(self.conv.weight))
        return ["conv.weight"]

    @abstractmethod
    def forward(self, frames: Tensor) -> list[Tensor]:
        """(B, L, 3, H, W) -> maps that join the stem's and, if there is a second one, stage 1's output."""


class ResNetVideo(VideoNet):
    """A ResNet over the key frame of each segment, with temporal parts; the segments' scores are averaged.

    Parameters of the ResNet bear torchvision's names. `backbone` lists its parts: motion, stem, stages; then the head.
    """

    memory_format = torch.channels_last
    bias_lr = 2.0  # as in the whole TSN family

    def __init__(self, identity: NetworkName, dropout: float, motion: Motion | None, make_parts: MakeParts) -> None:
        """A network of the family.

        Args:
            identity: which one it is.
            dropout: share of the features before the classifier that training sets to zero.
            motion: what it makes of the frames around the key frames; None: it takes the key frames only.
            make_parts: what it puts into each block.
        """
        super().__init__(identity, 1 if motion is None else motion.frames)
        self.layouts = (identity.net, "torchvision")
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages = (make_stage(identity.arch, stage, make_parts) for stage in (1, 2, 3, 4))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512 * ARCHS[identity.arch][0].expansion, identity.num_class)
        self.motion = motion
        _initialise(self)

    def logits(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, L, 3, H, W) -> logits (N, K)."""
        return self.head(self.backbone(clip))

    def feature_map(self, clip: Tensor) -> Tensor:
        """Normalised clips (N, T, L, 3, H, W) -> stage 4's output (N, C, T, H/32, W/32)."""
        return self.backbone(clip).unflatten(0, (-1, self.num_segments)).transpose(1, 2)

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
        of_motion = nn.functional.interpolate(maps[0] * self.motion.share, size=x.shape[2:], mode="nearest")
        return torch.add(of_motion, x, alpha=1 - self.motion.share)

    def stem(self, key_frames: Tensor) -> Tensor:
        """(N*T, 3, H, W) -> (N*T, 64, H/4, W/4)."""
        x = key_frames.contiguous(memory_format=torch.channels_last)
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def head(self, x: Tensor) -> Tensor:
        """(N*T, C, H/32, W/32) -> (N, K): scores of the segments, averaged before any softmax."""
        scores = self.fc(self.dropout(x.mean((2, 3))))  # (N*T, K)
        return scores.unflatten(0, (-1, self.num_segments)).mean(1)

    def inflate(self, resnet: Mapping[str, Tensor]) -> list[str]:
        """The motion branch starts from the ResNet's stem."""
        return [] if self.motion is None else [f"motion.{name}" for name in self.motion.inflate_from(resnet)]

    def is_temporal(self, name: str) -> bool:
        """Whether a parameter or module of this name is one that no image network has."""
        return name.startswith("motion.") or ".gate." in name

    def shifted(self) -> set[str]:
        """Names of the convolution weights that stand behind a temporal shift."""
        return {f"{name}.weight" for name, module in self.named_modules() if isinstance(module, ShiftedConv2d)}


def _initialise(model: nn.Module) -> None:
    """ResNet's rule for convolutions, N(0, 0.001) for the classifier. Hourglasses bring their own start."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.001)
            nn.init.zeros_(module.bias)
