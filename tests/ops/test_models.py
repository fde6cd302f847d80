"""Every network: shapes, gradients, devices' number formats, and its names' errors."""

from functools import partial

import pytest
import torch

from common.errors import InputError
from ops.choices import ARCHS
from ops.fuse import fuse_for_inference
from ops.models import FAMILY, NETS, build_model
from ops.network import IMAGENET_MEAN, IMAGENET_STD, VideoNet

pytestmark = pytest.mark.slow


def small(model: VideoNet) -> tuple[int, ...]:
    """N, T, L, C, H, W of a clip for a network of two segments."""
    return (2, 2, model.frames_per_segment, 3, 32, 32)


@pytest.fixture(scope="module", params=FAMILY)
def net(request) -> str:
    return request.param


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])  # both kinds of blocks, several per stage
def test_every_parameter_gets_a_gradient(net: str, arch: str) -> None:
    require_gradients(net, arch)


@pytest.mark.parametrize("arch", sorted(ARCHS.keys() - {"resnet18", "resnet50"}))
def test_every_parameter_of_other_resnets_gets_a_gradient(arch: str) -> None:
    require_gradients("H2CN", arch)


def require_gradients(net: str, arch: str) -> None:
    torch.manual_seed(0)
    model = build_model(net, arch, 7, 2, hourglass_start="published")
    logits = model(torch.randint(0, 256, small(model), dtype=torch.uint8))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("height_width", [(32, 64), (96, 32), (64, 64)])
def test_sizes_that_are_multiples_of_32(net: str, height_width: tuple[int, int]) -> None:
    model = build_model(net, "resnet10", 4, 3).eval()
    assert model(torch.zeros(1, 3, model.frames_per_segment, 3, *height_width, dtype=torch.uint8)).shape == (1, 4)


def test_uint8_clips_are_normalised_inside(net: str) -> None:
    torch.manual_seed(0)
    model = build_model(net, "resnet10", 4, 2).double().eval()
    clip = torch.randint(0, 256, small(model), dtype=torch.uint8)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    assert torch.allclose(model(clip), model((clip.double() / 255 - mean) / std, normalised=True), atol=1e-7)


def test_channels_last_and_memory_order_of_the_clip_do_not_change_the_result(net: str) -> None:
    torch.manual_seed(0)
    model = build_model(net, "resnet50", 4, 2).double().eval()
    clip = torch.randn(small(model), dtype=torch.float64)
    frames_last = clip.permute(0, 1, 2, 4, 5, 3).contiguous().permute(0, 1, 2, 5, 3, 4)
    before = model(clip, normalised=True)
    model.to(memory_format=torch.channels_last)
    assert torch.allclose(model(frames_last, normalised=True), before, atol=1e-12)


def test_bfloat16_autocast_is_near_float32(net: str) -> None:
    torch.manual_seed(0)
    model = build_model(net, "resnet10", 4, 2).eval()
    clip = torch.randn(small(model))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(clip, normalised=True)
    exact = model(clip, normalised=True)
    assert torch.allclose(logits.float(), exact, atol=0.05 * exact.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_network_of_lower_precision_is_near_float32(net: str, dtype: torch.dtype) -> None:
    """Throughout, not by autocast; prepared, too; and every parameter can be trained."""
    torch.manual_seed(0)
    model = build_model(net, "resnet10", 4, 2).eval()
    clip = torch.randn(small(model))
    exact = model(clip, normalised=True)
    near = partial(torch.allclose, exact, rtol=0, atol=0.03 * exact.abs().max().item())
    model = model.to(dtype)
    assert near(fuse_for_inference(model)(clip.to(dtype), normalised=True).float())
    logits = model(clip.to(dtype), normalised=True)
    assert near(logits.float())
    logits.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_frames_of_a_segment_are_known_without_building(net: str) -> None:
    assert NETS[net].frames_per_segment == build_model(net, "resnet10", 4, 2).frames_per_segment


def test_an_entry_with_other_frames_than_its_network_is_an_error(monkeypatch) -> None:
    """Else its clips would be read with one frame per segment."""
    monkeypatch.setitem(NETS, "Mine", NETS["H2CN"]._replace(frames_per_segment=1))
    with pytest.raises(ValueError, match=r"entry of Mine .* 1 frames per segment.*takes 5"):
        build_model("Mine", "resnet10", 4, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int64])
def test_only_uint8_clips_are_taken_for_images(net: str, dtype: torch.dtype) -> None:
    """Images scaled to 0..1 would give plausible, wrong scores."""
    model = build_model(net, "resnet10", 4, 2)
    clip = torch.rand(small(model)).to(dtype)
    with pytest.raises(ValueError, match=r"takes uint8 RGB from 0 to 255.*normalised=True"):
        model(clip)
    with pytest.raises(ValueError, match=r"uint8, so it is not normalised"):
        model(clip.byte(), normalised=True)


def test_building_is_silent(net: str, capfd) -> None:
    build_model(net, "resnet10", 4, 2)
    assert capfd.readouterr() == ("", "")


def test_who_sees_the_order_of_the_segments(net: str) -> None:
    torch.manual_seed(0)
    model = build_model(net, "resnet10", 4, 4).double().eval()
    clip = torch.randn(1, 4, model.frames_per_segment, 3, 64, 64, dtype=torch.float64)
    same = torch.allclose(model(clip, normalised=True), model(clip.flip(1), normalised=True), atol=1e-12)
    assert same == (net == "TSN")


@pytest.mark.parametrize(("segments", "share"), [(8, 0.5), (16, 0.25), (2, 0.25)])
def test_the_share_of_tdns_motion(segments: int, share: float) -> None:
    """As in the official code: half and half for 8 segments, a quarter for any other number."""
    assert build_model("TDN", "resnet10", 4, segments).motion.share == share


@pytest.mark.parametrize("shape", [(1, 3, 5, 3, 32, 32), (1, 2, 1, 3, 32, 32), (2, 5, 3, 32, 32)])
def test_a_clip_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes \(N, 2, 5, 3, H, W\)"):
        build_model("H2CN", "resnet10", 4, 2)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("C3D", "resnet10", 4, 2), ["--net", "C3D", "H2CN"]),
        (("H2CN", "vgg", 4, 2), ["--arch", "vgg", "resnet50"]),
        (("H2CN", "resnet10", 4, 0), ["--num_segments", "0"]),
        (("H2CN", "resnet10", 0, 2), ["classes", "0"]),
    ],
)
def test_bad_arguments(arguments: tuple, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        build_model(*arguments)
    assert all(word in str(error.value) for word in words)
