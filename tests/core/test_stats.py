"""Laws of the intervals and paired tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy import stats as scipy_stats

from qlab.core import stats


def test_bootstrap_interval_of_a_mean_agrees_with_scipy():
    data = np.random.default_rng(0).exponential(size=200)
    weights = stats.resamples(200, 4000, seed=1)
    ours = stats.bootstrap_interval(weights @ data / 200, data.mean())
    theirs = scipy_stats.bootstrap((data,), np.mean, method="BCa", n_resamples=4000, rng=2)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=0.03)


def test_bootstrap_interval_corrects_a_biased_bootstrap():
    samples = np.random.default_rng(0).normal(1.0, 0.1, 5000)
    low, high = stats.bootstrap_interval(samples, value=0.9)
    assert low < 0.75 and high < 1.0  # shifted down by twice the bias


@pytest.mark.parametrize("quantile", [0.5, 0.9])
@pytest.mark.parametrize("n", [40, 61])
def test_order_statistics_are_the_tightest_ranks_that_cover(n, quantile):
    """Of 1..n each value is its rank; the binomial distribution knows how sure two ranks are."""
    e = stats.median(np.arange(n, 0, -1), quantile)
    below = scipy_stats.binom(n, quantile).cdf
    assert e.value == pytest.approx(1 + (n - 1) * quantile)
    assert below(e.low - 1) < 0.025 <= below(e.low)
    assert below(e.high - 2) < 0.975 <= below(e.high - 1)


def test_too_few_values_have_no_interval():
    for n, quantile, known in ((5, 0.5, False), (6, 0.5, True), (31, 0.9, False)):
        e = stats.median(np.arange(n), quantile)
        assert np.isfinite([e.low, e.high]).tolist() == [known, known]


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.floats(-9, 9))
def test_bootstrap_interval_holds_its_value_and_leaves_undefined_samples_out(samples, value):
    low, high = stats.bootstrap_interval(np.array(samples), value)
    assert low <= value <= high
    with_gaps = np.array([np.nan, *samples, np.nan])
    assert stats.bootstrap_interval(with_gaps, value) == (low, high)


def test_a_paired_difference_has_tangos_interval_and_at_no_flips_too():
    a = np.repeat([True, False, True, False], [12, 3, 25, 10])
    b = np.repeat([False, True, True, False], [12, 3, 25, 10])
    flips, back = stats.paired(a, b), stats.paired(b, a)
    assert flips.difference == (-0.18, *stats.tango(12, 3, 50), 50)
    assert (flips.lost, flips.gained) == (back.gained, back.lost) == (12, 3)
    assert flips.p_value == pytest.approx(scipy_stats.binomtest(12, 15).pvalue)
    assert flips.rate == back.rate == stats.proportion(15, 50)
    assert flips.detectable == pytest.approx(stats.smallest_detectable(50, 0.3))
    none = stats.paired(np.ones(2000, bool), np.ones(2000, bool)).difference
    assert none == pytest.approx((0, -0.0019170, 0.0019170, 2000), abs=1e-6)


def test_the_least_to_be_seen_is_what_the_exact_test_rejects():
    sure = [scipy_stats.binomtest(0, flips).pvalue < 0.05 for flips in range(1, 9)]
    assert stats.smallest_detectable(200, 0.0) == (1 + sure.index(True)) / 200
    # FIELD: LAMBADA's 5,153 items with 5 % discordant see .9 points.
    assert stats.smallest_detectable(5153, 0.05) == pytest.approx(0.0087, abs=0.0002)


@pytest.mark.parametrize("n", [1, 7, 100, 2000, 5153])
def test_a_share_lies_within_its_interval_at_the_ends_too(n):
    for successes in (0, n):
        e = stats.proportion(successes, n)
        assert e.low <= e.value <= e.high
    known = scipy_stats.binomtest(n // 2, n).proportion_ci(method="wilson")
    assert stats.proportion(n // 2, n) == pytest.approx((n // 2 / n, *known, n))


def test_tango_is_the_published_interval():
    """Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33, 2850: of 21 children."""
    assert stats.tango(7, 1, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(
    ("lost", "gained", "n"),
    [(2, 12, 50), (0, 1, 44), (0, 0, 30), (25, 25, 50), (50, 0, 50), (0, 50, 50)],
)
def test_tango_is_what_the_score_test_does_not_reject(lost, gained, n):
    """The test by brute force: of all shares lost, the likeliest one at each difference."""
    kept = []
    for delta in np.linspace(-1, 1, 2001)[1:-1]:
        p = np.linspace(max(0, -delta), (1 - delta) / 2, 4001)
        of_each = (lost, p), (gained, p + delta), (n - lost - gained, 1 - 2 * p - delta)
        likelihood = sum(special.xlogy(count, np.clip(share, 0, 1)) for count, share in of_each)
        share = p[likelihood.argmax()]
        spread = np.sqrt(n * (2 * share + delta - delta**2))
        if abs(gained - lost - n * delta) <= scipy_stats.norm.ppf(0.975) * spread:
            kept.append(delta)
    assert stats.tango(lost, gained, n) == pytest.approx((kept[0], kept[-1]), abs=0.0015)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_tango_holds_its_value_and_turns_round_with_the_pair(lost, gained, other):
    n = lost + gained + other + 1
    low, high = stats.tango(lost, gained, n)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    assert stats.tango(gained, lost, n) == pytest.approx((-high, -low), abs=1e-9)


def test_a_difference_keeps_the_pairs_together():
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    b = a + 0.1 + 0.01 * rng.normal(size=400)
    found = stats.difference(a, b)
    assert found.value == pytest.approx(b.mean() - a.mean()) and found.n == 400
    assert 0.098 < found.low < found.high < 0.102  # far narrower than either's own
    back = stats.difference(b, a)
    assert back[:3] == pytest.approx((-found.value, -found.high, -found.low), rel=1e-3)
    yes, no = a > 0, b > 0.1
    flips = stats.paired(yes, no)
    of_flips = stats.tango(flips.lost, flips.gained, 400)
    assert stats.difference(yes, no) == (flips.difference.value, *of_flips, 400)
    with pytest.raises(ValueError, match="same shape"):
        stats.difference(a, b[1:])


def test_of_one_seed_only_items_vary_and_of_one_item_only_seeds():
    values = np.random.default_rng(0).normal(size=50)
    ends = stats.bootstrap_interval(stats.resamples(50, 2000, 1) @ values / 50, values.mean())
    assert stats.over_seeds(values[None]) == (pytest.approx(values.mean()), *ends, 1)
    low, high = stats.bootstrap_interval(stats.resamples(50, 2000, 0) @ values / 50, values.mean())
    assert stats.over_seeds(values[:, None])[1:] == (pytest.approx(low), pytest.approx(high), 50)


def test_the_interval_over_seeds_has_the_variance_of_crossed_resampling():
    """Owen 2007: the sums of squares of rows, of columns and of what is left of both."""
    widths = []
    for of_seed in (0.0, 2.0):
        rng = np.random.default_rng(1)
        values = of_seed * rng.normal(size=(12, 1)) + rng.normal(size=(1, 40))
        values += rng.normal(size=(12, 40))
        rows, columns, all_ = values.sum(1), values.sum(0), values.sum()
        by_row, by_column = (rows**2).sum() - all_**2 / 12, (columns**2).sum() - all_**2 / 40
        left = (values**2).sum() - (rows**2).sum() / 40 - (columns**2).sum() / 12 + all_**2 / 480
        found = stats.over_seeds(values, draws=20_000)
        widths.append(found.high - found.low)
        deviation = np.sqrt(by_row + by_column + left) / 480
        assert widths[-1] == pytest.approx(2 * 1.96 * deviation, rel=0.04)
    assert widths[1] > 1.5 * widths[0]


def test_a_geometric_mean_has_students_interval_and_turns_round_with_the_ratio():
    ratios = np.array([1.7, 2.1, 1.9, 2.6, 1.8])
    made, turned = stats.geometric_mean(ratios), stats.geometric_mean(1 / ratios)
    theirs = scipy_stats.ttest_1samp(np.log(ratios), 0).confidence_interval(0.95)
    assert (made.low, made.high) == pytest.approx(tuple(np.exp(theirs)))
    assert made.value == pytest.approx(scipy_stats.gmean(ratios)) and made.n == 5
    assert made[:3] == pytest.approx((1 / turned.value, 1 / turned.high, 1 / turned.low))
    alone = stats.geometric_mean([3.0])
    assert alone.value == pytest.approx(3) and np.isnan(alone.low) and np.isnan(alone.high)


def test_rounds_of_one_process_have_their_median_and_of_several_the_mean_of_theirs():
    rounds = np.arange(1.0, 22.0)
    assert stats.of_rounds([rounds], 0.5) == stats.median(rounds)
    runs = [np.array([1.0, 2.0, 4.0]), np.array([8.0, 8.0, 1.0])]
    assert stats.of_rounds(runs, 0.5) == stats.geometric_mean(np.array([2.0, 8.0]))


def test_a_difference_over_seeds_where_nothing_differs_still_has_an_interval():
    rng = np.random.default_rng(0)
    same, other = (np.tile(rng.random(300) < 0.9, (3, 1)) for _ in range(2))
    e = stats.difference_over_seeds(same, same)
    assert e.value == 0 and e.low < 0 < e.high and e.n == 300
    assert stats.difference_over_seeds(same, other) == stats.over_seeds(same * 1.0 - other)
    one = stats.difference_over_seeds(same[:1], other[:1])
    assert one == stats.difference(other[0], same[0])  # Tango's
