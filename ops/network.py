"""The video network: one ResNet that is given its temporal parts."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ops.blocks import ARCHS, MakeParts, make_stage, no_parts

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Motion(nn.Module, ABC):
    """What a network makes of the frames around the key frame.

    Attributes:
        frames: L, frames that it takes from a segment.
        shares: weights of the ResNet's features and of the maps when they are added.
        conv: its 7x7 convolution.
    """

    frames: int
    shares: tuple[float, float]

    conv: nn.Conv2d

    def inflate_from(self, resnet: dict[str, Tensor]) -> list[str]:
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


class VideoNet(nn.Module):
    """A ResNet over the key frame of each segment, with temporal parts; the segments' scores are averaged.

    Parameters of the ResNet bear torchvision's names. `forward` is the list of its parts: normalise, stem,
    motion, stages, head.
    """

    mean: Tensor  # (3, 1, 1), as `std`: ImageNet's
    std: Tensor

    def __init__(
        self,
        arch: str,
        num_class: int,
        num_segments: int,
        *,
        dropout: float = 0.5,
        motion: Motion | None = None,
        make_parts: MakeParts = no_parts,
    ) -> None:
        super().__init__()
        self.arch, self.net = arch, ""
        self.num_class, self.num_segments = num_class, num_segments
        self.frames_per_segment = 1 if motion is None else motion.frames
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (make_stage(arch, i, make_parts) for i in (1, 2, 3, 4))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512 * ARCHS[arch][0].expansion, num_class)
        self.motion = motion
        _initialise(self)
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, clip: Tensor) -> Tensor:
        """Class scores of clips.

        Args:
            clip: (N, T, L, 3, H, W); uint8 RGB is normalised here, a float clip is taken as already normalised.
                H and W are multiples of 32.

        Returns:
            (N, K) logits.

        Raises:
            ValueError: a clip of another shape, which would mix segments of different clips.
        """
        if clip.ndim != 6 or clip.shape[1:4] != (self.num_segments, self.frames_per_segment, 3):
            wanted = f"(N, {self.num_segments}, {self.frames_per_segment}, 3, H, W)"
            raise ValueError(f"the clip has shape {tuple(clip.shape)}; {self.net} takes {wanted}")
        frames = self.normalise(clip.flatten(0, 1))  # (N*T, L, 3, H, W)
        maps = [] if self.motion is None else self.motion(frames)
        x = self.stem(frames[:, self.frames_per_segment // 2])  # (N*T, 64, H/4, W/4) of the key frame
        x = self.layer1(self.join(x, maps[:1]))
        x = self.layer4(self.layer3(self.layer2(self.join(x, maps[1:]))))  # (N*T, C, H/32, W/32)
        return self.head(x)

    def join(self, x: Tensor, maps: list[Tensor]) -> Tensor:
        """(N*T, C, H, W) features, plus a motion map (N*T, C, h, w) brought to their size, if there is one."""
        if self.motion is None or not maps:
            return x
        own, of_motion = self.motion.shares
        return own * x + of_motion * nn.functional.interpolate(maps[0], size=x.shape[-2:], mode="nearest")

    def normalise(self, frames: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 -> the same as float with ImageNet's mean and standard deviation; floats pass."""
        if frames.dtype != torch.uint8:
            return frames
        return frames.to(self.conv1.weight.dtype).div_(255).sub_(self.mean).div_(self.std)

    def stem(self, key_frames: Tensor) -> Tensor:
        """(N*T, 3, H, W) -> (N*T, 64, H/4, W/4)."""
        x = key_frames.contiguous(memory_format=torch.channels_last)
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def head(self, x: Tensor) -> Tensor:
        """(N*T, C, H/32, W/32) -> (N, K): scores of the segments, averaged before any softmax."""
        scores = self.fc(self.dropout(x.mean((2, 3))))  # (N*T, K)
        return scores.unflatten(0, (-1, self.num_segments)).mean(1)


def _initialise(model: nn.Module) -> None:
    """ResNet's rule for convolutions, N(0, 0.001) for the classifier. Hourglasses bring their own start."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.001)
            nn.init.zeros_(module.bias)
