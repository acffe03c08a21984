"""Accuracy loss and size as formulas of how much is quantized: k of N layers, or their share.

Without quantization nothing is lost, and all N layers are the same from either end. So every form
of the loss is 0 at k = 0 and has one value b at k = N, for the last and the first k alike; only its
shape c differs by end. A form is linear in b, so the fit is the best of weighted least squares at
each shape of a grid (variable projection: Golub and Pereyra 1973); no optimizer can fail.

Forms compete by cross-validation that leaves out one value of k with all its seeds, which share
their layers. Of the forms within one standard error of the best, the one with the fewest
coefficients wins (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 7.10).
Intervals hold for this float parent and these test items.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from qlab.core.stats import Estimate, Z

FEWEST = 4  # values of k; with three, a fold keeps only two, which a line always fits
DRAWS = 1000  # bootstrap refits behind an interval


class Form(NamedTuple):
    """A family of curves over x = k/N: `at(x, c)` is 0 at x = 0 and 1 at x = 1."""

    name: str  # as tables show it
    at: Callable[[np.ndarray, float], np.ndarray]
    text: str  # the formula; x is k/N
    shapes: Sequence[float] = (np.nan,)  # values of c to try; one NaN where there is no c


_RATES = np.geomspace(0.3, 15, 40)
NONE = Form("none", lambda x, c: 0 * x, "0")
PROPORTIONAL = Form("proportional", lambda x, c: x, "b x")
POWER = Form("power", lambda x, c: x**c, "b x^c", np.geomspace(0.15, 8, 80))
EXPONENTIAL = Form(  # with a negative c it saturates
    "exponential", lambda x, c: np.expm1(c * x) / np.expm1(c),
    "b (exp(c x) - 1) / (exp(c) - 1)", np.concatenate([-_RATES[::-1], _RATES]),
)  # fmt: skip
FORMS = (NONE, PROPORTIONAL, POWER, EXPONENTIAL)


class Data(NamedTuple):
    """Losses at one bit width; all fields are [n]."""

    x: np.ndarray  # k/N, 0..1
    y: np.ndarray  # loss as a share of the items
    sigma: np.ndarray  # standard deviation of each y, up to a factor
    k: np.ndarray  # layers quantized
    first: np.ndarray  # whether layers are counted from the input

    def means(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The place (a k from one end) of each point; each place's weight and weighted mean."""
        _, place = np.unique(np.stack([self.k, self.first]), axis=1, return_inverse=True)
        weight = np.bincount(place.ravel(), self.sigma**-2.0)
        return place.ravel(), weight, np.bincount(place.ravel(), values / self.sigma**2) / weight


class Fit(NamedTuple):
    """A formula with its intervals and measures of how well it fits."""

    name: str  # of the form
    formula: str  # in b, c and x, which is k/N
    coefficients: dict[str, Estimate]  # b as a share of the items
    r2: float  # share of the variance that the curve explains
    n: int  # points it was fitted to
    highest: float  # end of the measured range of x, from 0; beyond, `predict` extrapolates
    # Maps x to the value and its 95 % prediction interval, in which one new model would lie: the
    # curve's uncertainty combined with the scatter of single models around it.
    predict: Callable[[np.ndarray | float], tuple[np.ndarray, np.ndarray, np.ndarray]]
    lack: float  # p of `lack_of_fit`
    left_out: float  # root mean square of errors on values of k left out


# For m outcomes: b [m], the loss of all N layers; c [m, 2], the shapes for the last and first k.
Solved = tuple[np.ndarray, np.ndarray]
Fits = dict[tuple[str, int], tuple[Fit, Any]]  # where, bits -> loss over k/N, line of bytes


def curves(form: Form, solved: Solved, x: np.ndarray, first: np.ndarray) -> np.ndarray:
    """A form's curves [m, n] over x [n]."""
    b, c = solved
    return b[:, None] * form.at(x[None], np.where(first, c[:, [1]], c[:, [0]]))


def solve(form: Form, data: Data, y: np.ndarray) -> Solved:
    """Fit a form to outcomes y [m, n] at the points of `data` by weighted least squares."""
    scaled, inner, outer = y / data.sigma, [], []
    for end in (~data.first, data.first):
        tried = np.stack([form.at(data.x, c) for c in form.shapes]) * end / data.sigma
        inner.append(scaled @ tried.T)  # [m, shapes]
        outer.append((tried**2).sum(1))  # [shapes]
    top = inner[0][:, :, None] + inner[1][:, None, :]
    below = np.maximum(outer[0][:, None] + outer[1][None, :], 1e-300)
    best = (top**2 / below).reshape(len(y), -1).argmax(1)  # by how much it lowers the squares
    last, first = np.unravel_index(best, below.shape)
    b, shapes = top[np.arange(len(y)), last, first] / below[last, first], np.asarray(form.shapes)
    return b, np.stack([shapes[last], shapes[first]], 1)


def parameters(form: Form, data: Data) -> int:
    """How many numbers are fitted: none, b, or b and a shape for each end that the data has."""
    shapes = len(np.unique(data.first[data.x < 1])) if len(form.shapes) > 1 else 0
    return 0 if form is NONE else 1 + shapes


def cross_validated(data: Data) -> tuple[Form, float]:
    """The form that wins when each k is left out in turn, and the root mean square of its errors
    there, a share of the items. Forms that could pass through all places of a fold are excluded."""
    rows, places = [], len(data.means(data.y)[1])
    for form in (f for f in FORMS if parameters(f, data) < places - 1):
        missed = np.zeros(len(data.y))  # at k = 0 every form is right
        for k in np.unique(data.k[data.k > 0]):
            kept, out = Data(*(column[data.k != k] for column in data)), data.k == k
            found = solve(form, kept, kept.y[None])
            missed[out] = data.y[out] - curves(form, found, data.x[out], data.first[out])[0]
        # In squared standard deviations of a point; the standard error is over folds.
        errors = pd.Series((missed / data.sigma) ** 2)[data.k > 0].groupby(data.k[data.k > 0])
        squares, off = errors.mean(), np.sqrt(np.mean(missed[data.k > 0] ** 2))
        rows.append((parameters(form, data), squares.mean(), squares.sem(), form, float(off)))
    best = min(rows, key=lambda row: row[1])
    good = [row for row in rows if row[1] <= best[1] + best[2]]
    return min(good, key=lambda row: row[:2])[3:]


def loss_formulas(points: pd.DataFrame, layers: int, form: Form | None = None) -> dict[str, Fit]:
    """Fit accuracy loss over k/N at one bit width; return formulas by end ("last", "first"). Their
    form is the given one, or the one that wins cross-validation.

    `points` has columns where, k, seed, share, loss, loss_se; at least FEWEST k. `layers` is N.
    """
    data = loss_data(points, layers)
    form, left_out = (form, np.nan) if form else cross_validated(data)
    whole, count, n = solve(form, data, data.y[None]), parameters(form, data), len(data.y)
    curve = curves(form, whole, data.x, data.first)[0]
    place, weight, off = data.means(data.y - curve)
    squares, degrees = (weight * off**2).sum(), len(weight) - count
    enlarged = stats.t.ppf(0.975, degrees) / Z  # because there are few places
    # Refit to new means of each place around the curve (parametric bootstrap of the means). Their
    # scatter is that of the residuals of whole places, so a form's misfit at one counts once, not
    # once per seed. Resampled groups and wild residuals would not work: the outermost group decides
    # a shape, and they leave it out or find no residual there.
    scatter = np.sqrt(squares / degrees / weight) * enlarged
    normal = np.random.default_rng(0).standard_normal((DRAWS, len(weight)))
    draws = solve(form, data, curve + (scatter * normal)[:, place])
    missed, total = ((data.y - curve) ** 2).sum(), ((data.y - data.y.mean()) ** 2).sum()
    single = np.sqrt(missed / (n - count)) * enlarged
    r2 = float(1 - missed / total) if total > 0 else np.nan
    lack, found = lack_of_fit(data, squares, degrees), {}
    for which, end in enumerate(("last", "first")):
        if not (mine := data.first == bool(which)).any():
            continue
        pairs = {"b": (whole[0][0], draws[0]), "c": (whole[1][0, which], draws[1][:, which])}
        named = {}
        for name in "bc"[: (form is not NONE) + (len(form.shapes) > 1)]:
            value, drawn = pairs[name]
            low, high = np.quantile(drawn, [0.025, 0.975])
            named[name] = Estimate(float(value), min(low, value), max(high, value), n)

        def predict(x, first=bool(which)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            side = np.full(len(x := np.atleast_1d(x)), first)
            value, scattered = (curves(form, found, x, side) for found in (whole, draws))
            value, error = value[0], Z * np.hypot(scattered.std(0), single)
            return value, value - error, value + error

        highest = max(float(data.x[mine].max()), float(end == "first"))  # all N are the last N too
        found[end] = Fit(form.name, form.text, named, r2, n, highest, predict, lack, left_out)
    return found


def lack_of_fit(data: Data, squares: float, degrees: int) -> float:
    """p value of the F test that a curve misses the places, in weighted `squares`, by no more than
    the scatter of seeds (Draper and Smith, Applied Regression Analysis, 2.1); NaN for one seed.
    """
    place, weight, means = data.means(data.y)
    pure, repeats = (((data.y - means[place]) / data.sigma) ** 2).sum(), len(data.y) - len(weight)
    if min(degrees, repeats) < 1 or pure <= 0:
        return float("nan")
    return float(stats.f.sf((squares / degrees) / (pure / repeats), degrees, repeats))


def loss_data(points: pd.DataFrame, layers: int) -> Data:
    """Losses over k/N, weighted by their standard errors and the scatter of seeds beyond these."""
    k, y, error = points[["k", "loss", "loss_se"]].to_numpy(float).T
    seeds = points.groupby(["where", "k"])["loss"]
    apart = y - seeds.transform("mean").to_numpy()
    between = (apart**2).sum() / max(len(y) - seeds.ngroups, 1)
    beyond = max(between - np.mean(error**2), 0)  # method of moments, as in meta-analysis
    sigma = np.sqrt(error**2 + beyond)
    typical = np.sqrt(np.mean(sigma**2)) or 1.0
    # A point without flips has no standard error; none may weigh over four times the average one.
    first = (points["where"] == "first").to_numpy()
    return Data(k / layers, y, np.maximum(sigma, typical / 2), k, first)
