"""Applies a mixing method to training batches, with seeded randomness; keeps examples for TensorBoard."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from ops.choices import ALPHAS
from ops.mixing.methods import Blend, ByTurns, ImageMix, Loss, MixMethod, VideoMix, over_clip, target_of
from ops.mixing.svmix import SvMix, SvMixSettings
from ops.network import VideoNet
from ops.runtime import Runtime


def mix_method(mix: str, student: VideoNet, input_size: int, runtime: Runtime, settings: SvMixSettings) -> MixMethod:
    """A method by name, one of `ops.choices.MIXES` except "none", for clips of `input_size` pixels.

    Several methods without parameters, separated by commas: one of them per batch. `student` is the network in
    training, on its device. Methods other than SV-Mix read only `alphas` of the settings. An `InputError` says that
    there is only one class, or that SV-Mix cannot work with this network or size.
    """
    if student.num_class < 2:
        raise InputError("--mix mixes labels, but the data set has one class only; leave --mix out")
    if mix == "svmix":
        return SvMix(student, input_size, runtime, settings)
    names = mix.split(",")
    alphas = settings.alphas or [ALPHAS[name] for name in names]
    methods = [
        VideoMix(alpha) if name == "videomix" else ImageMix(name, alpha)
        for name, alpha in zip(names, alphas if len(alphas) > 1 else alphas * len(names), strict=True)
    ]
    return methods[0] if len(methods) == 1 else ByTurns(methods)


class MixedExample(NamedTuple):
    """One mixed clip, to look at."""

    frames: np.ndarray  # (T, L, H, W, 3) uint8
    own: np.ndarray  # (T, H, W) weights of the clip's own pixels, 0 to 1
    labels: list[int]  # one, unless clips have several
    partner_labels: list[int]
    share: float  # weight of the own labels


@dataclass
class Mixer:
    """Mixes training batches with one method.

    Randomness depends on (seed, epoch, step, process) alone, so that a resumed run needs no stored random state.
    Whether a batch is mixed at all is the same in all processes: those of a method that learns wait for one another.
    """

    method: MixMethod
    prob: float = 1.0  # probability that a batch is mixed
    epochs: int | None = None  # only the first so many epochs are mixed; None: all
    seed: int = 0
    rank: int = 0  # of this process
    num_examples: int = 0  # mixed clips kept per epoch
    examples: list[MixedExample] = field(default_factory=list, init=False)  # of the epoch's first mixed batch

    def mix(
        self, model: VideoNet, clip: Tensor, label: Tensor, epoch: int, step: int, loss: Loss = F.cross_entropy
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mix a batch of two clips or more, or leave it as it is.

        Takes clips (N, T, L, 3, H, W) uint8, which `model` normalises, labels (N,) or multi-hot (N, K), the epoch and
        the step within it, both from 0, and the loss of the training. Returns clips (N, T, L, 3, H, W), normalised if
        mixed; targets (N, K); the loss of the method's own parameters.
        """
        if len(clip) < 2:
            raise InputError("--mix needs at least 2 clips per batch, but this batch has one; raise --batch-size")
        is_off = self.epochs is not None and epoch >= self.epochs
        if is_off or np.random.default_rng((self.seed, epoch, step)).random() >= self.prob:
            return clip, target_of(label, model.num_class), None
        rng = np.random.default_rng((self.seed, epoch, step, self.rank + 1))
        blend = self.method.blend(model.normalise(clip), label, rng, loss)
        if self.num_examples and not self.examples:
            self.examples = _examples(blend, clip, target_of(label, model.num_class), self.num_examples)
        return blend.clip, blend.target(label, model.num_class), blend.loss


def _examples(blend: Blend, clip: Tensor, target: Tensor, number: int) -> list[MixedExample]:
    """The first clips of a batch, mixed again from the uint8 pixels of `clip`; targets (N, K) before the mixing."""
    partner, count, segments = blend.partner, len(clip), clip.shape[1]
    own = blend.own.detach().expand(count, segments, *clip.shape[-2:])
    examples = []
    for i in range(min(number, count)):
        weight = over_clip(own[i : i + 1])[0]  # (T, 1, 1, H, W)
        frames = (weight * clip[i] + (1 - weight) * clip[partner[i]]).round().clamp(0, 255).byte()  # (T, L, 3, H, W)
        pictures = frames.permute(0, 1, 3, 4, 2).cpu().numpy(), own[i].cpu().numpy()
        labels, others = (target[row].nonzero().flatten().tolist() for row in (i, int(partner[i])))
        examples.append(MixedExample(*pictures, labels, others, float(blend.share[i])))
    return examples
