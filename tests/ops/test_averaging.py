"""The moving average against the formula."""

import torch
from tiny_net import TinyNet, random_clips

from ops.averaging import moving_average
from ops.optimiser import make_step


def test_the_average_follows_each_step_in_weights_and_statistics() -> None:
    model, scaler = TinyNet(), torch.amp.GradScaler("cpu", enabled=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    average = moving_average(model, 0.75, optimiser).module
    expected = {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}
    for _ in range(3):
        model(random_clips()).square().sum().backward()
        make_step(model.parameters(), optimiser, scaler, None, "here")
        expected = {name: 0.75 * value + 0.25 * model.state_dict()[name] for name, value in expected.items()}
    own, found = model.state_dict(), average.state_dict()
    for name, value in expected.items():
        assert not torch.equal(own[name], found[name])
        torch.testing.assert_close(found[name], value)
    assert found["bn.num_batches_tracked"] < own["bn.num_batches_tracked"] == 3
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_a_step_that_the_scaler_skips_does_not_count() -> None:
    model, scaler = TinyNet(), torch.amp.GradScaler("cpu", init_scale=2.0)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    average = moving_average(model, 0.5, optimiser)
    for loss in (float("inf"), 1.0):
        scaler.scale(model(random_clips()).square().sum() * loss).backward()
        make_step(model.parameters(), optimiser, scaler, None, "here")
        scaler.update()
    assert int(average.n_averaged) == 2  # one at the start, one step
