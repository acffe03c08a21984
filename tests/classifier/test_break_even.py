"""Training is earned back after its cost over the saving, or never."""

import math

import pytest

from qlab.classifier.break_even import break_even, sentence
from qlab.core.stats import Estimate


def about(value: float, percent: float = 2.0) -> Estimate:
    return Estimate(value, value * (1 - percent / 100), value * (1 + percent / 100), 30)


def exact(value: float) -> Estimate:
    return Estimate(value, math.nan, math.nan, 1)


def test_the_count_is_the_cost_over_the_saving():
    costs = exact(600), exact(0.010), exact(0.004)
    assert break_even(*costs)[:3] == pytest.approx((100_000,) * 3)
    assert sentence(*costs) == (
        "After 100,000 inferences [100,000, 100,000] in time: 600 s spent once, 0.006 s saved by "
        "each."
    )


def test_the_interval_is_that_of_the_delta_method():
    found = break_even(about(600, 5), exact(0.010), exact(0.004))
    assert (found.low, found.high) == pytest.approx((95_000, 105_000), rel=0.005)
    # A saving of 6 ms from 10 and 4 ms with 2 % each: 0.2 and 0.08 ms, together 0.215 of 6.
    found = break_even(exact(600), about(0.010), about(0.004))
    half = math.hypot(0.2, 0.08) / 6
    assert (found.low, found.high) == pytest.approx((1e5 * (1 - half), 1e5 * (1 + half)), rel=0.01)


def test_what_is_not_faster_never_pays_and_what_may_be_may():
    slower = about(600), about(0.010), about(0.012)
    assert math.isinf(break_even(*slower).value) and math.isinf(break_even(*slower).low)
    assert sentence(*slower) == "Never in time: an inference costs 0.002 s more."
    same = exact(600), exact(0.010), exact(0.010)
    assert sentence(*same) == "Never in time: an inference saves nothing."
    either = about(600), about(0.0100), about(0.0099)
    found = break_even(*either)
    assert found.value == pytest.approx(6e6) and math.isinf(found.high) and math.isfinite(found.low)
    assert "6 million" in sentence(*either) and "never]" in sentence(*either)
    assert "at the best" in sentence(about(600), about(0.0100), about(0.0101))


def test_an_interval_down_to_zero_still_counts():
    found = break_even(exact(600), Estimate(0.010, 0.0, 0.012, 9), exact(0.004))
    assert found.low < 90_000 and found.high > 110_000
