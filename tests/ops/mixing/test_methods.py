"""Mixup, CutMix, VideoMix and the mixer, against their equations."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from multi_label_scores import HOT
from tiny_net import TinyNet, random_clips

from common.errors import InputError
from ops.choices import ALPHAS
from ops.mixing.methods import Blend, ImageMix, VideoMix, mixed_target, over_clip
from ops.mixing.mixer import Mixer, mix_method
from ops.mixing.svmix import SvMixSettings
from ops.runtime import Runtime

LABEL = torch.tensor([0, 1, 2, 1])
METHODS = {"mixup": ImageMix("mixup", 0.2), "cutmix": ImageMix("cutmix", 1.0), "videomix": VideoMix(1.0)}


def blend(name: str, seed: int, clip: torch.Tensor | None = None) -> Blend:
    clip = random_clips(frames=2).float() if clip is None else clip
    return METHODS[name].blend(clip, LABEL[: len(clip)], np.random.default_rng(seed), F.cross_entropy)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", METHODS)
def test_clips_and_labels_are_mixed_in_the_same_proportion(name: str, seed: int) -> None:
    clip = random_clips(frames=2).float()
    mixed = blend(name, seed, clip)
    own = over_clip(mixed.own.expand(4, 4, 16, 16))  # spreads over the L = 2 frames of a segment
    assert torch.allclose(mixed.clip, own * clip + (1 - own) * clip[mixed.partner], atol=1e-3)
    assert mixed.own.expand(4, 4, 16, 16).mean((1, 2, 3)).numpy() == pytest.approx(mixed.share.numpy(), abs=1e-5)
    target = mixed.target(LABEL, 3)
    assert target.sum(1).numpy() == pytest.approx(np.ones(4))
    share = mixed.share[0].item()
    assert target[0].tolist() == pytest.approx([share, 1 - share, 0], abs=1e-6)  # the clip before 0 is 3, of class 1


def test_shares_are_spread_as_the_beta_distribution() -> None:
    for name, expected in (("mixup", 0.2), ("cutmix", 1.0)):
        shares = [blend(name, seed).share[0].item() for seed in range(300)]
        variance = 1 / (4 * (2 * expected + 1))  # of Beta(alpha, alpha)
        if name == "mixup":
            assert np.var(shares) == pytest.approx(variance, rel=0.15)
        else:  # boxes are cut off at the borders, so less is taken
            assert 0.5 < np.mean(shares) < 0.8
    narrow = ImageMix("mixup", 1e4)
    shares = narrow.blend(random_clips().float(), LABEL, np.random.default_rng(0), F.cross_entropy).share
    assert shares.tolist() == pytest.approx([0.5] * 4, abs=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_videomix_takes_one_cuboid(seed: int) -> None:
    own = blend("videomix", seed).own[0]
    assert own.shape == (4, 16, 16)
    taken = (own == 0).nonzero()
    if len(taken):
        low, high = taken.min(0).values, taken.max(0).values
        assert len(taken) == (high - low + 1).prod()
    assert blend("videomix", seed).share[0].item() == pytest.approx(1 - len(taken) / own.numel(), abs=1e-6)


def test_cutmix_takes_the_same_box_from_every_frame_and_mixup_the_same_share() -> None:
    assert set(blend("cutmix", 3).own.unique().tolist()) == {0.0, 1.0}
    assert blend("cutmix", 3).own.shape == (4, 1, 16, 16)
    assert blend("mixup", 3).own.std().item() == pytest.approx(0, abs=1e-6)


def mixer(name: str = "videomix", **options) -> Mixer:
    torch.manual_seed(0)  # of the selector's start
    method = mix_method(name, TinyNet(), 16, Runtime(torch.device("cpu")), SvMixSettings())
    return Mixer(method, **options)


def draw(name: str = "videomix", epoch: int = 0, step: int = 0, disturb: int = 0, **options) -> torch.Tensor:
    mix, net = mixer(name, **options), TinyNet()
    torch.rand(disturb)  # moves the global generator on
    return mix.mix(net, random_clips(), LABEL, epoch, step)[0]


@pytest.mark.parametrize("name", [*ALPHAS, "svmix"])
def test_randomness_depends_only_on_seed_epoch_step_and_process(name: str) -> None:
    first = draw(name)
    assert torch.equal(first, draw(name, disturb=7))
    for change in ({"seed": 1}, {"epoch": 1}, {"step": 1}, {"rank": 1}):
        assert not torch.equal(first, draw(name, **change)), change


def test_the_global_generator_is_not_used() -> None:
    clip, method = random_clips().float(), METHODS["cutmix"]
    torch.manual_seed(3)
    method.blend(clip, LABEL, np.random.default_rng(0), F.cross_entropy)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))


def test_clips_are_normalised_before_they_are_mixed() -> None:
    clip, net = random_clips(), TinyNet()
    normalised = net.normalise(clip)
    mixed, _, _ = mixer("cutmix").mix(net, clip, LABEL, 0, 0)
    assert mixed.dtype == torch.float32
    whole = (mixed == normalised) | (mixed == normalised.roll(1, 0))
    assert whole.all()


def test_an_unmixed_batch_is_unchanged_in_every_process() -> None:
    clip = random_clips()
    same, target, loss = mixer(prob=0.0).mix(TinyNet(), clip, LABEL, 0, 0)
    assert same is clip
    assert torch.equal(target, F.one_hot(LABEL, 3).float())
    assert loss is None
    mixed = [[draw(prob=0.5, rank=rank, step=step).dtype == torch.float32 for step in range(40)] for rank in (0, 3)]
    assert mixed[0] == mixed[1]
    assert 10 < sum(mixed[0]) < 30


def test_soft_targets_with_label_smoothing_are_the_mixed_losses() -> None:
    logits, mixed = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), blend("mixup", 1)
    soft = F.cross_entropy(logits, mixed.target(LABEL, 3), label_smoothing=0.1)
    parts = [F.cross_entropy(logits, y, label_smoothing=0.1, reduction="none") for y in (LABEL, LABEL[mixed.partner])]
    assert soft.item() == pytest.approx((mixed.share * parts[0] + (1 - mixed.share) * parts[1]).mean().item(), rel=1e-5)


@pytest.mark.parametrize("name", [*ALPHAS, "svmix"])
def test_examples_are_the_first_clips_of_the_epoch(name: str) -> None:
    clip, net, mix = random_clips(), TinyNet(), mixer(name, num_examples=3)
    mixed, target, _ = mix.mix(net, clip, LABEL, 0, 0)
    mix.mix(net, clip.flip(0), LABEL, 0, 1)
    assert len(mix.examples) == 3
    for number, example in enumerate(mix.examples):
        assert example.labels == [LABEL[number]]
        shares = torch.zeros(3)
        shares[example.labels] += example.share
        shares[example.partner_labels] += 1 - example.share
        assert torch.allclose(shares, target[number], atol=1e-6)
        pixels = torch.from_numpy(example.frames).permute(0, 1, 4, 2, 3)
        assert torch.allclose(net.normalise(pixels), mixed[number], atol=0.5 / 255 / 0.22)


def test_methods_by_turns() -> None:
    """Each batch by one of them, drawn from (seed, epoch, step); with one alpha for both, or one for each."""

    def kind(step: int, **options) -> str:
        mix = mixer("mixup,cutmix", num_examples=1, **options)
        mix.mix(TinyNet(), random_clips(), LABEL, 0, step)
        return "mixup" if len(np.unique(mix.examples[0].own.round(4))) == 1 else "cutmix"

    kinds = [kind(step) for step in range(40)]
    assert 10 < kinds.count("cutmix") < 30
    assert kinds == [kind(step) for step in range(40)]
    assert kinds != [kind(step, seed=1) for step in range(40)]

    def alphas(given: list[float] | None) -> list[float]:
        settings = SvMixSettings(alphas=given)
        methods = mix_method("cutmix,videomix,mixup", TinyNet(), 16, Runtime(torch.device("cpu")), settings).methods
        return [m.alpha if isinstance(m, VideoMix) else float(m.transform.alpha) for m in methods]

    assert alphas(None) == [1.0, 1.0, 0.2]
    assert alphas([0.4]) == [0.4] * 3
    assert alphas([1.0, 2.0, 0.8]) == [1.0, 2.0, 0.8]


@pytest.mark.parametrize("name", ["cutmix", "svmix"])
def test_the_last_epochs_are_not_mixed(name: str) -> None:
    clip, mix = random_clips(), mixer(name, epochs=3)
    assert mix.mix(TinyNet(), clip, LABEL, 2, 0)[0] is not clip
    same, target, loss = mix.mix(TinyNet(), clip, LABEL, 3, 0)
    assert same is clip
    assert torch.equal(target, F.one_hot(LABEL, 3).float())
    assert loss is None


def test_what_cannot_be_mixed() -> None:
    with pytest.raises(InputError, match="at least 2 clips per batch.*--batch-size"):
        mixer().mix(TinyNet(), random_clips(1), LABEL[:1], 0, 0)
    with pytest.raises(InputError, match="one class only; leave --mix out"):
        mix_method("videomix", TinyNet(num_class=1), 16, Runtime(torch.device("cpu")), SvMixSettings())


def test_targets_with_several_labels_are_mixed_as_the_clips() -> None:
    labels, partner = torch.from_numpy(HOT).float(), torch.arange(5).roll(1)
    target = mixed_target(labels, partner, torch.tensor([0.3, 1.0, 0.5, 0.9, 0.0]), 4)
    assert target[0].tolist() == pytest.approx([1.0, 0.0, 0.3, 0.0])  # labels 0 and 2, and 0 of its partner
    assert target[3].tolist() == pytest.approx([0.1, 0.1, 0.9, 0.0])
