"""Parameter groups: every parameter once, with its factor and its decay; optimisers by name."""

import pytest
import torch
from torch import nn

from common.errors import InputError
from ops.models import build_model
from ops.optimiser import OPTIMISERS, UNUSABLE, make_optimiser, parameter_groups, set_learning_rate


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


def test_layers_far_from_the_classifier_learn_more_slowly(model) -> None:
    found = factors(model, layer_decay=0.5, fc_lr5=True)
    assert set(found) == {name for name, _ in model.named_parameters()}
    assert found["fc.weight"] == (5.0, 5e-4)
    assert found["fc.bias"] == (10.0, 0.0)
    assert found["layer4.1.conv1.weight"] == found["layer4.1.gate.reduce.weight"] == (0.5, 5e-4)
    assert found["layer4.0.bn1.weight"] == (0.25, 0.0)
    assert found["layer1.0.conv1.weight"] == (0.5**8, 5e-4)
    assert found["conv1.weight"] == found["motion.conv.weight"] == (0.5**9, 5e-4)


def test_sgd_and_adamw_have_the_momentum() -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(2))]}]
    expected = torch.optim.SGD(groups, lr=0.1, momentum=0.8), torch.optim.AdamW(groups, lr=0.1, betas=(0.8, 0.999))
    for name, same in zip(("sgd", "adamw"), expected, strict=True):
        made = make_optimiser(name, groups, 0.1, 0.8)
        assert (type(made), made.defaults) == (type(same), same.defaults)
    nesterov = make_optimiser("sgd", groups, 0.1, 0.8, ["nesterov=True", "foreach=None"])
    assert (nesterov.defaults["nesterov"], nesterov.defaults["momentum"]) == (True, 0.8)
    assert make_optimiser("adamw", groups, 0.1, 0.8, ["betas=0.9,0.95"]).defaults["betas"] == (0.9, 0.95)
    assert make_optimiser("rmsprop", groups, 0.1, 0.8).defaults["momentum"] == 0


@pytest.mark.parametrize("name", sorted(OPTIMISERS.keys() - UNUSABLE.keys()))
def test_every_other_optimiser_learns(name: str) -> None:
    weight = nn.Parameter(torch.ones(3, 3))
    optimiser = make_optimiser(name, [{"params": [weight], "lr_mult": 1.0, "weight_decay": 0.01}], 0.1, 0.9)
    for _ in range(3):
        weight.square().sum().backward()
        optimiser.step()
    assert weight.square().sum() < 9


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("adam", ["momentum=0.9"], "--optimizer_args momentum=0.9: adam takes .* betas"),
        ("adam", ["lr=0.9"], "--optimizer_args lr=0.9: adam takes"),
        ("sgd", ["momentum=0.9"], "sgd takes key=value with the keys dampening, nesterov"),
        ("adam", ["betas=0.9"], r"write betas like its default, betas=\(0\.9, 0\.999\)"),
        ("adam", ["betas=0.9,x"], "write betas like its default"),
        ("sgd", ["nesterov=1"], "write nesterov like its default"),
        ("adam", ["eps=nan"], "write eps like its default"),
        ("adam", ["eps=-1"], "--optimizer adam --optimizer_args eps=-1: torch refuses it .*epsilon"),
        ("muon", [], "--optimizer muon takes matrices only"),
        ("sparseadam", [], "sparse gradients only"),
        ("adamax2", [], "adamax2 is not a class of torch.optim"),
    ],
)
def test_arguments_that_an_optimiser_does_not_take(name: str, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_optimiser(name, [{"params": [nn.Parameter(torch.zeros(2, 2, 2))]}], 0.1, 0.9, arguments)
