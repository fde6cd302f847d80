"""Frozen modules: parameters, BatchNorm statistics, what is left to train; and batches too small for BatchNorm."""

import pytest
import torch
from torch import nn

from common.errors import InputError
from ops.freezing import freeze, freeze_partial_bn, require_enough_for_batchnorm, train_mode
from ops.models import build_model
from ops.optimiser import parameter_groups


@pytest.fixture
def model():
    return build_model("H2CN", "resnet18", 5, 2)


def trainable(model) -> set[str]:
    """Names of the parameters that an optimiser gets."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)] for group in parameter_groups(model, 0.1, 0.1) for p in group["params"]}


def test_partial_bn_freezes_the_resnet_but_its_first_norm(model) -> None:
    freeze_partial_bn(model)
    train_mode(model)
    norms = {name: m for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    learning = {name for name, m in norms.items() if m.training and m.weight.requires_grad}
    frozen = {name for name, m in norms.items() if not m.training and not m.weight.requires_grad}
    assert learning | frozen == set(norms)
    assert learning == {"bn1"} | {name for name in norms if name.startswith("motion.") or ".gate." in name}
    assert "layer1.0.bn1.weight" not in trainable(model)


def step(model) -> set[str]:
    """Names of the parameters and statistics that a step changes."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clip = torch.randint(0, 256, (2, 2, model.frames_per_segment, 3, 32, 32), dtype=torch.uint8)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model(clip).square().sum().backward()
    optimiser.step()
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def test_frozen_modules_do_not_change_in_a_step(model) -> None:
    freeze(model, ["stem", "layer1", "layer2.0"])
    train_mode(model)
    frozen = ("conv1.", "bn1.", "layer1.", "layer2.0.")
    assert trainable(model) == {name for name, _ in model.named_parameters() if not name.startswith(frozen)}
    changed = step(model)
    assert not [name for name in changed if name.startswith(frozen)]
    assert {"motion.bn1.running_mean", "layer2.1.bn1.running_mean", "layer2.1.conv1.weight"} < changed


def test_frozen_modules_and_partial_batchnorm_together(model) -> None:
    freeze_partial_bn(model)
    freeze(model, ["layer1"])
    train_mode(model)
    changed = step(model)
    assert "bn1.running_mean" in changed
    assert not [name for name in changed if name.startswith("layer1.") or name == "layer2.0.bn1.running_mean"]


def test_a_linear_probe_trains_the_classifier_alone(model) -> None:
    freeze(model, [], linear_probe=True)
    train_mode(model)
    assert step(model) == {"fc.weight", "fc.bias"}
    assert model.dropout.training


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["layer5"], "--freeze layer5: H2CN has no such module.* stem, conv1, bn1, layer1, .* fc, motion"),
        (["relu"], "--freeze relu: H2CN has no such module with parameters"),
        ([""], "no such module"),
        (["stem", "layer1", "layer2", "layer3", "layer4", "motion", "fc"], "nothing of H2CN is left to train"),
    ],
)
def test_names_that_cannot_be_frozen(model, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        freeze(model, names)


def test_names_of_torchvisions_networks_are_its_own() -> None:
    with torch.device("meta"):
        model = build_model("mvit_v2_s", None, 5, 8)
    freeze(model, ["stem", "blocks.3"])
    assert model.frozen == ("network.conv_proj", "network.pos_encoding", "network.blocks.3")
    assert "network.blocks.3.norm1.weight" not in trainable(model)


SINGLE = [("TSN", 1, 32, False), ("TSM", 1, 32, False), ("TDN", 1, 64, True), ("H2CN", 1, 64, True)]
SINGLE += [("s3d", 8, 32, False)]
ENOUGH = [("TSN", 2, 32, False), ("TSN", 1, 64, False), ("TSN", 1, 32, True), ("H2CN", 2, 32, False)]
ENOUGH += [("mvit_v2_s", 8, 32, False)]


@pytest.mark.parametrize(("net", "segments", "size", "partial_bn"), SINGLE + ENOUGH)
def test_a_batchnorm_needs_two_values(net: str, segments: int, size: int, partial_bn: bool) -> None:
    """What a pass without pixels finds is what a step would run into."""
    model = build_model(net, "torchvision" if net.islower() else "resnet18", 3, segments)
    if partial_bn:
        freeze_partial_bn(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    require_enough_for_batchnorm(model, 2, size)
    if (net, segments, size, partial_bn) in SINGLE:
        with pytest.raises(InputError, match=f"BatchNorm of {net} .*--batch-size"):
            require_enough_for_batchnorm(model, 1, size)
    else:
        require_enough_for_batchnorm(model, 1, size)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    if (net, segments, size, partial_bn) in SINGLE:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model(torch.zeros(1, segments, model.frames_per_segment, 3, size, size, dtype=torch.uint8))
