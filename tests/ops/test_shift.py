"""The convolution behind a temporal shift: the numbers of a shifted copy, without the copy."""

import pytest
import torch
import torch.nn.functional as F

from ops.shift import ShiftedConv2d, shifted_in_place, temporal_shift

FORMATS = {"channels-last": torch.channels_last, "NCHW": torch.contiguous_format}
T = 3


def features(channels: int, memory_format: torch.memory_format) -> torch.Tensor:
    torch.manual_seed(0)
    x = torch.randn(2 * T, channels, 5, 4, dtype=torch.float64)
    return x.to(memory_format=memory_format).requires_grad_()


@pytest.mark.parametrize("memory_format", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(("channels", "kernel", "stride"), [(16, 1, 1), (16, 3, 2), (7, 1, 1)])
def test_output_and_gradients_are_those_of_a_shifted_copy(channels, kernel, stride, memory_format) -> None:
    """7 channels: none of them moves."""
    x = features(channels, memory_format)
    conv = ShiftedConv2d(channels, 6, kernel, stride=stride, padding=kernel // 2, num_segments=T).double()
    y = conv(x)
    expected = F.conv2d(temporal_shift(x, T), conv.weight, conv.bias, stride, kernel // 2)
    assert torch.allclose(y, expected, atol=1e-12, rtol=0)
    weights = torch.randn_like(y)
    of = (x, conv.weight, conv.bias)
    gradients = [torch.autograd.grad((out * weights).sum(), of) for out in (y, expected)]
    assert all(torch.allclose(a, b, atol=1e-12, rtol=0) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("memory_format", FORMATS.values(), ids=FORMATS)
def test_the_input_has_its_own_values_again(memory_format) -> None:
    x = features(16, memory_format)
    before = x.detach().clone()
    version = x._version
    with shifted_in_place(x, T):
        assert torch.equal(x, temporal_shift(before, T))
    assert torch.equal(x, before)
    with pytest.raises(RuntimeError, match="broken"), shifted_in_place(x, T):
        raise RuntimeError("broken")
    assert torch.equal(x, before)
    assert x._version == version


def test_frozen_weights_still_pass_the_gradient_on() -> None:
    """As a partly frozen network does, and a teacher whose input is learnt."""
    x = features(16, torch.channels_last)
    conv = ShiftedConv2d(16, 6, 1, bias=False, num_segments=T).double().requires_grad_(False)
    conv(x).square().sum().backward()
    assert conv.weight.grad is None
    assert x.grad.any()


def test_autocast_computes_in_its_type_and_trains_in_float32() -> None:
    x = features(16, torch.channels_last).detach().float()
    conv = ShiftedConv2d(16, 6, 1, bias=False, num_segments=T)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
        expected = F.conv2d(temporal_shift(x, T), conv.weight)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, expected)
    y.float().square().sum().backward()
    assert conv.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("options", [{"groups": 2}, {"dilation": 2}, {"padding_mode": "circular"}, {"padding": "same"}])
def test_what_it_does_not_do_is_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="no groups"):
        ShiftedConv2d(8, 8, 3, num_segments=2, **options)


def test_a_compiler_sees_no_memory_change() -> None:
    """The whole graph is taken, and gives the same numbers."""
    x = features(16, torch.channels_last)
    conv = ShiftedConv2d(16, 6, 1, num_segments=T).double()
    assert torch.allclose(torch.compile(conv, backend="eager", fullgraph=True)(x), conv(x), atol=1e-12, rtol=0)
