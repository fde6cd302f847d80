"""Grad-CAM of a whole clip, motion maps and gates."""

import pytest
import torch
from tiny_net import NoMap, random_clips
from torch import Tensor, nn

from common.errors import InputError
from ops.explaining import explain
from ops.fuse import fuse_for_inference
from ops.h2cn import ClipMotion
from ops.models import build_model
from ops.network import VideoNet


def network(net: str, arch: str | None = "resnet10", segments: int = 4, **options) -> VideoNet:
    """Random weights, with statistics as after training, so that features are of size 1."""
    torch.manual_seed(0)
    model = build_model(net, arch, 5, segments, **options).double()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.weight, 1, 0.3)
    return model.eval()


def clips(model: VideoNet, count: int = 1, size: int = 64) -> Tensor:
    return random_clips(count, model.num_segments, model.frames_per_segment, size)


@pytest.mark.parametrize("net", ["TSN", "TSM", "TDN", "H2CN"])
def test_behind_a_mean_the_weights_are_those_of_the_classifier(net: str) -> None:
    """The head averages over space and segments, so that dy/dA = w / (T h w), the class activation map (Zhou 2016)."""
    model = network(net)
    clip = clips(model, 2)
    with torch.no_grad():
        features = model.feature_map(model.normalise(clip))
    label = torch.tensor([3, 1])
    expected = torch.relu(torch.einsum("nk,nkthw->nthw", model.fc.weight[label].detach(), features)) / (4 * 2 * 2)
    found = explain(model, clip, label)
    assert found.grad_cam.shape == (2, 4, 64, 64)
    assert torch.allclose(found.grad_cam[..., ::63, ::63], expected, rtol=1e-9)  # the corners are not blended
    assert torch.equal(found.logits, model(clip))


@pytest.mark.parametrize("net", ["TSM", "H2CN"])
def test_the_other_clips_of_a_batch_do_not_matter(net: str) -> None:
    model = network(net)
    three = clips(model, 3)
    found, alone = explain(model, three), [explain(model, clip[None]) for clip in three]
    assert torch.equal(found.label, torch.cat([one.label for one in alone]))
    for n, one in enumerate(alone):
        assert torch.allclose(found.grad_cam[n], one.grad_cam[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("net", "mixes"), [("TSN", False), ("TSM", True)])
def test_a_segment_of_a_shifted_network_needs_the_others(net: str, mixes: bool) -> None:
    """So that maps of one frame at a time, or of other frames beside it, would be other maps."""
    model, label = network(net), torch.tensor([2])
    clip = clips(model)
    own = explain(model, clip, label).grad_cam[0, 1]
    alone = explain(model, clip[:, [1]].expand_as(clip), label).grad_cam[0, 1]
    assert own.any()
    assert torch.allclose(own, alone, rtol=1e-9) != mixes


def test_a_class_without_evidence_has_an_empty_map() -> None:
    model = network("TSN")
    with torch.no_grad():
        model.fc.weight[4] = -1.0
    clip = clips(model)
    assert not explain(model, clip, torch.tensor([4])).grad_cam.any()
    assert explain(model, clip).label == model(clip).argmax()


@pytest.mark.slow
@pytest.mark.parametrize("net", ["mvit_v2_s", "swin3d_t"])
def test_torchvisions_networks(net: str) -> None:
    """Their maps have fewer steps in time; MViT's last block has no gradient, because it uses the class token alone."""
    model = network(net, None).float()
    found = explain(model, clips(model, size=32).expand(5, -1, -1, -1, -1, -1), torch.arange(5))
    assert found.grad_cam.shape == (5, 4, 32, 32)
    assert found.grad_cam.max() > 0
    assert (found.motion, found.gates) == ([], {})


def test_motion_maps_are_large_where_something_moves() -> None:
    """The hourglasses' start cancels a still background."""
    for net, count in (("H2CN", 1), ("TDN", 2)):
        model = network(net)
        for name, tensor in model.named_buffers():
            if name.startswith("motion."):
                nn.init.zeros_(tensor) if "mean" in name else nn.init.ones_(tensor)
        clip = torch.full((1, 4, 5, 3, 64, 64), 90, dtype=torch.uint8)
        for frame in range(5):
            clip[0, 2, frame, :, 8:16, 8 + 3 * frame : 16 + 3 * frame] = 250  # in the third segment, at the top left
        maps = explain(model, clip).motion
        assert len(maps) == count
        for map_ in maps:
            assert map_.shape == (1, 4, 64, 64)
            assert map_[0, 2].argmax() // 64 < 32
            assert map_[0, 2].argmax() % 64 < 32
            assert map_[0, 2].max() > map_[0, [0, 1, 3]].max()


def test_gates_are_the_factors_of_the_features() -> None:
    model = network("H2CN", hourglass_start="published")
    factors = []

    def keep(_module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        factors.append((output.sum((2, 3)) / inputs[0].sum((2, 3))).nan_to_num(-1))

    for module in model.modules():
        if isinstance(module, ClipMotion):
            module.register_forward_hook(keep)
    found = explain(model, clips(model, 2)).gates
    assert list(found) == [1, 2, 3, 4]
    for gates, factor in zip(found.values(), factors, strict=True):
        used = factor >= 0
        assert torch.allclose(gates.flatten(0, 1)[used], factor[used], rtol=1e-6)
        assert gates.std() > 0.01


@pytest.mark.parametrize("ablate", [["fmcb"], ["cmcb", "shift"], ["aggregation"]])
def test_ablated_networks_show_what_they_have(ablate: list[str]) -> None:
    model = network("H2CN", ablate=ablate)
    found = explain(model, clips(model))
    assert (len(found.motion), bool(found.gates)) == ("fmcb" not in ablate, "cmcb" not in ablate)


def test_a_fused_network_has_the_same_maps() -> None:
    model = network("H2CN")
    clip = clips(model)
    plain, fused = explain(model, clip), explain(fuse_for_inference(model), clip)
    for one, other in zip([plain.grad_cam, *plain.motion], [fused.grad_cam, *fused.motion], strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)


def test_the_network_is_left_as_it_was() -> None:
    model = network("H2CN")
    clip = clips(model)
    for damaged in (False, True):
        with pytest.raises(ValueError, match="shape") if damaged else torch.enable_grad():
            explain(model, clip[:, :3] if damaged else clip)
        assert not any(module._forward_hooks for module in model.modules())
        assert torch.is_grad_enabled()
        assert all(parameter.grad is None for parameter in model.parameters())
    assert model(clip).requires_grad


def test_a_network_without_a_map() -> None:
    with pytest.raises(InputError, match="Tiny has no feature map"):
        explain(NoMap().eval(), random_clips())
