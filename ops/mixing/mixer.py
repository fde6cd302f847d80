"""What mixes the batches of a training: whether, with which draws, and a few mixed clips to be looked at."""

from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from ops.mixing.methods import ALPHAS, Blend, ImageMix, MixMethod, VideoMix, over_clip
from ops.mixing.svmix import SvMix, SvMixSettings
from ops.network import VideoNet
from ops.runtime import Runtime


def mix_method(mix: str, student: VideoNet, input_size: int, runtime: Runtime, settings: SvMixSettings) -> MixMethod:
    """A method by its name, with its own default where no alpha is set.

    Args:
        mix: one of `ops.mixing.methods.MIXES` but "none".
        student: the network that is trained, on its device.
        input_size: H = W of the clips in pixels.
        runtime: the devices.
        settings: of these all methods but SV-Mix read `alpha` alone.

    Raises:
        InputError: SV-Mix cannot be done with this network or size.
    """
    if mix == "svmix":
        return SvMix(student, input_size, runtime, settings)
    alpha = settings.alpha or ALPHAS[mix]
    return VideoMix(alpha) if mix == "videomix" else ImageMix(mix, alpha)


class MixedExample(NamedTuple):
    """One mixed clip, to be looked at.

    Attributes:
        frames: (T, L, H, W, 3) uint8.
        own: (T, H, W) weights of the own pixels, 0 to 1.
        label: of the clip.
        partner_label: of the clip that is mixed in.
        share: weight of the own label.
    """

    frames: np.ndarray
    own: np.ndarray
    label: int
    partner_label: int
    share: float


class Mixer:
    """Mixes the batches of a training with one method.

    All draws depend on (seed, epoch, step, process), so that a resumed run needs no stored random state; whether a
    batch is mixed at all is the same for all processes, because those of a method that learns wait for one another.

    Attributes:
        method: how.
        examples: mixed clips of the epoch's first mixed batch.
    """

    def __init__(
        self,
        method: MixMethod,
        num_class: int,
        *,
        prob: float = 1.0,
        seed: int = 0,
        rank: int = 0,
        num_examples: int = 0,
    ) -> None:
        """A mixer.

        Args:
            method: how a batch is mixed.
            num_class: K.
            prob: of a batch to be mixed.
            seed: of all draws.
            rank: number of this process.
            num_examples: mixed clips to keep each epoch.

        Raises:
            InputError: there is only one class.
        """
        if num_class < 2:
            raise InputError("--mix mixes labels, and the data set has one class only; leave --mix out")
        self.method, self.num_class, self.prob = method, num_class, prob
        self.seed, self.rank, self.num_examples = seed, rank, num_examples
        self.examples: list[MixedExample] = []

    def start_epoch(self) -> None:
        """Forget the last epoch's examples."""
        self.examples = []

    def mix(
        self, model: VideoNet, clip: Tensor, label: Tensor, epoch: int, step: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mix a batch, or not.

        Args:
            model: normalises the clips.
            clip: (N, T, L, 3, H, W) uint8.
            label: (N,).
            epoch: from 0.
            step: of the epoch, from 0.

        Returns:
            Clips (N, T, L, 3, H, W), normalised if mixed; targets (N, K); the loss of what the method learns, or None.

        Raises:
            InputError: a batch of one clip.
        """
        if len(clip) < 2:
            raise InputError(
                "--mix needs 2 clips or more in a batch, and this batch has one; give a larger --batch-size"
            )
        if np.random.default_rng((self.seed, epoch, step)).random() >= self.prob:
            return clip, F.one_hot(label, self.num_class).float(), None
        rng = np.random.default_rng((self.seed, epoch, step, self.rank + 1))
        blend = self.method.blend(model.normalise(clip), label, rng)
        if len(self.examples) < self.num_examples and not self.examples:
            self.examples = _examples(blend, clip, label, self.num_examples)
        return blend.clip, blend.target(label, self.num_class), blend.loss


def _examples(blend: Blend, clip: Tensor, label: Tensor, number: int) -> list[MixedExample]:
    """The first clips of a batch, mixed again from the uint8 pixels of `clip`."""
    partner, count, segments = blend.partner, len(clip), clip.shape[1]
    own = blend.own.detach().expand(count, segments, *clip.shape[-2:])
    found = []
    for i in range(min(number, count)):
        weight = over_clip(own[i : i + 1])[0]  # (T, 1, 1, H, W)
        frames = (weight * clip[i] + (1 - weight) * clip[partner[i]]).round().clamp(0, 255).byte()  # (T, L, 3, H, W)
        pictures = frames.permute(0, 1, 3, 4, 2).cpu().numpy(), own[i].cpu().numpy()
        found.append(MixedExample(*pictures, int(label[i]), int(label[partner[i]]), float(blend.share[i])))
    return found
