"""Laws of the intervals and paired tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from qlab.core import stats


def test_resamples_keep_the_number_of_items_and_repeat_with_the_seed():
    rows = stats.resamples(7, 50, seed=3)
    assert rows.shape == (50, 7)
    assert (rows.sum(axis=1) == 7).all()
    assert (rows == stats.resamples(7, 50, seed=3)).all()
    assert (rows != stats.resamples(7, 50, seed=4)).any()


def test_bootstrap_interval_of_a_mean_agrees_with_scipy():
    data = np.random.default_rng(0).exponential(size=200)
    weights = stats.resamples(200, 4000, seed=1)
    low, high = stats.bootstrap_interval(weights @ data / 200, data.mean())
    theirs = scipy_stats.bootstrap((data,), np.mean, method="BCa", n_resamples=4000, rng=2)
    assert low == pytest.approx(theirs.confidence_interval.low, rel=0.03)
    assert high == pytest.approx(theirs.confidence_interval.high, rel=0.03)


def test_bootstrap_interval_corrects_a_biased_bootstrap():
    samples = np.random.default_rng(0).normal(1.0, 0.1, 5000)
    low, high = stats.bootstrap_interval(samples, value=0.9)
    assert low < 0.75 and high < 1.0  # shifted down by twice the bias


def test_proportion_is_wilson():
    e = stats.proportion(8, 10)
    assert (e.value, e.n) == (0.8, 10)
    assert e.low == pytest.approx(0.4902, abs=1e-4) and e.high == pytest.approx(0.9433, abs=1e-4)


def test_median_interval_covers_the_true_median():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        e = stats.median(rng.lognormal(size=31))
        inside += e.low <= 1.0 <= e.high
    assert inside / 400 >= 0.93


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_paired_comparison_is_antisymmetric(pairs):
    a, b = (np.array(x) for x in zip(*pairs, strict=True))
    forth, back = stats.paired(a, b), stats.paired(b, a)
    assert forth.difference.value == pytest.approx(b.mean() - a.mean())
    assert forth.difference.value == pytest.approx(-back.difference.value)
    assert (forth.lost, forth.gained) == (back.gained, back.lost)
    assert forth.p_value == pytest.approx(back.p_value)
    assert 0 <= forth.rate.value <= 1


def test_mcnemar_is_the_exact_binomial_test():
    a = np.array([True] * 9 + [False] * 1 + [True] * 20)
    b = np.array([False] * 9 + [True] * 1 + [True] * 20)
    assert stats.paired(a, b).p_value == pytest.approx(scipy_stats.binomtest(1, 10, 0.5).pvalue)


def test_field_figure_of_what_can_be_seen():
    # FIELD: LAMBADA's 5,153 items with 5 % discordant see .9 points.
    assert stats.smallest_detectable(5153, 0.05) == pytest.approx(0.0087, abs=0.0002)


@pytest.mark.parametrize("shapes", [(3, 4), (0, 0), ((2, 2), (2, 2))])
def test_paired_refuses_what_is_no_two_vectors_of_one_length(shapes):
    with pytest.raises(ValueError, match="one length"):
        stats.paired(*(np.ones(shape) for shape in shapes))


@pytest.mark.parametrize("quantile", [0.5, 0.9])
@pytest.mark.parametrize("n", [40, 61, 100])
def test_order_statistics_are_the_tightest_ranks_that_cover(n, quantile):
    """Of 1..n each value is its rank; the binomial distribution knows how sure two ranks are."""
    e = stats.median(np.arange(n, 0, -1), quantile)
    below = scipy_stats.binom(n, quantile).cdf
    assert e.value == pytest.approx(1 + (n - 1) * quantile)
    assert below(e.low - 1) < 0.025 <= below(e.low)
    assert below(e.high - 2) < 0.975 <= below(e.high - 1)


@pytest.mark.parametrize(
    ("n", "quantile", "known"), [(5, 0.5, False), (6, 0.5, True), (31, 0.9, False)]
)
def test_too_few_values_have_no_interval(n, quantile, known):
    e = stats.median(np.arange(n), quantile)
    assert np.isfinite([e.low, e.high]).tolist() == [known, known]


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.floats(-9, 9))
def test_bootstrap_interval_holds_its_value(samples, value):
    low, high = stats.bootstrap_interval(np.array(samples), value)
    assert low <= value <= high


def test_bootstrap_interval_leaves_undefined_samples_out():
    samples = np.random.default_rng(0).normal(size=200)
    with_gaps = np.insert(samples, [0, 77, 200], np.nan)
    whole = stats.bootstrap_interval(samples, 0.1)
    assert stats.bootstrap_interval(with_gaps, 0.1) == whole


def test_the_difference_has_walds_interval():
    a = np.repeat([True, False, True, False], [12, 3, 25, 10])
    b = np.repeat([False, True, True, False], [12, 3, 25, 10])
    flips = stats.paired(a, b)
    spread = np.std(b.astype(int) - a.astype(int)) / np.sqrt(50)  # of a mean of -1, 0 and 1
    half = scipy_stats.norm.ppf(0.975) * spread
    assert flips.difference == pytest.approx((-0.18, -0.18 - half, -0.18 + half, 50), abs=1e-6)
    assert flips.rate == stats.proportion(15, 50)
    assert flips.detectable == pytest.approx(stats.smallest_detectable(50, 0.3))


def test_the_least_to_be_seen_is_what_the_exact_test_rejects():
    sure = [scipy_stats.binomtest(0, flips).pvalue < 0.05 for flips in range(1, 9)]
    assert stats.smallest_detectable(200, 0.0) == (1 + sure.index(True)) / 200


@pytest.mark.parametrize("n", [1, 7, 100, 2000, 5153])
def test_a_share_lies_within_its_interval_at_the_ends_too(n):
    for successes in (0, n):
        e = stats.proportion(successes, n)
        assert e.low <= e.value <= e.high
