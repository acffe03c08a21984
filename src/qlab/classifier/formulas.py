"""Accuracy loss and size as formulas of how much is quantized: k of N layers, or their share.

Every form is linear in all coefficients but at most one, its shape c. So the fit is weighted least
squares at each shape of a grid, and the best of them (variable projection: Golub and Pereyra 1973);
no start value is needed and no optimizer can fail. Forms compete by cross-validation that leaves
out one value of k with all its seeds, which share their layers: a fold that split them would test a
form on what it has seen. Of those within one standard error of the best, the one with the fewest
coefficients is taken (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 7.10).

Intervals hold for this float parent and these test items.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from qlab.core.errors import QlabError
from qlab.core.stats import Estimate

FEWEST = 4  # values of k; with three, a fold is left with two and any line through them fits
DRAWS = 1000  # bootstrap refits behind an interval
Z = 1.959964  # two-sided 95 % quantile of the normal distribution


class Form(NamedTuple):
    """A family of curves: the columns `basis(x, c)` [n, p] times p coefficients."""

    name: str  # of the family
    basis: Callable[[np.ndarray, float], list[np.ndarray]]
    coefficients: tuple[str, ...]  # of the columns; b is the one that makes the curve rise
    text: str  # the formula, with {x} and the coefficients in braces
    shapes: Sequence[float] = (np.nan,)  # values of c to try; one NaN where there is no c

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is fitted: the coefficients, and c where it has values to try."""
        return self.coefficients + (("c",) if len(self.shapes) > 1 else ())


_POWERS = np.geomspace(0.15, 8, 120)
_RATES = np.geomspace(0.3, 15, 120)

CONSTANT = Form("constant", lambda x, c: [x**0], ("a",), "{a}")  # the form without effect
PROPORTIONAL = Form("proportional", lambda x, c: [x], ("b",), "{b} × {x}")  # through the origin
LINEAR = Form("linear", lambda x, c: [x**0, x], ("a", "b"), "{a} + {b} × {x}")  # with an offset
QUADRATIC = Form(
    "quadratic", lambda x, c: [x**0, x, x**2], ("a", "b", "d"), "{a} + {b} × {x} + {d} × {x}^2"
)
POWER = Form("power", lambda x, c: [x**c], ("b",), "{b} × {x}^c, c = {c}", _POWERS)
# The two exponentials are scaled so that b is the rise from x = 0 to x = 1, whatever their c.
EXPONENTIAL = Form(
    "exponential", lambda x, c: [np.expm1(c * x) / np.expm1(c)], ("b",),
    "{b} × (exp(c {x}) - 1) / (exp(c) - 1), c = {c}", _RATES,
)  # fmt: skip
SATURATING = Form(
    "saturating", lambda x, c: [np.expm1(-c * x) / np.expm1(-c)], ("b",),
    "{b} × (1 - exp(-c {x})) / (1 - exp(-c)), c = {c}", _RATES,
)  # fmt: skip
OFFSET_POWER = Form(
    "offset power", lambda x, c: [x**0, x**c], ("a", "b"), "{a} + {b} × {x}^c, c = {c}", _POWERS
)
STEP = Form(
    "step", lambda x, c: [x**0, (x >= c) * 1.0], ("a", "b"),
    "{a}, and {b} more from {x} = {c} on", np.linspace(0.005, 0.995, 100),
)  # fmt: skip
# Tried for the loss over k, and for the size over the share.
LOSS_FORMS = (CONSTANT, PROPORTIONAL, LINEAR, POWER, EXPONENTIAL, SATURATING, OFFSET_POWER)
SIZE_FORMS = (CONSTANT, LINEAR, QUADRATIC, OFFSET_POWER, STEP)


class Data(NamedTuple):
    """What a formula is fitted to; all [n]."""

    x: np.ndarray  # k/N or share, 0..1
    y: np.ndarray  # loss as a share of the items, or size in bytes
    sigma: np.ndarray  # standard deviation of each y, up to a factor
    group: np.ndarray  # its k


def cross_validated(data: Data, forms: Sequence[Form]) -> pd.DataFrame:
    """Leave out each group in turn: form, parameters, cv_error, cv_se, chosen.

    cv_error is in squared standard deviations of a point, cv_se its standard error over folds.
    Forms with as many coefficients as a fold has groups would go through them all; they do not run.
    The one-standard-error rule chooses.
    """
    folds = np.unique(data.group)
    rows = []
    for form in (f for f in forms if len(f.names) < len(folds) - 1):
        missed = np.concatenate([_missed(form, data, data.group == g) for g in folds])
        where = np.concatenate([np.flatnonzero(data.group == g) for g in folds])
        squares = pd.Series((missed / data.sigma[where]) ** 2).groupby(data.group[where]).mean()
        rows.append((form.name, len(form.names), squares.mean(), squares.sem()))
    table = pd.DataFrame(rows, columns=["form", "parameters", "cv_error", "cv_se"])
    best = table.loc[table["cv_error"].idxmin()]
    rounding = 1e-12 * np.mean((data.y / data.sigma) ** 2)  # sizes can be exact to the last byte
    good = table[table["cv_error"] <= best["cv_error"] + best["cv_se"] + rounding]
    chosen = good.sort_values(["parameters", "cv_error"]).index[0]
    return table.assign(chosen=table.index == chosen)


def _missed(form: Form, data: Data, out: np.ndarray) -> np.ndarray:
    """Errors on the points `out` of a form fitted to the others."""
    linear, shape = _solve(form, data.x[~out], data.y[~out][None], data.sigma[~out])
    return data.y[out] - _curve(form, data.x[out], linear, shape)[0]


def _solve(
    form: Form, x: np.ndarray, y: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares for many outcomes y [m, n]: coefficients [m, p], shapes [m]."""
    scaled = y / sigma
    best = np.full(len(y), np.inf)
    linear, shape = np.zeros((len(y), len(form.coefficients))), np.full(len(y), np.nan)
    for c in form.shapes:
        basis = np.stack(form.basis(x, c), 1) / sigma[:, None]
        found = scaled @ np.linalg.pinv(basis).T
        squares = ((scaled - found @ basis.T) ** 2).sum(1)
        better = squares < best
        best[better], linear[better], shape[better] = squares[better], found[better], c
    return linear, shape


def _curve(form: Form, x: np.ndarray, linear: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The curves [m, n] at x."""
    columns = form.basis(x[None], shape[:, None])
    return sum(linear[:, [i]] * column for i, column in enumerate(columns))


def _redrawn(form: Form, data: Data, curve: np.ndarray, degrees: int, seed: int) -> tuple:
    """Refits to new means of each group around the curve (parametric bootstrap of the means).

    The means' scatter is that of the residuals of whole groups, so what a form misses at a group
    counts once and not once a seed; it is enlarged by t/z for having few groups. Neither resampled
    groups nor wild residuals serve here: the outermost group decides a shape, and they leave it
    out or find it without residual. (In a simulated power law over 7 groups, a wild bootstrap's
    95 % interval held the truth 43 % of the time.)
    """
    groups, member = np.unique(data.group, return_inverse=True)
    weight = np.bincount(member, data.sigma**-2.0)
    means = np.bincount(member, (data.y - curve) / data.sigma**2) / weight
    scatter = np.sqrt((weight * means**2).sum() / degrees / weight)
    scatter *= stats.t.ppf(0.975, degrees) / Z
    normal = np.random.default_rng(seed).standard_normal((DRAWS, len(groups)))
    return _solve(form, data.x, curve + (scatter * normal)[:, member], data.sigma)


def fitted(form: Form, data: Data, seed: int = 0) -> tuple[dict[str, Estimate], Callable]:
    """Coefficients with bootstrap intervals, and the curve with its prediction's standard error."""
    linear, shape = _solve(form, data.x, data.y[None], data.sigma)
    curve = _curve(form, data.x, linear, shape)[0]
    degrees = len(np.unique(data.group)) - len(form.names)
    draws = _redrawn(form, data, curve, degrees, seed)
    spread = np.sqrt(((data.y - curve) ** 2).sum() / (len(data.y) - len(form.names)))
    single = spread * stats.t.ppf(0.975, degrees) / Z
    columns = [*draws[0].T, draws[1]][: len(form.names)]
    values = [*linear[0], shape[0]]
    estimates = {
        name: Estimate(float(v), *_around(float(v), column), len(data.y))
        for name, v, column in zip(form.names, values, columns, strict=False)
    }

    def at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        error = np.hypot(_curve(form, x, *draws).std(0), single)
        return _curve(form, x, linear, shape)[0], error

    return estimates, at


def _around(value: float, draws: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return min(float(low), value), max(float(high), value)


class Fit(NamedTuple):
    """A formula with its intervals and what speaks for and against it."""

    name: str  # of the form
    formula: str  # a sentence with the numbers; loss in percentage points, size in KB
    coefficients: dict[str, Estimate]  # in shares and bytes
    r2: float  # share of the variance that the curve explains
    n: int  # points it was fitted to
    lowest: float  # the measured range of x; outside, `predict` extrapolates
    highest: float  # upper end of that range
    at: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # curve and its standard error

    def predict(self, x: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value and 95 % prediction interval at x: where one new model would lie.

        Holds the curve's uncertainty and the scatter of single models around it.
        """
        value, error = self.at(np.atleast_1d(np.asarray(x, float)))
        return value, value - Z * error, value + Z * error


Fits = dict[tuple[str, int], tuple[Fit, Fit]]  # where, bits -> loss over k/N, size over the share


def loss_formula(points: pd.DataFrame, layers: int) -> Fit:
    """The formula of accuracy loss over k/N for one `where` ("first" or "last") and bit width.

    `points` has the columns where, k, bits, seed, share, loss, loss_se; `layers` is N.
    QlabError: several curves in one table, fewer than four values of k, numbers missing.
    """
    x = f"(k/{layers})"
    return _best(loss_data(points, layers), LOSS_FORMS, "loss", x, (100, ".2f", " pp"))


def size_formula(points: pd.DataFrame) -> Fit:
    """The formula of the file's size in bytes over the share, otherwise like `loss_formula`."""
    k = _checked(points, "size_bytes")
    share, y = (points[column].to_numpy(float) for column in ("share", "size_bytes"))
    data = Data(share, y, np.ones(len(y)), k)
    return _best(data, SIZE_FORMS, "size", "share", (1e-3, ",.1f", " KB"))


def _best(data: Data, forms: Sequence[Form], quantity: str, x: str, unit: tuple) -> Fit:
    table = cross_validated(data, forms)
    chosen = table[table["chosen"]].iloc[0]
    form = next(f for f in forms if f.name == chosen["form"])
    found, at = fitted(form, data)
    words = {n: _written(e, *(unit if n != "c" else (1, ".2f", ""))) for n, e in found.items()}
    text = f"{quantity} = {form.text.format(x=x, **words)}"
    slope = (found if "b" in found else fitted(LINEAR, data)[0])["b"]
    if form is CONSTANT:
        text += f" whatever {x} is (a straight line's slope: {_written(slope, *unit)})"
    if slope.low <= 0 <= slope.high:
        text += "; the data cannot tell the slope from zero"
    missed = ((data.y - at(data.x)[0]) ** 2).sum()
    total = ((data.y - data.y.mean()) ** 2).sum()
    r2 = float(1 - missed / total) if total > 0 else np.nan
    ends = float(data.x.min()), float(data.x.max())
    return Fit(form.name, f"{text}.", found, r2, len(data.y), *ends, at)


def _written(e: Estimate, scale: float, form: str, unit: str) -> str:
    value, low, high = (f"{scale * v:{form}}" for v in e[:3])
    text = f"{value} [{low}, {high}]{unit}"
    return f"({text})" if value.startswith("-") else text


def loss_data(points: pd.DataFrame, layers: int) -> Data:
    """Losses over k/N; one weighs by its standard error and the scatter of seeds beyond it."""
    k = _checked(points, "loss", "loss_se")
    y, error = points["loss"].to_numpy(float), points["loss_se"].to_numpy(float)
    apart = points.groupby("k")["loss"].transform(lambda v: v - v.mean())
    repeats = len(y) - len(np.unique(k))
    between = float((apart**2).sum() / repeats) if repeats else 0.0
    beyond = max(between - np.mean(error**2), 0)  # moments, as in meta-analysis
    sigma = np.sqrt(error**2 + beyond)
    typical = np.sqrt(np.mean(sigma**2)) or 1.0
    # A point without flips has no standard error; none may count over four times the average one.
    return Data(k / layers, y, np.maximum(sigma, typical / 2), k)


def _checked(points: pd.DataFrame, *columns: str) -> np.ndarray:
    """k of each point; QlabError where no formula can come of them."""
    curves = sorted(
        {(str(w), int(b)) for w, b in points[["where", "bits"]].itertuples(index=False)}
    )
    if len(curves) != 1 or curves[0][0] not in ("first", "last"):
        raise QlabError(
            "A formula is fitted to one curve, the first or the last k layers at one bit width; "
            f"found {curves}. Select one of them."
        )
    if not np.isfinite(points[["k", "share", *columns]].to_numpy(float)).all():
        raise QlabError("A point of the sweep has a number missing; take it out.")
    k = points["k"].to_numpy(int)
    if len(known := sorted(set(k.tolist()))) < FEWEST:
        raise QlabError(
            f"A formula needs at least {FEWEST} values of k; found {len(known)} "
            f"({', '.join(map(str, known))}). Run the sweep with more of them."
        )
    return k
