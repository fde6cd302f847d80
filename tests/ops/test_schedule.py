"""The learning rate against tables written by hand."""

import pytest

from common.errors import InputError
from ops.schedule import learning_rate, scaled_rate

STEP = {"lr": 0.01, "lr_type": "step", "lr_steps": [30, 45, 55], "epochs": 60}
COS = {"lr": 0.02, "lr_type": "cos", "lr_steps": [], "epochs": 10}


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 1e-2), (29.999, 1e-2), (30, 1e-3), (44.5, 1e-3), (45, 1e-4), (55, 1e-5), (59.9, 1e-5)]
)
def test_step(epoch: float, expected: float) -> None:
    assert learning_rate(epoch, **STEP) == pytest.approx(expected)


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0.02), (5, 0.01), (10, 0.0), (2.5, 0.01 * (1 + 0.5**0.5))])
def test_cosine(epoch: float, expected: float) -> None:
    assert learning_rate(epoch, **COS) == pytest.approx(expected, abs=1e-12)


def test_a_training_that_is_all_warmup() -> None:
    assert learning_rate(9.5, **COS, warmup=10) == pytest.approx(0.02 * 0.955)
    assert learning_rate(10, **COS, warmup=10) == 0.0


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0.002), (1, 0.011), (2, 0.02), (6, 0.01), (10, 0.0)])
def test_warmup_then_cosine_over_the_rest(epoch: float, expected: float) -> None:
    assert learning_rate(epoch, **COS, warmup=2) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0.0), (1, 0.01), (2, 0.02), (6, 0.0125), (10, 0.005)])
def test_the_warmup_may_start_at_zero_and_the_cosine_end_above_it(epoch: float, expected: float) -> None:
    assert learning_rate(epoch, **COS, warmup=2, warmup_start=0.0, min_lr=0.005) == pytest.approx(expected, abs=1e-12)


def test_steps_do_not_fall_below_the_lowest_rate() -> None:
    assert [learning_rate(epoch, **STEP, min_lr=5e-4) for epoch in (30, 45, 55)] == [pytest.approx(1e-3), 5e-4, 5e-4]


def test_the_linear_rule() -> None:
    assert scaled_rate(0.01, None, 8, 0.0) == 0.01
    assert scaled_rate(0.01, 64, 16, 0.0025) == pytest.approx(0.0025)
    with pytest.raises(InputError, match=r"--min_lr 0\.003 is above .* 0\.0025"):
        scaled_rate(0.01, 64, 16, 0.003)
