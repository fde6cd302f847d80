"""The recipe check speaks when the learning rate does not fit, and only then."""

import pytest

from ops.recipes import check_recipe

FINE = {"lr": 0.01, "batch": 8, "partial_bn": False, "random_start": False}


@pytest.mark.parametrize("batch", [8, 16, 32])
def test_the_published_run_passes_in_silence(batch: int) -> None:
    assert check_recipe("H2CN", "somethingv1", **{**FINE, "batch": batch}) == []


def test_other_data_sets_have_no_recipe() -> None:
    assert check_recipe("H2CN", "moving_digits", **{**FINE, "lr": 7.0}) == []


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({"batch": 64}, "--lr 0.02"),
        ({"batch": 4}, "--lr 0.005"),
        ({"lr": 0.1}, "--lr 0.01"),
        ({"partial_bn": True}, "--npb"),
        ({"random_start": True}, "--pretrain imagenet"),
    ],
)
def test_one_line_says_what_would_fit(change: dict, fits: str) -> None:
    (line,) = check_recipe("H2CN", "somethingv1", **{**FINE, **change})
    assert line.endswith(fits)


def test_a_rate_scaled_by_the_linear_rule_fits() -> None:
    assert check_recipe("H2CN", "kinetics", lr=0.01, batch=64, partial_bn=False, random_start=False) == []
