"""Training is earned back after extra cost over saving, or never."""

import math

import pytest

from qlab.classifier.break_even import break_even
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate


def about(value: float, percent: float = 2.0) -> Estimate:
    return Estimate(value, value * (1 - percent / 100), value * (1 + percent / 100), 30)


def exact(value: float) -> Estimate:
    return Estimate(value, math.nan, math.nan, 1)


def test_the_count_is_extra_cost_over_saving():
    found = break_even(exact(600), exact(0.010), exact(0.004))
    assert found.inferences[:3] == pytest.approx((100_000,) * 3)
    assert found.chance == 1 and "After 100,000 inferences" in found.sentence
    less = break_even(exact(600), exact(0.010), exact(0.004), instead=exact(300))
    assert less.inferences.value == pytest.approx(50_000)


def test_the_interval_is_that_of_the_delta_method():
    found = break_even(about(600, 5), exact(0.010), exact(0.004)).inferences
    assert (found.low, found.high) == pytest.approx((95_000, 105_000), rel=0.005)
    # A saving of 6 ms from 10 and 4 ms with 2 % each: 0.2 and 0.08 ms, together 0.215 of 6.
    found = break_even(exact(600), about(0.010), about(0.004)).inferences
    half = math.hypot(0.2, 0.08) / 6
    assert (found.low, found.high) == pytest.approx((1e5 * (1 - half), 1e5 * (1 + half)), rel=0.01)


def test_what_is_not_faster_never_pays():
    slower = break_even(about(600), about(0.010), about(0.012))
    assert math.isinf(slower.inferences.value) and math.isinf(slower.inferences.low)
    assert slower.sentence == "Never in time: an inference costs 0.002 s more."
    same = break_even(about(600), exact(0.010), exact(0.010), unit="J")
    assert same.sentence == "Never in energy: an inference saves nothing."


def test_what_may_be_faster_may_pay():
    either = break_even(about(600), about(0.0100), about(0.0099))
    assert either.inferences.value == pytest.approx(6e6)
    assert math.isinf(either.inferences.high) and math.isfinite(either.inferences.low)
    assert 0.6 < either.chance < 0.9 and "6 million" in either.sentence
    assert "never]" in either.sentence
    unlikely = break_even(about(600), about(0.0100), about(0.0101))
    assert "at the best" in unlikely.sentence


def test_nothing_extra_pays_from_the_first_inference():
    found = break_even(about(600), about(0.010), about(0.012), instead=about(900))
    assert found.inferences.value == 0 and found.sentence.startswith("From the first inference")


def test_an_interval_down_to_zero_still_counts():
    found = break_even(exact(600), Estimate(0.010, 0.0, 0.012, 9), exact(0.004)).inferences
    assert found.low < 90_000 and found.high > 110_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((exact(1), exact(1), exact(1), exact(1), "kWh"), "in 's' or 'J'; got 'kWh'"),
        ((exact(math.nan), exact(1), exact(1)), "The cost 'training' is nan"),
        ((exact(1), exact(0), exact(1)), "The cost 'before' is 0 s"),
        ((exact(1), exact(1), exact(-1)), "The cost 'after' is -1 s"),
    ],
)
def test_costs_that_are_none_are_refused(arguments, sentence):
    with pytest.raises(QlabError, match=sentence):
        break_even(*arguments)
