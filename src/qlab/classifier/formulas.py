"""Accuracy loss and size as formulas of how much is quantized: k of N layers, or their share.

Intervals hold for this float parent and these test items.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats

from qlab.classifier.forms import (
    ENDS,
    FORMS,
    NONE,
    Data,
    Form,
    Z,
    cross_validated,
    lack_of_fit,
    parameters,
    redrawn,
    solve,
)
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate

FEWEST = 4  # values of k; with three, a fold is left with two and any line through them fits


class Fit(NamedTuple):
    """A formula with its intervals and what speaks for and against it."""

    name: str  # of the form
    formula: str  # a sentence with the numbers; loss in percentage points, size in KB
    coefficients: dict[str, Estimate]  # in shares and bytes
    r2: float  # share of the variance that the curve explains
    n: int  # points it was fitted to
    lowest: float  # the measured range of x; outside, `predict` extrapolates
    highest: float  # upper end of that range
    at: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]  # see `predict`
    lack: float = float("nan")  # p of `lack_of_fit`
    left_out: float = float("nan")  # root mean square of errors on values of k left out

    def predict(self, x: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value and 95 % prediction interval at x: where one new model would lie.

        Holds the curve's uncertainty and the scatter of single models around it.
        """
        return self.at(np.atleast_1d(np.asarray(x, float)))


Fits = dict[tuple[str, int], tuple[Fit, Fit]]  # where, bits -> loss over k/N, size over the share


def loss_formulas(points: pd.DataFrame, layers: int, seed: int = 0) -> dict[str, Fit]:
    """The formula of accuracy loss over k/N of one bit width, by end ("last", "first").

    `points` has the columns where, k, bits, seed, share, loss, loss_se; `layers` is N.
    QlabError: several bit widths, fewer than four values of k, numbers missing.
    """
    data = loss_data(points, layers)
    table = cross_validated(data)
    chosen = table[table["chosen"]].iloc[0]
    form = next(f for f in FORMS if f.name == chosen["form"])
    return fitted(form, data, layers, float(chosen["left_out"]), seed)


def fitted(
    form: Form, data: Data, layers: int, left_out: float = float("nan"), seed: int = 0
) -> dict[str, Fit]:
    """A form's formula of each end that there is."""
    whole = solve(form, data, data.y[None])
    curve, count = whole.at(form, data.x, data.first)[0], parameters(form, data)
    degrees = data.places[1] - count
    draws = redrawn(form, data, curve, degrees, seed)
    spread = np.sqrt(((data.y - curve) ** 2).sum() / (len(data.y) - count))
    single = spread * stats.t.ppf(0.975, degrees) / Z
    missed, total = ((data.y - curve) ** 2).sum(), ((data.y - data.y.mean()) ** 2).sum()
    r2 = float(1 - missed / total) if total > 0 else np.nan
    lack, n, found = lack_of_fit(data, curve, count), len(data.y), {}
    for which, end in enumerate(ENDS):
        if not (mine := data.first == bool(which)).any():
            continue
        b = Estimate(float(whole.b[0]), *_around(float(whole.b[0]), draws.b), n)
        c = float(whole.c[0, which])
        shape = Estimate(c, *_around(c, draws.c[:, which]), n) if form.shaped else None
        named = {} if form is NONE else {"b": b} | ({"c": shape} if shape else {})

        def at(x: np.ndarray, first=bool(which)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            side = np.full(len(x), first)
            value = whole.at(form, x, side)[0]
            error = Z * np.hypot(draws.at(form, x, side).std(0), single)
            return value, value - error, value + error

        text = _sentence(form, named, layers, left_out, lack)
        highest = max(float(data.x[mine].max()), float(end == "first"))  # all N are the last N too
        found[end] = Fit(form.name, text, named, r2, n, 0.0, highest, at, lack, left_out)
    return found


def _sentence(form: Form, named: dict, layers: int, left_out: float, lack: float) -> str:
    words = {"b": _written(named["b"], 100, ".2f", " pp")} if "b" in named else {}
    words |= {"c": _written(named["c"], 1, ".2f", "")} if "c" in named else {}
    text = f"loss = {form.text.format(x=f'(k/{layers})', **words)}"
    if "b" in named and named["b"].low <= 0 <= named["b"].high:
        text += "; the data cannot tell it from zero"
    text += f"; lack of fit p = {lack:.2g}" if np.isfinite(lack) else ""
    return f"{text}; off by {100 * left_out:.2f} pp on k left out."


def size_formula(points: pd.DataFrame) -> Fit:
    """The line of the file's size in bytes over the share of weights, of one end and bit width.

    Arithmetic says a line, but for the scales of the channels. QlabError as `loss_formulas`.
    """
    points = points.drop_duplicates("k")
    _checked(points, "size_bytes")
    share, y = (points[column].to_numpy(float) for column in ("share", "size_bytes"))
    line = sm.OLS(y, sm.add_constant(share, has_constant="add")).fit()
    ends = (Estimate(float(v), *map(float, i), len(y)) for v, i in zip(
        line.params, line.conf_int(), strict=True))  # fmt: skip
    named = dict(zip("ab", ends, strict=True))
    a, b = (_written(e, 1e-3, ",.1f", " KB") for e in named.values())

    def at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        told = line.get_prediction(sm.add_constant(x, has_constant="add")).summary_frame()
        return tuple(told[c].to_numpy() for c in ("mean", "obs_ci_lower", "obs_ci_upper"))

    text, r2 = f"size = {a} + {b} × share.", float(line.rsquared)
    return Fit("line", text, named, r2, len(y), float(share.min()), float(share.max()), at)


def _around(value: float, draws: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return min(float(low), value), max(float(high), value)


def _written(e: Estimate, scale: float, form: str, unit: str) -> str:
    value, low, high = (f"{scale * v:{form}}" for v in e[:3])
    text = f"{value} [{low}, {high}]{unit}"
    return f"({text})" if value.startswith("-") else text


def loss_data(points: pd.DataFrame, layers: int) -> Data:
    """Losses over k/N; one weighs by its standard error and the scatter of seeds beyond it."""
    k = _checked(points, "loss", "loss_se")
    y, error = points["loss"].to_numpy(float), points["loss_se"].to_numpy(float)
    seeds = points.groupby(["where", "k"])["loss"]
    apart = seeds.transform(lambda v: v - v.mean())
    repeats = len(y) - seeds.ngroups
    between = float((apart**2).sum() / repeats) if repeats else 0.0
    beyond = max(between - np.mean(error**2), 0)  # moments, as in meta-analysis
    sigma = np.sqrt(error**2 + beyond)
    typical = np.sqrt(np.mean(sigma**2)) or 1.0
    # A point without flips has no standard error; none may count over four times the average one.
    first = (points["where"] == "first").to_numpy()
    return Data(k / layers, y, np.maximum(sigma, typical / 2), k, first)


def _checked(points: pd.DataFrame, *columns: str) -> np.ndarray:
    """k of each point; QlabError where no formula can come of them."""
    found = sorted({int(b) for b in points["bits"]}), sorted(set(points["where"]))
    if len(found[0]) != 1 or not set(found[1]) <= set(ENDS):
        raise QlabError(
            "A formula is fitted to the last and the first k layers at one bit width; found the "
            f"bit widths {found[0]} and the places {', '.join(found[1])}. Select one of them."
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
