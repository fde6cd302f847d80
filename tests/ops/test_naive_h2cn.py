"""H2CN of `ops/` against the naive one, and that against the official golden data, in float64."""

import pytest
import torch
from golden_data import golden_clip, largest_difference, load, official_state
from torch import nn

from ops.models import build_model
from ops.network import VideoNet
from ops.weights.load import load_weights
from references.naive_h2cn import NaiveH2CN

pytestmark = pytest.mark.slow

# arch, N, T, (H, W) in pixels. Many frames where the last stage has few pixels: a BatchNorm over few values is so steep
# that rounding shows.
CASES = [
    ("resnet10", 3, 2, (32, 64)),
    ("resnet18", 2, 3, (64, 64)),
    ("resnet50", 3, 4, (32, 32)),
    ("resnet10", 8, 1, (32, 32)),
    ("resnet10", 2, 2, (37, 39)),  # odd sizes
]


def random_network(arch: str, segments: int) -> VideoNet:
    """With random statistics and scales in its norms, so that nothing is hidden by a 0 or a 1."""
    torch.manual_seed(0)
    model = build_model("H2CN", arch, 7, segments, dropout=0.0, hourglass_start="published").double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values, std=0.1)
    nn.init.normal_(model.fc.weight, std=0.05)
    return model.to(memory_format=model.memory_format)


@pytest.mark.parametrize(("arch", "clips", "segments", "size"), CASES)
def test_the_same_numbers(arch: str, clips: int, segments: int, size: tuple[int, int]) -> None:
    """Logits of an evaluation; logits, the gradient of every parameter and every buffer of a training step."""
    model = random_network(arch, segments).eval()
    naive = NaiveH2CN.from_network(model)
    clip, label = torch.randn(clips, segments, 5, 3, *size, dtype=torch.float64), torch.arange(clips) % 7
    with torch.inference_mode():
        assert largest_difference(model.logits(clip), naive(clip).numpy()) < 1e-10

    logits = []
    for forward in (model.train().logits, naive.train()):
        logits.append(forward(clip))
        nn.functional.cross_entropy(logits[-1], label).backward()
    assert largest_difference(logits[0], logits[1].detach().numpy()) < 1e-10
    ours = dict(model.named_parameters())
    for name, parameter in naive.named_parameters():
        difference = (ours.pop(name).grad - parameter.grad).abs().max()
        # absolute: a clip of one segment has gradients of zero, up to rounding
        assert difference < 1e-10 * parameter.grad.abs().max() + 1e-11, name
    assert not ours
    state = model.state_dict()
    for name, value in naive.state_dict().items():
        assert torch.allclose(state.pop(name), value, rtol=1e-10, atol=1e-12), name
    assert not state


def test_the_naive_network_is_the_official_one() -> None:
    golden = load("h2cn_r50_s8_64_train")
    model = build_model("H2CN", "resnet50", 174, 8, dropout=0.0).double()
    load_weights(model, official_state())
    with torch.inference_mode():
        logits = NaiveH2CN.from_network(model.train())(golden_clip(golden, 8, 5))
    assert largest_difference(logits, golden["logits"]) < 1e-9


@pytest.mark.parametrize("arch", ["resnet34", "resnet101"])
def test_every_arch_takes_our_state_dict(arch: str) -> None:
    with torch.device("meta"):
        model, naive = build_model("H2CN", arch, 5, 2), NaiveH2CN(arch, 5, 2)
    shapes = [{name: value.shape for name, value in network.state_dict().items()} for network in (model, naive)]
    assert shapes[0] == shapes[1]
