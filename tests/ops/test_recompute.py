"""Recomputed blocks: the ordinary step to the bit, statistics counted once."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from ops.freezing import freeze, freeze_partial_bn, train_mode
from ops.models import build_model
from ops.network import VideoNet
from ops.recompute import recompute_blocks


def step(model: VideoNet, *, amp: bool) -> dict[str, torch.Tensor]:
    """Gradients and statistics of a step."""
    train_mode(model)
    torch.manual_seed(1)  # of dropout and stochastic depth
    clip = torch.randint(0, 256, (2, 2, model.frames_per_segment, 3, 32, 32), dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        loss = F.cross_entropy(model(clip), torch.tensor([0, 1]))
    loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **found, **dict(model.named_buffers())}


@pytest.mark.parametrize(
    ("net", "partial_bn", "amp"),
    [("H2CN", False, False), ("H2CN", True, True), ("TDN", False, False), ("r2plus1d_18", False, False),
     ("mvit_v2_s", False, True)],
)  # fmt: skip
def test_a_step_is_the_ordinary_one_to_the_bit(net: str, partial_bn: bool, amp: bool) -> None:
    torch.manual_seed(0)
    plain = build_model(net, "resnet10", 3, 2)
    if partial_bn:
        freeze_partial_bn(plain)
        freeze(plain, ["layer2"])
    model = deepcopy(plain)
    recompute_blocks(model)
    block, calls = model.get_submodule(model.layers()[1][0]), []
    block.register_forward_hook(lambda *_: calls.append(1))
    first = next(module for module in block.modules() if not list(module.children()))
    first.register_forward_hook(lambda *_: calls.append(2))
    expected, found = (step(network, amp=amp) for network in (plain, model))
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    assert (calls.count(1), calls.count(2)) == (1, 2)  # the block ran again


def test_a_copy_recomputes_and_an_evaluation_does_not() -> None:
    model = build_model("TSN", "resnet10", 3, 2)
    recompute_blocks(model)
    copy, calls = deepcopy(model), []
    copy.layer1[0].conv1.register_forward_hook(lambda *_: calls.append(1))
    clip = torch.zeros(2, 2, 1, 3, 32, 32, dtype=torch.uint8)
    with torch.inference_mode():
        copy(clip)
    assert len(calls) == 1
    copy(clip).sum().backward()
    assert len(calls) == 3
