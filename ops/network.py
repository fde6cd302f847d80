"""The video network: one ResNet that is given its temporal parts."""

import torch
from torch import Tensor, nn

from ops.blocks import BasicBlock, Bottleneck, MakeGate, MakeShift, make_stage
from ops.h2cn import FrameMotion

ARCHS: dict[str, tuple[type[Bottleneck] | type[BasicBlock], tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
        frames_per_segment: int = 1,
        dropout: float = 0.5,
        motion: FrameMotion | None = None,
        make_shift: MakeShift = nn.Identity,
        make_gate: MakeGate = nn.Identity,
    ) -> None:
        super().__init__()
        block, depths = ARCHS[arch]
        self.arch, self.net = arch, ""
        self.num_class, self.num_segments = num_class, num_segments
        self.frames_per_segment = frames_per_segment
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages, inplanes = [], 64
        for planes, depth, stride in zip((64, 128, 256, 512), depths, (1, 2, 2, 2), strict=True):
            stages.append(make_stage(block, inplanes, planes, depth, stride, make_shift, make_gate))
            inplanes = planes * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inplanes, num_class)
        _initialise(self)
        self.motion = motion  # after `_initialise`: it brings its own start
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, clip: Tensor) -> Tensor:
        """Class scores of clips.

        Args:
            clip: (N, T, L, 3, H, W); uint8 RGB is normalised here, a float clip is taken as already normalised.
                H and W are multiples of 32.

        Returns:
            (N, K) logits.
        """
        frames = self.normalise(clip.flatten(0, 1))  # (N*T, L, 3, H, W)
        x = self.stem(frames[:, self.frames_per_segment // 2])  # (N*T, 64, H/4, W/4) of the key frame
        if self.motion is not None:
            x = 0.5 * x + 0.5 * upsample(self.motion(frames), x)
        x = self.stages(x)  # (N*T, C, H/32, W/32)
        return self.head(x)

    def normalise(self, frames: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 -> the same as float with ImageNet's mean and standard deviation; floats pass."""
        if frames.dtype != torch.uint8:
            return frames
        return frames.to(self.conv1.weight.dtype).div_(255).sub_(self.mean).div_(self.std)

    def stem(self, key_frames: Tensor) -> Tensor:
        """(N*T, 3, H, W) -> (N*T, 64, H/4, W/4)."""
        x = key_frames.contiguous(memory_format=torch.channels_last)
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def stages(self, x: Tensor) -> Tensor:
        """(N*T, 64, H/4, W/4) -> (N*T, C, H/32, W/32)."""
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def head(self, x: Tensor) -> Tensor:
        """(N*T, C, H/32, W/32) -> (N, K): scores of the segments, averaged before any softmax."""
        scores = self.fc(self.dropout(x.mean((2, 3))))  # (N*T, K)
        return scores.unflatten(0, (-1, self.num_segments)).mean(1)


def upsample(motion: Tensor, like: Tensor) -> Tensor:
    """Nearest-neighbour resize of (N*T, C, h, w) to the height and width of `like`."""
    return nn.functional.interpolate(motion, size=like.shape[-2:], mode="nearest")


def _initialise(model: nn.Module) -> None:
    """ResNet's rule for convolutions, N(0, 0.001) for the classifier. Motion modules bring their own start."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.001)
            nn.init.zeros_(module.bias)
