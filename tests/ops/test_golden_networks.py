"""Whole networks against the official ones, in float64, through `load_weights` of the filled official layouts."""

import pytest
import torch
from golden_data import dot_vector, golden_clip, largest_difference, load, official_state
from torch import nn

from common.errors import InputError
from ops.models import FAMILY, build_model
from ops.network import VideoNet
from ops.shift import ShiftedConv2d
from ops.weights.layouts import norm_of, rename
from ops.weights.load import load_weights

# Official stage -> our module whose output it is (before its ReLU where the official one is behind it).
STAGES = {"maxpool": "maxpool", "conv_fhgc": "motion.bn", "conv1_5": "motion.bn", "resnext_layer1": "motion.stage1"}
STAGES |= {f"layer{i}{bak}": f"layer{i}" for i in (1, 2, 3, 4) for bak in ("", "_bak")}


def network(net: str) -> VideoNet:
    model = build_model(net, "resnet50", 174, 8).double()
    load_weights(model, official_state(net.lower()))
    return model


@pytest.mark.parametrize("net", FAMILY)
def test_evaluation(net: str) -> None:
    model, golden = network(net), load(f"{net.lower()}_r50_s8_112_eval")
    outputs = {}
    for name in set(STAGES.values()):
        if name in dict(model.named_modules()):
            model.get_submodule(name).register_forward_hook(
                lambda _module, _args, out, name=name: outputs.update({name: out.clone()})
            )
    with torch.inference_mode():
        logits = model.eval()(golden_clip(golden, 8, model.frames_per_segment), normalised=True)
    assert largest_difference(logits, golden["logits"]) < 1e-9
    compared = set()
    for official, stats in zip(golden["stage_names"], golden["stage_stats"], strict=True):
        if str(official) in STAGES:
            out = torch.relu(outputs[STAGES[str(official)]])
            ours = torch.cat([out.mean()[None], out.std(correction=0)[None], out.contiguous().flatten()[:30]])
            assert largest_difference(ours, stats) < 1e-9, official
            compared.add(STAGES[str(official)])
    assert compared == set(outputs)


@pytest.mark.parametrize("net", ["H2CN", "TDN"])
def test_training(net: str) -> None:
    model, golden = network(net).train(), load(f"{net.lower()}_r50_s8_64_train")
    model.dropout.p = 0.0
    logits = model(golden_clip(golden, 8, 5), normalised=True)
    assert largest_difference(logits, golden["logits"]) < 1e-9
    loss = nn.functional.cross_entropy(logits, torch.as_tensor(golden["labels"]))
    assert abs(loss.item() - golden["loss"]) < 1e-9
    loss.backward()

    official = official_state(net.lower())
    parameters, seen = dict(model.named_parameters()), set()
    for name, norm, dot in zip(golden["grad_names"], golden["grad_norms"], golden["grad_dots"], strict=True):
        ours = rename(str(name), net)
        if norm_of(ours):
            assert norm < 1e-9  # the bias in front of a BatchNorm: no gradient there, no parameter here
            continue
        gradient, shape = parameters[ours].grad, official[str(name)].shape
        projected = (gradient.reshape(shape) * dot_vector(str(name), shape)).sum().item()
        # absolute: TDN's BatchNorms in front of another one have a gradient of zero, up to rounding
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-7, abs=1e-12), name
        assert projected == pytest.approx(dot, rel=1e-7, abs=max(1e-7 * norm, 1e-12)), name
        seen.add(ours)
    assert seen == set(parameters)
    assert all(str(name).startswith("base_model.conv1_temp.") for name in golden["nograd_names"])

    buffers = dict(model.named_buffers())
    biases = {norm_of(rename(key, net)): value for key, value in official.items() if norm_of(rename(key, net))}
    for name, norm in zip(golden["buffer_names"], golden["buffer_norms"], strict=True):
        ours = rename(str(name), net)
        buffer = buffers[ours].double()
        if ours.endswith(".running_mean"):  # the official convolution's bias went in here
            buffer = buffer + biases.get(ours.removesuffix(".running_mean"), 0.0)
        assert buffer.norm().item() == pytest.approx(norm, rel=1e-7), name


def test_weights_of_another_network_are_refused_although_they_would_fit() -> None:
    with pytest.raises(InputError, match="is of TSN, this network is TSM; build --net TSN"):
        load_weights(build_model("TSM", "resnet50", 174, 8), official_state("tsn"))


@pytest.mark.parametrize(("arch", "shifted"), [("resnet18", [2, 2, 2, 2]), ("resnet101", [2, 2, 12, 2])])
def test_tsm_shifts_every_second_block_of_resnet101(arch: str, shifted: list[int]) -> None:
    model = build_model("TSM", arch, 5, 2)
    layers = (model.layer1, model.layer2, model.layer3, model.layer4)
    assert [sum(isinstance(block.conv1, ShiftedConv2d) for block in layer) for layer in layers] == shifted
