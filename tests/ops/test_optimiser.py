"""Parameter groups: every parameter once, with its factor and its decay; partial BatchNorm."""

import pytest
import torch
from torch import nn

from common.errors import InputError
from ops.freezing import freeze_partial_bn, train_mode
from ops.models import build_model
from ops.optimiser import parameter_groups, require_batch, set_learning_rate


@pytest.fixture
def model():
    return build_model("H2CN", "resnet18", 5, 2)


def factors(model, **options) -> dict[str, tuple[float, float]]:
    """Parameter name -> (factor of the learning rate, weight decay)."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, 0.1, 5e-4, **options)
    listed = [(names[id(p)], (g["lr_mult"], g["weight_decay"])) for g in groups for p in g["params"]]
    assert len(listed) == len(dict(listed))
    return dict(listed)


def test_every_parameter_has_its_factor_and_decay(model) -> None:
    found = factors(model)
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert found["conv1.weight"] == found["fc.weight"] == (1.0, 5e-4)
    assert found["motion.hourglass1.temporal"] == found["layer1.0.gate.hourglass.spatial"] == (1.0, 5e-4)
    assert found["fc.bias"] == (2.0, 0.0)
    assert found["bn1.weight"] == found["layer4.1.gate.expand_bn.bias"] == (1.0, 0.0)


def test_fc_lr5_speeds_up_the_classifier_alone(model) -> None:
    found = factors(model, fc_lr5=True)
    assert found["fc.weight"] == (5.0, 5e-4)
    assert found["fc.bias"] == (10.0, 0.0)
    assert found["conv1.weight"] == (1.0, 5e-4)


def test_the_factor_is_applied_and_not_only_logged(model) -> None:
    optimiser = torch.optim.SGD(parameter_groups(model, 0.1, 0.0), lr=0.1)
    set_learning_rate(optimiser, 0.01)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser.step()
    moved = {name: (before[name] - p).mean().item() for name, p in model.named_parameters()}
    assert moved["fc.weight"] == pytest.approx(0.01, rel=1e-4)
    assert moved["fc.bias"] == pytest.approx(0.02, rel=1e-4)


def test_partial_bn_freezes_the_resnet_but_its_first_norm(model) -> None:
    freeze_partial_bn(model)
    train_mode(model, partial_bn=True)
    norms = {name: m for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    learning = {name for name, m in norms.items() if m.training and m.weight.requires_grad}
    frozen = {name for name, m in norms.items() if not m.training and not m.weight.requires_grad}
    assert learning | frozen == set(norms)
    assert learning == {"bn1"} | {name for name in norms if name.startswith("motion.") or ".gate." in name}
    assert "layer1.0.bn1.weight" not in factors(model)
    train_mode(model, partial_bn=False)
    assert all(m.training for m in norms.values())


SINGLE = [("TSN", 1, 32, False), ("TSM", 1, 32, False), ("TDN", 1, 64, True), ("H2CN", 1, 64, True)]
SINGLE += [("s3d", 8, 32, False)]
ENOUGH = [("TSN", 2, 32, False), ("TSN", 1, 64, False), ("TSN", 1, 32, True), ("H2CN", 2, 32, False)]
ENOUGH += [("mvit_v2_s", 8, 32, False)]


@pytest.mark.parametrize(("net", "segments", "size", "partial_bn"), SINGLE + ENOUGH)
def test_a_batchnorm_needs_two_values(net: str, segments: int, size: int, partial_bn: bool) -> None:
    """What a pass without pixels finds is what a step would run into."""
    model = build_model(net, "torchvision" if net.islower() else "resnet18", 3, segments)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    require_batch(model, 2, size, partial_bn=partial_bn)
    if (net, segments, size, partial_bn) in SINGLE:
        with pytest.raises(InputError, match=f"BatchNorm of {net} .*--batch-size"):
            require_batch(model, 1, size, partial_bn=partial_bn)
    else:
        require_batch(model, 1, size, partial_bn=partial_bn)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    if (net, segments, size, partial_bn) in SINGLE:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model(torch.zeros(1, segments, model.frames_per_segment, 3, size, size, dtype=torch.uint8))
