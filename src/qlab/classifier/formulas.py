"""Accuracy loss and size as formulas of how much is quantized: k of N layers, or their share.

Few named forms compete. The winner is chosen by cross-validation that leaves out one value of k at
a time with all its seeds: seeds of one k share the layers that are quantized, so a fold that splits
them would test a form on what it has already seen, and the wigglier form would win. Of the forms
within one standard error of the best, the one with the fewest coefficients is taken (one-standard-
error rule: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, section 7.10).

Intervals hold for this float parent and these test items: noise that all points share because they
answer the same items is not in them.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from qlab.classifier.curve_fitting import (
    CONSTANT,
    EXPONENTIAL,
    LINEAR,
    OFFSET_POWER,
    POWER,
    PROPORTIONAL,
    QUADRATIC,
    SATURATING,
    STEP,
    Data,
    Form,
    Z,
    cross_validated,
    fitted,
)
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate

FEWEST = 4  # values of k; with three, a fold is left with two and any line through them fits


# Tried for the loss over k.
LOSS_FORMS = (CONSTANT, PROPORTIONAL, LINEAR, POWER, EXPONENTIAL, SATURATING, OFFSET_POWER)
SIZE_FORMS = (CONSTANT, LINEAR, QUADRATIC, OFFSET_POWER, STEP)  # tried for the size over k

_UNITS = {"loss": (100, ".2f", " pp"), "size": (1e-3, ",.1f", " KB")}


class Fit(NamedTuple):
    """A formula with its intervals and what speaks for and against it."""

    name: str  # of the form
    quantity: str  # "loss" (share of the items) or "size" (bytes)
    against: str  # "k" (x = k/N) or "share"
    formula: str  # a sentence with the numbers; loss in percentage points, size in KB
    coefficients: dict[str, Estimate]  # in shares and bytes
    flat: bool  # the data cannot tell the slope from zero
    r2: float  # share of the variance that the curve explains
    rmse: float  # root mean square of what it misses, in the unit of the quantity
    seed_noise: float  # standard deviation between seeds of one k; NaN without repeats
    chi2_per_degree: float  # about 1 where the curve misses points only by their noise; else NaN
    lack_of_fit_p: float  # small: the curve misses means of k by more than seeds explain; else NaN
    cv_rmse: float  # on values of k left out
    n: int  # points it was fitted to
    lowest: float  # the measured range of x; outside, `predict` extrapolates
    highest: float  # upper end of that range
    at: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # curve and its standard error

    def predict(self, x: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value and 95 % prediction interval at x (k/N or share): where one new model would lie.

        Holds the curve's uncertainty and the scatter of single models around it.
        """
        value, error = self.at(np.atleast_1d(np.asarray(x, float)))
        return value, value - Z * error, value + Z * error


def loss_formula(
    points: pd.DataFrame, layers: int, against: Literal["k", "share"] = "k", seed: int = 0
) -> Fit:
    """The formula of accuracy loss for one `where` ("first" or "last") and bit width.

    `points` has the columns where, k, bits, seed, share, loss, loss_se; `layers` is N. A point
    weighs by its own standard error and the scatter between seeds beyond it. QlabError: several
    curves in one table, fewer than four values of k, numbers missing.
    """
    return _best(_loss_data(points, layers, against), LOSS_FORMS, "loss", against, layers, seed)


def size_formula(
    points: pd.DataFrame, layers: int, against: Literal["k", "share"] = "share", seed: int = 0
) -> Fit:
    """The formula of the file's size in bytes, otherwise like `loss_formula`."""
    return _best(_size_data(points, layers, against), SIZE_FORMS, "size", against, layers, seed)


def compared(
    points: pd.DataFrame,
    layers: int,
    quantity: Literal["loss", "size"] = "loss",
    against: Literal["k", "share"] = "k",
) -> pd.DataFrame:
    """How the forms did on values of k left out.

    Columns form, parameters, cv_rmse, cv_error, cv_se, chosen; cv_error is in squared standard
    deviations of a point, cv_se is its standard error over folds.
    """
    make, forms = {"loss": (_loss_data, LOSS_FORMS), "size": (_size_data, SIZE_FORMS)}[quantity]
    return cross_validated(make(points, layers, against), forms)


def _best(data: Data, forms, quantity: str, against: str, layers: int, seed: int) -> Fit:
    table = cross_validated(data, forms)
    chosen = table[table["chosen"]].iloc[0]
    form = next(f for f in forms if f.name == chosen["form"])
    estimates, at = fitted(form, data, seed)
    slope = (estimates if "b" in estimates else fitted(LINEAR, data, seed)[0])["b"]
    flat = slope.low <= 0 <= slope.high
    return Fit(
        form.name, quantity, against, _sentence(form, estimates, slope, quantity, against, layers),
        estimates, flat, *_goodness(data, at(data.x)[0], len(form.names)),
        float(chosen["cv_rmse"]), len(data.y), float(data.x.min()), float(data.x.max()), at,
    )  # fmt: skip


def _sentence(form: Form, found: dict, slope: Estimate, quantity: str, against: str, layers: int):
    x = f"(k/{layers})" if against == "k" else "share"
    words = {n: _written(e, *_UNITS[quantity]) for n, e in found.items() if n != "c"}
    if "c" in found:
        words["c"] = _written(found["c"], 1, ".2f", "")
    text = f"{quantity} = {form.text.format(x=x, **words)}"
    line = _written(slope, *_UNITS[quantity])
    if form is CONSTANT:
        text += f" whatever {x} is (a straight line's slope: {line})"
    if slope.low <= 0 <= slope.high:
        text += "; the data cannot tell the slope from zero"
    return text + "."


def _written(e: Estimate, scale: float, form: str, unit: str) -> str:
    value, low, high = (f"{scale * v:{form}}" for v in e[:3])
    text = f"{value} [{low}, {high}]{unit}"
    return f"({text})" if value.startswith("-") else text


def _goodness(data: Data, curve: np.ndarray, used: int) -> tuple[float, ...]:
    """R^2, RMSE, noise between seeds, chi^2 per degree of freedom, p of the lack-of-fit F test."""
    missed, n = data.y - curve, len(data.y)
    noise, repeats = _between_seeds(data.y, data.group)
    groups = n - repeats
    total = ((data.y - data.y.mean()) ** 2).sum()
    r2 = 1 - (missed**2).sum() / total if total > 0 else np.nan
    rmse = np.sqrt(np.mean(missed**2))
    if not noise > 0:  # no repeats, or sizes, which do not scatter
        return float(r2), float(rmse), noise, np.nan, np.nan
    chi2 = ((missed / data.sigma) ** 2).sum() / (n - used)
    pure = pd.Series(data.y / data.sigma).groupby(data.group).transform(lambda y: y - y.mean())
    curved = max(((missed / data.sigma) ** 2).sum() - (pure**2).sum(), 0) / (groups - used)
    p = stats.f.sf(curved / ((pure**2).sum() / repeats), groups - used, repeats)
    return float(r2), float(rmse), noise, float(chi2), float(p)


def _between_seeds(y: np.ndarray, group: np.ndarray) -> tuple[float, int]:
    """Pooled standard deviation within a k (NaN without repeats) and its degrees of freedom."""
    apart = pd.Series(y).groupby(group).transform(lambda v: v - v.mean())
    repeats = len(y) - len(np.unique(group))
    return (float(np.sqrt((apart**2).sum() / repeats)) if repeats else float("nan")), repeats


def _loss_data(points: pd.DataFrame, layers: int, against: str) -> Data:
    x, group = _checked(points, layers, against, ["loss", "loss_se"])
    y, error = points["loss"].to_numpy(float), points["loss_se"].to_numpy(float)
    noise, _ = _between_seeds(y, group)
    beyond = max(np.nan_to_num(noise) ** 2 - np.mean(error**2), 0)  # moments, as in meta-analysis
    sigma = np.sqrt(error**2 + beyond)
    typical = np.sqrt(np.mean(sigma**2)) or 1.0
    # A point without flips has no standard error; none may count over four times the average one.
    return Data(x, y, np.maximum(sigma, typical / 2), group)


def _size_data(points: pd.DataFrame, layers: int, against: str) -> Data:
    x, group = _checked(points, layers, against, ["size_bytes"])
    y = points["size_bytes"].to_numpy(float)
    return Data(x, y, np.ones(len(y)), group)


def _checked(
    points: pd.DataFrame, layers: int, against: str, columns: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """x and k of each point; QlabError where no formula can come of them."""
    if missing := [c for c in ["where", "k", "bits", "share", *columns] if c not in points]:
        raise QlabError(f"The points lack the column '{missing[0]}'; found {list(points)}.")
    curves = sorted(
        {(str(w), int(b)) for w, b in zip(points["where"], points["bits"], strict=True)}
    )
    if len(curves) != 1 or curves[0][0] not in ("first", "last"):
        raise QlabError(
            "A formula is fitted to one curve, the first or the last k layers at one bit width; "
            f"found {curves}. Select one of them."
        )
    numbers = points[["k", "share", *columns]].to_numpy(float)
    if not np.isfinite(numbers).all():
        raise QlabError(
            f"Point {int(np.argmin(np.isfinite(numbers).all(1)))} has a number missing."
        )
    k = points["k"].to_numpy(int)
    if k.min() < 0 or k.max() > layers:
        raise QlabError(f"k goes from 0 to {layers} layers; found {k.min()} to {k.max()}.")
    if len(set(k)) < FEWEST:
        raise QlabError(
            f"A formula needs at least {FEWEST} values of k; found {len(set(k))} "
            f"({', '.join(map(str, sorted(set(k))))}). Run the sweep with more of them."
        )
    return (k / layers if against == "k" else points["share"].to_numpy(float)), k
