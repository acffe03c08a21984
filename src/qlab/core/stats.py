"""Intervals, paired comparisons and the differences they could have seen, each with its method."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

Z = 1.959964  # two-sided 95 % quantile of the normal distribution


class Estimate(NamedTuple):
    """A value with its 95 % interval and the number of items behind it."""

    value: float
    low: float  # lower end of the interval; NaN if none is defined
    high: float  # upper end
    n: int  # items behind it


def resamples(items: int, draws: int, seed: int) -> np.ndarray:
    """How often each item is drawn in each bootstrap resample: int [draws, items]. Every row sums
    to `items` (Efron 1979); two variants resampled with the same seed stay paired."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(items, np.full(items, 1 / items), size=draws)


def bootstrap_interval(samples: np.ndarray, value: float) -> tuple[float, float]:
    """Bias-corrected 95 % percentile interval of bootstrap samples [draws] (Efron 1987, a = 0),
    because categories with few objects drop out of some resamples. NaN samples are left out;
    `value`, of the original items, is always inside."""
    kept = samples[~np.isnan(samples)]
    below = ((kept < value).mean() + (kept <= value).mean()) / 2
    edge = 1 / (len(kept) + 1)
    bias = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    shares = stats.norm.cdf(2 * bias + stats.norm.ppf([0.025, 0.975]))
    low, high = np.quantile(kept, shares)
    return float(min(low, value)), float(max(high, value))


def proportion(successes: int, n: int) -> Estimate:
    """A share with its Wilson 95 % interval (Wilson 1927)."""
    low, high = stats.binomtest(int(successes), n).proportion_ci(method="wilson")
    return Estimate(successes / n, float(low), float(high), n)


def median(values: np.ndarray, quantile: float = 0.5) -> Estimate:
    """A quantile of values [n] and its distribution-free 95 % interval: the order statistics whose
    ranks enclose it by the binomial distribution (Conover 1999, section 3.2); NaN for too few."""
    found = stats.quantile_test(values, p=quantile).confidence_interval()
    low, high = found if np.isfinite(found).all() else (np.nan, np.nan)
    return Estimate(float(np.quantile(values, quantile)), float(low), float(high), len(values))


def student(values: np.ndarray) -> Estimate:
    """Mean of values [n] with Student's 95 % interval, whose ends are NaN for a single value."""
    n, mean = len(values), float(np.mean(values))
    half = float(stats.t.ppf(0.975, n - 1) * stats.sem(values)) if n > 1 else float("nan")
    return Estimate(mean, mean - half, mean + half, n)


def geometric_mean(values: np.ndarray) -> Estimate:
    """Geometric mean of positive values [n], such as times or ratios, by `student` of the
    logarithms: so the mean of ratios is the ratio of means, whichever is the parent (Fleming and
    Wallace 1986, CACM 29, 218)."""
    logs = student(np.log(np.asarray(values, float)))
    return Estimate(*np.exp(logs[:3]).tolist(), logs.n)


def of_rounds(processes: Sequence[np.ndarray], quantile: float) -> Estimate:
    """A quantile of rounds [n] with its interval over them; for several processes, the geometric
    mean of their quantiles, with its interval over the processes."""
    if len(processes) == 1:
        return median(processes[0], quantile)
    return geometric_mean(np.array([np.quantile(rounds, quantile) for rounds in processes]))


def tango(lost: int, gained: int, n: int) -> tuple[float, float]:
    """95 % score interval of a difference of paired shares, (gained - lost) / n: what the test of
    Tango 1998, Statistics in Medicine 17, 891, equations 8 to 11, does not reject. Unlike Wald's,
    it is valid where few items or none flip."""
    z = float(stats.norm.ppf(0.975))

    def score(delta: float) -> float:
        # Restricted maximum likelihood of the share that is lost, at this difference.
        b = -gained - lost + (2 * n - gained + lost) * delta
        c = -lost * delta * (1 - delta)
        share = (np.sqrt(max(b * b - 8 * n * c, 0)) - b) / (4 * n)
        variance = n * (2 * share + delta * (1 - delta))
        return (gained - lost - n * delta) / np.sqrt(max(variance, 1e-300))

    value = (gained - lost) / n
    edge = 1 - 1e-12
    low = -1.0 if score(-edge) <= z else optimize.brentq(lambda d: score(d) - z, -edge, value)
    high = 1.0 if score(edge) >= -z else optimize.brentq(lambda d: score(d) + z, value, edge)
    return float(low), float(high)


def difference(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Mean of b minus mean of a over the same items, a and b [items]: for yes/no outcomes with
    Tango's interval, otherwise with the bias-corrected bootstrap over pairs. ValueError if the
    lengths differ."""
    a, b = np.stack([a, b])
    if a.dtype == bool:
        return paired(a, b).difference
    change = b.astype(float) - a
    samples = resamples(len(change), 2000, seed=0) @ change / len(change)
    return Estimate(float(change.mean()), *bootstrap_interval(samples, change.mean()), len(change))


def over_seeds(values: np.ndarray, draws: int = 2000) -> Estimate:
    """Mean of values [seeds, items], or of paired differences, and its interval; `n` counts seeds.

    Every seed is judged on the same items, so both are resampled, independently (Owen 2007, "The
    pigeonhole bootstrap", Annals of Applied Statistics 1, 386); with one seed, only the items are.
    """
    seeds, items = values.shape
    rows, columns = resamples(seeds, draws, seed=0), resamples(items, draws, seed=1)
    samples = (rows * (columns @ values.T)).sum(1) / (seeds * items)
    value = float(values.mean())
    return Estimate(value, *bootstrap_interval(samples, value), seeds)


def difference_over_seeds(each: np.ndarray, other: np.ndarray) -> Estimate:
    """Mean of each minus other, both [seeds, items], paired: see `over_seeds`. With one seed, or
    where nothing differs, it is `difference` over the items, and `n` counts these."""
    each, other = np.asarray(each, float), np.asarray(other, float)
    if len(each) > 1 and (each != other).any():
        return over_seeds(each - other)
    yes_no = np.isin([each[0], other[0]], (0, 1)).all()
    return difference(*(x[0].astype(bool if yes_no else float) for x in (other, each)))


class Flips(NamedTuple):
    """A paired comparison of yes/no outcomes on the same items."""

    difference: Estimate  # share of yes in b minus share of yes in a
    lost: int  # yes in a, no in b
    gained: int  # no in a, yes in b
    rate: Estimate  # share of items whose outcome differs
    p_value: float  # McNemar's exact test
    detectable: float  # smallest difference seen with 80 % power at these flips


def paired(a: np.ndarray, b: np.ndarray) -> Flips:
    """Compare two boolean outcomes [n] on the same items, taken as independent: Tango's interval of
    the difference, and McNemar's exact test (McNemar 1947)."""
    a, b = np.stack([a, b]).astype(bool)
    n = len(a)
    lost, gained = int((a & ~b).sum()), int((~a & b).sum())
    table = [[int((a & b).sum()), lost], [gained, int((~a & ~b).sum())]]
    change, rate = Estimate((gained - lost) / n, *tango(lost, gained, n), n), lost + gained
    p_value, least = mcnemar(table, exact=True).pvalue, smallest_detectable(n, rate / n)
    return Flips(change, lost, gained, proportion(rate, n), float(p_value), least)


def smallest_detectable(n: int, discordant: float) -> float:
    """Smallest true difference of paired shares that a 5 % test detects with 80 % power.
    `discordant` is the share of items on which the two differ (Connor 1987, normal approximation).
    It is at least six items: with fewer, the exact test does not reject (2 x 0.5^6 = 0.031)."""
    z = stats.norm.ppf([0.975, 0.8]).sum()
    return float(max(z * np.sqrt(discordant / n), 6 / n))
