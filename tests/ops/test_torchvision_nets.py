"""torchvision's video networks in our form: the same numbers as its own code, and everything that ours can do."""

import pytest
import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from common.errors import InputError
from ops.choices import TORCHVISION_NETS
from ops.flops import count_macs, count_parameters
from ops.freezing import freeze_partial_bn
from ops.models import build_model
from ops.optimiser import parameter_groups
from ops.weights.load import load_weights

pytestmark = pytest.mark.slow

DIFFERENT = [net for net in TORCHVISION_NETS if net not in ("swin3d_s", "swin3d_b")]  # these are a larger swin3d_t
# T and H = W that torchvision's own code takes; MViT is built for this one size there.
SIZES = {"mvit_v2_s": (16, 224), "s3d": (16, 224)}
# The classifier of MViT reads the class token alone, and positions never enter that: its last block's positions and
# pooled queries have no effect on the scores, in torchvision's code as in the paper's.
WITHOUT_EFFECT = [f"network.blocks.15.attn.{name}" for name in ("rel_pos_h", "rel_pos_w", "rel_pos_t")]
WITHOUT_EFFECT += ["network.blocks.15.attn.pool_q.pool.weight"]


@pytest.fixture(autouse=True)
def _fast_initialisation(monkeypatch) -> None:
    """Most of a transformer's building is the inverse error function; what it starts with is not tested here."""
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", torch.nn.init.normal_)


@pytest.mark.parametrize("net", DIFFERENT)
def test_scores_are_those_of_torchvisions_own_code(net: str) -> None:
    torch.manual_seed(0)
    segments, size = SIZES.get(net, (4, 64))
    theirs = get_model(net, num_classes=6).eval()
    ours = build_model(net, None, 6, segments).eval()
    report = load_weights(ours, theirs.state_dict())
    assert report.new == report.unused == []
    clip = torch.randn(1, segments, 1, 3, size, size)
    with torch.inference_mode():
        expected = theirs(clip[:, :, 0].transpose(1, 2))
        assert torch.allclose(ours(clip, normalised=True), expected, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("net", TORCHVISION_NETS)
def test_counts_are_the_published_ones(net: str) -> None:
    weights = get_model_weights(net).DEFAULT
    with torch.device("meta"):
        model = build_model(net, None, 400, 16)
    assert count_parameters(model) == weights.meta["num_params"]
    assert count_macs(model, model.input_size) / 1e9 == pytest.approx(weights.meta["_ops"], abs=0.001)


def test_uint8_clips_are_normalised_as_its_weights_were() -> None:
    model = build_model("s3d", None, 3, 8).double().eval()
    clip = torch.randint(0, 256, (1, 8, 1, 3, 32, 32), dtype=torch.uint8)
    made_for = get_model_weights("s3d").DEFAULT.transforms()
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (made_for.mean, made_for.std))
    assert torch.allclose(model(clip), model((clip.double() / 255 - mean) / std, normalised=True), atol=1e-6)


@pytest.mark.parametrize(("net", "size"), [("mvit_v2_s", (3, 96, 64)), ("s3d", (9, 32, 64)), ("swin3d_t", (3, 32, 96))])
def test_odd_sizes(net: str, size: tuple[int, int, int]) -> None:
    segments, height, width = size
    model = build_model(net, None, 3, segments).eval()
    assert model(torch.zeros(1, segments, 1, 3, height, width, dtype=torch.uint8)).shape == (1, 3)


@pytest.mark.parametrize("net", ["r2plus1d_18", "s3d", "mvit_v2_s"])  # these convolve over time
def test_gradients_of_the_shortest_clips_are_right(net: str) -> None:
    """torch's convolution has given wrong ones where a temporal kernel is longer than the clip."""
    torch.manual_seed(0)
    segments = TORCHVISION_NETS[net].min_segments
    single, double = (build_model(net, None, 3, segments).to(kind).eval() for kind in (torch.float32, torch.float64))
    double.load_state_dict(single.state_dict())
    clip = torch.randn(2, segments, 1, 3, 32, 32)
    single(clip, normalised=True).square().sum().backward()
    double(clip.double(), normalised=True).square().sum().backward()
    for (name, ours), exact in zip(single.named_parameters(), double.parameters(), strict=True):
        assert (ours.grad - exact.grad).norm() <= 1e-4 * exact.grad.norm() + 1e-6, name


@pytest.mark.parametrize("net", DIFFERENT)
def test_every_parameter_gets_a_gradient_and_under_autocast_a_near_one(net: str) -> None:
    """Of 8 segments R(2+1)D and S3D leave two frames, where torch's bfloat16 convolution fails on the CPU."""
    torch.manual_seed(0)
    model = build_model(net, None, 3, 8).eval()  # in training, stochastic depth leaves out a block now and then
    clip = torch.randn(2, 8, 1, 3, 32, 32)
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = model(clip, normalised=True).float().square().sum()
        loss.backward()
        without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == (WITHOUT_EFFECT if net == "mvit_v2_s" else [])
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    exact, low = gradients
    assert (low - exact).norm() < 0.1 * exact.norm()


def test_s3d_runs_in_lower_precision() -> None:
    """torch has no mean over windows of bfloat16 on the CPU."""
    model = build_model("s3d", None, 3, 8).bfloat16().eval()
    assert model(torch.zeros(1, 8, 1, 3, 32, 32, dtype=torch.uint8)).isfinite().all()


def test_too_few_segments() -> None:
    with pytest.raises(InputError, match="--num_segments 7: s3d needs 8 or more"):
        build_model("s3d", None, 3, 7)


@pytest.mark.parametrize("net", ["r2plus1d_18", "mvit_v2_s"])
def test_dropout_is_in_front_of_the_classifier(net: str) -> None:
    model = build_model(net, None, 3, 2, dropout=1.0)
    bias = model.get_parameter(model.classifier[1])
    torch.nn.init.normal_(bias)
    assert torch.allclose(model(torch.randn(2, 2, 1, 3, 32, 32), normalised=True), bias)


def test_parameter_groups_of_a_transformer() -> None:
    model = build_model("swin3d_t", None, 3, 2)
    groups = {group["name"]: group for group in parameter_groups(model, 0.1, 0.05, fc_lr5=True)}
    assert sum(len(group["params"]) for group in groups.values()) == len(list(model.parameters()))
    decays = {name: group["weight_decay"] for name, group in groups.items()}
    assert decays == {
        "weight": 0.05, "bias": 0, "norm": 0, "position": 0, "classifier weight": 0.05, "classifier bias": 0
    }  # fmt: skip
    assert groups["bias"]["lr_mult"] == 1  # twice the rate is the TSN family's
    assert groups["classifier weight"]["lr_mult"] == 5
    assert len(groups["classifier weight"]["params"]) == 1


def test_partial_batchnorm_of_3d_norms() -> None:
    model = build_model("r2plus1d_18", None, 3, 2)
    freeze_partial_bn(model)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert [norm.weight.requires_grad for norm in norms] == [True] + [False] * (len(norms) - 1)
