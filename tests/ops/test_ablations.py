"""H2CN without its parts."""

import pytest
import torch

from common.errors import InputError
from ops.choices import ABLATIONS
from ops.hourglass import ClipHourglass, FrameHourglass
from ops.models import build_model
from ops.weights.load import load_weights


def pixel(hourglass: torch.nn.Module) -> None:
    """Make A leave every pixel as it is."""
    with torch.no_grad():
        hourglass.spatial.zero_()
        hourglass.spatial[:, :, 1, 1] = 1


def test_without_all_of_them_it_is_tsn() -> None:
    torch.manual_seed(0)
    bare = build_model("H2CN", "resnet10", 4, 3, ablate=("fmcb", "cmcb", "shift")).eval()
    tsn = build_model("TSN", "resnet10", 4, 3).eval()
    load_weights(tsn, bare.state_dict())
    clip = torch.randn(2, 3, 1, 3, 32, 32)
    assert torch.equal(bare(clip, normalised=True), tsn(clip, normalised=True))


@pytest.mark.parametrize(("kind", "arguments"), [(FrameHourglass, ()), (ClipHourglass, (3,))])
def test_without_aggregation_an_hourglass_is_one_whose_neighbourhood_is_the_pixel(kind, arguments) -> None:
    torch.manual_seed(0)
    whole, rigid = kind(2), kind(2, aggregate=False)
    pixel(whole)
    assert [name for name, _ in rigid.named_parameters()] == ["temporal"]
    rigid.load_state_dict({"temporal": whole.temporal})
    x = torch.randn(2, 5, 2, 6, 7) if kind is FrameHourglass else torch.randn(6, 2, 6, 7)
    assert torch.allclose(rigid(x, *arguments), whole(x, *arguments), atol=1e-6)


@pytest.mark.parametrize("part", ABLATIONS)
def test_each_part_has_an_effect_and_what_stays_gets_a_gradient(part: str) -> None:
    torch.manual_seed(0)
    model = build_model("H2CN", "resnet10", 4, 3, ablate=(part,), hourglass_start="published")
    assert model.ablate == (part,)
    clip = torch.randn(2, 3, model.frames_per_segment, 3, 32, 32)
    model(clip, normalised=True).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    whole = build_model("H2CN", "resnet10", 4, 3, hourglass_start="published")
    shared = {name: value for name, value in whole.state_dict().items() if name in model.state_dict()}
    model.load_state_dict(shared)
    full_clip = torch.randn(2, 3, 5, 3, 32, 32)
    start = 2 - model.frames_per_segment // 2
    own_clip = full_clip[:, :, start : start + model.frames_per_segment]
    scores = model.eval()(own_clip, normalised=True)
    assert not torch.allclose(scores, whole.eval()(full_clip, normalised=True), atol=1e-6)


def test_other_networks_have_none_of_the_parts() -> None:
    with pytest.raises(InputError, match="--ablate leaves out parts of H2CN; TSM has none"):
        build_model("TSM", "resnet10", 4, 3, ablate=("shift",))
    with pytest.raises(InputError, match="--ablate 'gate' is not known; choose one of fmcb, cmcb, aggregation, shift"):
        build_model("H2CN", "resnet10", 4, 3, ablate=("gate",))
