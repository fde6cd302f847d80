"""SV-Mix's training: who gets which gradient, the teacher, and the selector's schedule."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_net import NoMap, TinyNet, random_clips
from torch import Tensor

from common.errors import InputError
from ops.freezing import freeze_partial_bn
from ops.mixing.methods import over_clip
from ops.mixing.selector import mask_loss, spread
from ops.mixing.svmix import SvMix, SvMixSettings
from ops.models import build_model
from ops.runtime import Runtime

CPU = Runtime(torch.device("cpu"))
NO_SCALER = torch.amp.GradScaler("cpu", enabled=False)
LABEL = torch.tensor([0, 1, 2, 1])


def make(student: TinyNet | None = None, size: int = 16, **settings) -> tuple[TinyNet, SvMix]:
    torch.manual_seed(0)
    student = student or TinyNet(frames=2)
    return student, SvMix(student, size, CPU, SvMixSettings(**settings))


def blend(svmix: SvMix, seed: int = 0):
    clip = svmix.teacher.normalise(random_clips(frames=2))
    return svmix.blend(clip, LABEL, np.random.default_rng(seed), F.cross_entropy)


def gradients(module) -> list[Tensor | None]:
    return [parameter.grad for parameter in module.parameters()]


@pytest.mark.parametrize("switch_prob", [0.0, 1.0])
def test_each_loss_term_trains_the_right_network(switch_prob: float) -> None:
    """Online: the network alone. Offline and mask loss: the selector alone, through the frozen teacher."""
    student, svmix = make(switch_prob=switch_prob)
    mixed = blend(svmix)
    assert not mixed.clip.requires_grad
    assert not mixed.share.requires_grad
    F.cross_entropy(student(mixed.clip, normalised=True), mixed.target(LABEL, 3)).backward()
    assert all(grad is not None for grad in gradients(student))
    assert gradients(svmix.selector) == [None] * 4
    student.zero_grad()
    mixed.loss.backward()
    assert gradients(student) == [None] * len(gradients(student))
    assert gradients(svmix.teacher) == [None] * len(gradients(student))
    assert all(grad is not None and grad.abs().sum() > 0 for grad in gradients(svmix.selector))


def test_the_offline_loss_is_the_equation() -> None:
    """CE of the teacher on the batch that the selector mixed, with labels by the ratio, plus the mask loss."""
    _, svmix = make(switch_prob=1.0)
    smoothed = partial(F.cross_entropy, label_smoothing=0.1)
    clip = svmix.teacher.normalise(random_clips(frames=2))
    loss = svmix.blend(clip, LABEL, np.random.default_rng(5), smoothed).loss
    rng = np.random.default_rng(5)
    rng.random(), rng.beta(1, 1), rng.permutation(4)  # mode, and what is online
    ratio, partner = rng.beta(1, 1), torch.from_numpy(rng.permutation(4))
    features = svmix.teacher.feature_map(clip)
    other = svmix.selector(features, partner, ratio, True)
    own = over_clip(1 - spread(other, 4, 16, 16))
    logits = svmix.teacher(own * clip + (1 - own) * clip[partner], normalised=True)
    one_hot = 0.9 * F.one_hot(LABEL, 3) + 0.1 / 3
    target = ratio * one_hot + (1 - ratio) * one_hot[partner]
    expected = -(target * logits.log_softmax(1)).sum(1).mean() + mask_loss(other, ratio)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert svmix.figures()["offline_loss"] + mask_loss(other, ratio).item() == pytest.approx(expected.item(), rel=1e-5)
    assert svmix.figures() == {}


def test_both_modes_and_the_plain_mix_at_extreme_ratios() -> None:
    seen = set()
    for seed in range(60):
        _, svmix = make()
        own = blend(svmix, seed).own
        frame_alike, clip_alike = (own == own[:, :, :1, :1]).all(), (own == own[0, 0, 0, 0]).all()
        seen.add("plain" if clip_alike else "temporal" if frame_alike else "spatial")
        if clip_alike:
            assert min(own[0, 0, 0, 0], 1 - own[0, 0, 0, 0]) <= 0.08
    assert seen == {"plain", "temporal", "spatial"}


def step(svmix: SvMix, student: TinyNet, lr: float) -> None:
    svmix.step(student, NO_SCALER, lr, "here")


def test_the_teacher_is_a_copy_that_follows_the_network() -> None:
    student, svmix = make()
    start = {name: value.clone() for name, value in student.state_dict().items()}
    assert all(torch.equal(svmix.teacher.state_dict()[name], value) for name, value in start.items())
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
        student.bn.running_mean.add_(2.0)
    for _ in range(2):
        step(svmix, student, 0.01)
    moved = 1 - 0.999**2
    teacher = svmix.teacher.state_dict()
    for name in ("conv.weight", "fc.bias", "bn.weight"):
        assert torch.allclose(teacher[name], start[name] + moved, atol=1e-6)
    assert torch.allclose(teacher["bn.running_mean"], start["bn.running_mean"] + 2 * moved, atol=1e-6)


def test_a_teacher_may_follow_faster() -> None:
    student, svmix = make(teacher_decay=0.5)
    start = student.fc.bias.detach().clone()
    with torch.no_grad():
        student.fc.bias.add_(1.0)
    step(svmix, student, 0.01)
    assert torch.allclose(svmix.teacher.fc.bias, start + 0.5)


def test_the_teachers_passes_leave_its_statistics_alone_and_have_no_dropout() -> None:
    _, svmix = make(switch_prob=1.0)
    svmix.teacher.dropout.p = 1.0  # would blank everything
    before = svmix.teacher.bn.running_mean.clone()
    first, again = blend(svmix), blend(svmix)
    assert svmix.teacher.bn.training
    assert not svmix.teacher.dropout.training
    assert torch.equal(svmix.teacher.bn.running_mean, before)
    assert first.loss.item() == again.loss.item()
    first.loss.backward()
    assert svmix.selector.query.weight.grad.abs().sum() > 0


def test_frozen_batchnorms_are_frozen_in_the_teacher_too() -> None:
    student = build_model("TSM", "resnet10", 3, 2)
    freeze_partial_bn(student)
    svmix = SvMix(student, 32, CPU, SvMixSettings())
    svmix.blend(student.normalise(random_clips(2, 2, 1, 32)), LABEL[:2], np.random.default_rng(0), F.cross_entropy)
    assert svmix.teacher.bn1.training
    assert not svmix.teacher.layer1[0].bn1.training


def test_the_selectors_rate_follows_the_networks() -> None:
    student, svmix = make(selector_lr=0.04, network_lr=0.01)
    start = svmix.selector.value.bias.detach().clone()
    blend(svmix).loss.backward()
    gradient = svmix.selector.value.bias.grad.clone()
    step(svmix, student, 0.001)  # the schedule has divided the network's rate by 10
    assert svmix.optimiser.param_groups[0]["lr"] == pytest.approx(0.004)
    assert torch.allclose(svmix.selector.value.bias, start - 0.004 * gradient)
    assert gradients(svmix.selector) == [None] * 4
    before = svmix.selector.value.bias.clone()
    step(svmix, student, 0.001)  # no batch was mixed: no step from momentum alone
    assert torch.equal(svmix.selector.value.bias, before)


def test_a_non_finite_gradient_stops_before_the_step() -> None:
    student, svmix = make()
    (svmix.selector.value.bias.sum() * float("nan")).backward()
    with pytest.raises(InputError, match="gradient is nan in here"):
        step(svmix, student, 0.01)


def test_state_is_restored() -> None:
    student, svmix = make()
    blend(svmix).loss.backward()
    step(svmix, student, 0.01)
    _, other = make(TinyNet(frames=2))
    other.load_state_dict(deepcopy(svmix.state_dict()))  # as from a file
    assert blend(other, 1).loss.item() == blend(svmix, 1).loss.item()
    for one in (svmix, other):
        blend(one, 1).loss.backward()
        step(one, student, 0.01)
    assert torch.equal(other.selector.query.weight, svmix.selector.query.weight)  # momentum is there
    with pytest.raises(InputError, match="teacher or selector does not fit this run"):
        other.load_state_dict({})


def test_bfloat16_mixes_in_float32() -> None:
    _, svmix = make(amp="bf16")
    mixed = blend(svmix)
    assert mixed.clip.dtype == mixed.own.dtype == mixed.loss.dtype == torch.float32
    mixed.loss.backward()
    assert svmix.selector.value.weight.grad.isfinite().all()


@pytest.mark.parametrize("net", ["H2CN", "TDN", "TSM", "TSN", "r2plus1d_18", "swin3d_t"])
def test_the_head_on_the_feature_map_gives_the_scores(net: str) -> None:
    torch.manual_seed(0)
    model = build_model(net, "resnet10", 5, 4).eval()
    clip = torch.randn(2, 4, model.frames_per_segment, 3, 32, 64)
    with torch.inference_mode():
        features, scores = model.feature_map(clip), model(clip, normalised=True)
        classifier = model.network.get_submodule(model.classifier[0].split(".")[1]) if net.islower() else model.fc
        assert features.shape[:2] == (2, classifier.in_features)
        assert torch.allclose(classifier(features.mean((2, 3, 4))), scores, atol=1e-4)


@pytest.mark.parametrize(("net", "shape"), [("mvit_v2_s", (768, 4, 1, 2)), ("s3d", (1024, 1, 1, 2))])
def test_maps_of_the_networks_whose_head_sees_more(net: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = build_model(net, None, 5, 8).eval()
    with torch.inference_mode():
        assert model.feature_map(torch.randn(1, 8, 1, 3, 32, 64)).shape[1:] == shape
    layer = model.network.get_submodule("blocks.15" if net == "mvit_v2_s" else "features")
    assert not layer._forward_hooks


def test_networks_and_sizes_that_cannot_be_mixed() -> None:
    with pytest.raises(InputError, match="Tiny has no feature map .* --mix svmix"):
        make(NoMap())
    with pytest.raises(InputError, match="4 x 4 x 4 cells .* do not divide a clip of 4 x 18 x 18; choose"):
        make(size=18)
    with pytest.raises(InputError, match="2 x 4 x 4 cells .* clip of 5 x 16 x 16; choose --num_segments"):
        make(TinyNet(segments=5, pool=2))


def test_maps_with_fewer_time_steps_than_segments() -> None:
    _, svmix = make(TinyNet(segments=4, frames=2, pool=2), switch_prob=0.0)
    own = blend(svmix, 2).own
    assert torch.equal(own[:, 0], own[:, 1])
    assert not torch.equal(own[:, 1], own[:, 2])
