"""Curves of the accuracy loss over k, how many of N layers are quantized, and how they are fitted.

Nothing quantized loses nothing, and all N layers are the same from either end: so every form is 0
at k = 0 and one value b at k = N, the same for the last and the first k; only its shape c differs
by end. A form is linear in b, so the fit is weighted least squares at each shape of a grid, and the
best of them (variable projection: Golub and Pereyra 1973); no start value is needed and no
optimizer can fail. Forms compete by cross-validation that leaves out one value of k with all its
seeds, which share their layers. Of those within one standard error of the best, the one with the
fewest coefficients is taken (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning,
7.10).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

DRAWS = 1000  # bootstrap refits behind an interval
Z = 1.959964  # two-sided 95 % quantile of the normal distribution
ENDS = ("last", "first")  # of the network, from which layers are counted


class Form(NamedTuple):
    """A family of curves over x = k/N: `at(x, c)` is 0 at x = 0 and 1 at x = 1."""

    name: str  # of the family
    at: Callable[[np.ndarray, float], np.ndarray]
    text: str  # the formula, with {x}, {b} and {c} in braces
    shapes: Sequence[float] = (np.nan,)  # values of c to try; one NaN where there is no c

    @property
    def shaped(self) -> bool:
        """Whether it has a shape, one for each end."""
        return len(self.shapes) > 1


_POWERS = np.geomspace(0.15, 8, 80)
_RATES = np.concatenate([-np.geomspace(15, 0.3, 40), np.geomspace(0.3, 15, 40)])
NONE = Form("none", lambda x, c: 0 * x, "0")
PROPORTIONAL = Form("proportional", lambda x, c: x, "{b} × {x}")
POWER = Form("power", lambda x, c: x**c, "{b} × {x}^c, c = {c}", _POWERS)
EXPONENTIAL = Form(  # of a negative c it saturates
    "exponential", lambda x, c: np.expm1(c * x) / np.expm1(c),
    "{b} × (exp(c {x}) - 1) / (exp(c) - 1), c = {c}", _RATES,
)  # fmt: skip
FORMS = (NONE, PROPORTIONAL, POWER, EXPONENTIAL)


class Data(NamedTuple):
    """Losses of one bit width; all [n]."""

    x: np.ndarray  # k/N, 0..1
    y: np.ndarray  # loss as a share of the items
    sigma: np.ndarray  # standard deviation of each y, up to a factor
    group: np.ndarray  # its k
    first: np.ndarray  # whether layers are counted from the input

    def taken(self, which: np.ndarray) -> "Data":
        """Some of the points."""
        return Data(*(column[which] for column in self))

    @property
    def places(self) -> tuple[np.ndarray, int]:
        """Which k of which end each point is of, counted from 0; and how many there are."""
        _, member = np.unique(np.stack([self.group, self.first]), axis=1, return_inverse=True)
        return member.ravel(), int(member.max()) + 1


def parameters(form: Form, data: Data) -> int:
    """How many numbers are fitted: none, b, or b and a shape for each end that there is."""
    shapes = len(np.unique(data.first[data.x < 1])) if form.shaped else 0
    return 0 if form is NONE else 1 + shapes


class Fitted(NamedTuple):
    """A form's coefficients for m outcomes."""

    b: np.ndarray  # [m], the loss of all N layers
    c: np.ndarray  # [m, 2], the shape of the last and of the first k

    def at(self, form: Form, x: np.ndarray, first: np.ndarray) -> np.ndarray:
        """The curves [m, n]."""
        return self.b[:, None] * form.at(x[None], np.where(first, self.c[:, [1]], self.c[:, [0]]))


def solve(form: Form, data: Data, y: np.ndarray) -> Fitted:
    """Weighted least squares of outcomes y [m, n] at the points of `data`."""
    scaled, inner, outer = y / data.sigma, [], []
    for end in (~data.first, data.first):
        curves = np.stack([form.at(data.x, c) for c in form.shapes]) * end / data.sigma
        inner.append(scaled @ curves.T)  # [m, shapes]
        outer.append((curves**2).sum(1))  # [shapes]
    top = inner[0][:, :, None] + inner[1][:, None, :]
    below = np.maximum(outer[0][:, None] + outer[1][None, :], 1e-300)
    best = (top**2 / below).reshape(len(y), -1).argmax(1)  # what it takes off the squares
    last, first = np.unravel_index(best, below.shape)
    shapes = np.asarray(form.shapes)
    return Fitted(top[np.arange(len(y)), last, first] / below[last, first],
                  np.stack([shapes[last], shapes[first]], 1))  # fmt: skip


def cross_validated(data: Data, forms: Sequence[Form] = FORMS) -> pd.DataFrame:
    """Leave out each k in turn: form, parameters, cv_error, cv_se, left_out, chosen.

    cv_error is in squared standard deviations of a point, cv_se its standard error over folds;
    left_out is the root mean square of the errors, a share of the items. Forms with as many
    coefficients as a fold has places would go through them all; they do not run.
    """
    folds, rows = np.unique(data.group[data.group > 0]), []
    for form in (f for f in forms if parameters(f, data) < data.places[1] - 1):
        errors = [_missed(form, data, data.group == fold) for fold in folds]
        squares = pd.Series([np.mean(scaled**2) for _, scaled in errors])
        off = np.sqrt(np.mean(np.concatenate([missed for missed, _ in errors]) ** 2))
        count = parameters(form, data)
        rows.append((form.name, count, squares.mean(), squares.sem(), float(off)))
    table = pd.DataFrame(rows, columns=["form", "parameters", "cv_error", "cv_se", "left_out"])
    best = table.loc[table["cv_error"].idxmin()]
    good = table[table["cv_error"] <= best["cv_error"] + best["cv_se"]]
    chosen = good.sort_values(["parameters", "cv_error"]).index[0]
    return table.assign(chosen=table.index == chosen)


def _missed(form: Form, data: Data, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors on the points `out` of a form fitted to the others; and by their deviations."""
    kept, left = data.taken(~out), data.taken(out)
    found = solve(form, kept, kept.y[None]).at(form, left.x, left.first)[0]
    return left.y - found, (left.y - found) / left.sigma


def lack_of_fit(data: Data, curve: np.ndarray, count: int) -> float:
    """p of the F test that what a curve with `count` coefficients misses at the places is no more
    than the scatter of seeds (Draper and Smith, Applied Regression Analysis, 2.1); NaN of one seed.
    """
    member, places = data.places
    weight = data.sigma**-2.0
    means = np.bincount(member, weight * data.y) / np.bincount(member, weight)
    pure = (weight * (data.y - means[member]) ** 2).sum()
    lack = (weight * (means[member] - curve) ** 2).sum()
    free, repeats = places - count, len(data.y) - places
    if min(free, repeats) < 1 or pure <= 0:
        return float("nan")
    return float(stats.f.sf((lack / free) / (pure / repeats), free, repeats))


def redrawn(form: Form, data: Data, curve: np.ndarray, degrees: int, seed: int) -> Fitted:
    """Refits to new means of each place around the curve (parametric bootstrap of the means).

    The means' scatter is that of the residuals of whole places, so what a form misses at one
    counts once and not once a seed; it is enlarged by t/z for having few of them. Neither resampled
    groups nor wild residuals serve here: the outermost group decides a shape, and they leave it
    out or find it without residual. (In a simulated power law over 7 groups, a wild bootstrap's
    95 % interval held the truth 43 % of the time.)
    """
    member, places = data.places
    weight = np.bincount(member, data.sigma**-2.0)
    means = np.bincount(member, (data.y - curve) / data.sigma**2) / weight
    scatter = np.sqrt((weight * means**2).sum() / degrees / weight)
    scatter *= stats.t.ppf(0.975, degrees) / Z
    normal = np.random.default_rng(seed).standard_normal((DRAWS, places))
    return solve(form, data, curve + (scatter * normal)[:, member])
