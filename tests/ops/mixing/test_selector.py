"""SV-Mix's selection network: the golden data of the official code."""

import numpy as np
import pytest
import torch
from fill import fill_module
from golden_data import largest_difference, load
from torch import Tensor

from ops.mixing.methods import mixed_target
from ops.mixing.selector import Selector, mask_loss, saliency_share, spread


def normal(seed: int, shape) -> Tensor:
    return torch.as_tensor(np.random.RandomState(seed).standard_normal(tuple(shape)))


@pytest.mark.parametrize("mode", ["spatial", "temporal"])
def test_the_official_results(mode: str) -> None:
    golden = load(f"svmix_{mode}")
    features = normal(1, golden["feature_shape"]).transpose(1, 2)  # (N, C, T', h, w)
    partner, ratio = torch.as_tensor(golden["perm"]), float(golden["lam"])
    selector = fill_module(Selector(features.shape[1], int(golden["inter"])).double(), "svmix.")
    other = selector(features, partner, ratio, bool(golden["spatial"]))
    assert largest_difference(other, golden["mask_other_cells"]) < 1e-9
    assert other.mean().item() == pytest.approx(float(golden["mask_other_mean"]), rel=1e-9)

    loss = mask_loss(other, ratio)
    assert loss.item() == pytest.approx(float(golden["mask_loss"]), rel=1e-9)
    loss.backward()
    for name, norm in zip(golden["grad_names"], golden["grad_norms"], strict=True):
        assert selector.get_parameter(name).grad.norm().item() == pytest.approx(norm, rel=1e-7)

    share = saliency_share(features, other, partner)
    assert largest_difference(share, golden["saliency_ratio"]) < 1e-9
    label, num_class = torch.as_tensor(golden["labels"]), int(golden["num_class"])
    for name, weight in (("target_online", share), ("target_offline", torch.full_like(share, ratio))):
        target = 0.9 * mixed_target(label, partner, weight, num_class) + 0.1 / num_class
        assert largest_difference(target, golden[name]) < 1e-7  # the official smoothing is in float32

    space, time = golden["scale"]
    steps, height, width = features.shape[2:]
    clip = normal(2, (len(features), steps * time, 3, height * space, width * space))
    own = 1 - spread(other, steps * time, height * space, width * space)[:, :, None]
    mixed = own * clip + (1 - own) * clip[partner]
    assert mixed.mean().item() == pytest.approx(float(golden["mixed_mean"]), abs=1e-12)
    assert (mixed * normal(3, mixed.shape)).sum().item() == pytest.approx(float(golden["mixed_dot"]), rel=1e-9)


def test_the_start_is_a_steep_function_of_the_ratio() -> None:
    features, partner = torch.zeros(2, 8, 2, 3, 3), torch.tensor([1, 0])
    for spatial in (True, False):
        other = Selector(8)(features, partner, 0.9, spatial)
        assert torch.allclose(other, torch.sigmoid(torch.tensor(4 * (0.5 - 0.9))))


def test_cells_spread_over_their_segments_and_pixels() -> None:
    cells = torch.arange(8.0).view(1, 2, 2, 2)
    pixels = spread(cells, 4, 4, 6)
    assert pixels[0, :, 0, 0].tolist() == [0, 0, 4, 4]  # t0 t0 t1 t1
    assert pixels[0, 0].tolist() == [[0.0] * 3 + [1.0] * 3] * 2 + [[2.0] * 3 + [3.0] * 3] * 2


def test_the_mask_loss_has_a_dead_zone() -> None:
    other = torch.full((2, 2, 1, 1), 0.5)
    assert mask_loss(other, 0.45).item() == 0.0
    assert mask_loss(other, 0.1).item() == pytest.approx(0.1 * (0.4 - 0.1))
