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


def _best(data: Data, forms, quantity: str, against: str, layers: int, seed: int) -> Fit:
    table = cross_validated(data, forms)
    chosen = table[table["chosen"]].iloc[0]
    form = next(f for f in forms if f.name == chosen["form"])
    estimates, at = fitted(form, data, seed)
    slope = (estimates if "b" in estimates else fitted(LINEAR, data, seed)[0])["b"]
    flat = slope.low <= 0 <= slope.high
    missed = ((data.y - at(data.x)[0]) ** 2).sum()
    total = ((data.y - data.y.mean()) ** 2).sum()
    return Fit(
        form.name, quantity, against, _sentence(form, estimates, slope, quantity, against, layers),
        estimates, flat, float(1 - missed / total) if total > 0 else np.nan, len(data.y),
        float(data.x.min()), float(data.x.max()), at,
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


def _between_seeds(y: np.ndarray, group: np.ndarray) -> float:
    """Pooled standard deviation within a k; 0 without repeats."""
    apart = pd.Series(y).groupby(group).transform(lambda v: v - v.mean())
    repeats = len(y) - len(np.unique(group))
    return float(np.sqrt((apart**2).sum() / repeats)) if repeats else 0.0


def _loss_data(points: pd.DataFrame, layers: int, against: str) -> Data:
    x, group = _checked(points, layers, against, ["loss", "loss_se"])
    y, error = points["loss"].to_numpy(float), points["loss_se"].to_numpy(float)
    beyond = max(
        _between_seeds(y, group) ** 2 - np.mean(error**2), 0
    )  # moments, as in meta-analysis
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
    pairs = zip(points["where"], points["bits"], strict=True)
    curves = sorted({(str(where), int(bits)) for where, bits in pairs})
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
    return (k / layers if against == "k" else points["share"].to_numpy(float)), k
