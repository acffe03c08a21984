"""Curves of the accuracy loss over k, how many of N layers are quantized, and how they are fitted.

Nothing quantized loses nothing, and all N layers are the same from either end: so every form is 0
at k = 0 and one value b at k = N, the same for the last and the first k; only its shape c differs
by end. A form is linear in b, so the fit is weighted least squares at each shape of a grid, and the
best of them (variable projection: Golub and Pereyra 1973); no optimizer can fail.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Form(NamedTuple):
    """A family of curves over x = k/N: `at(x, c)` is 0 at x = 0 and 1 at x = 1."""

    name: str  # as the tables say it
    at: Callable[[np.ndarray, float], np.ndarray]
    text: str  # the formula, with {x}, {b} and {c} in braces
    shapes: Sequence[float] = (np.nan,)  # values of c to try; one NaN where there is no c


_RATES = np.geomspace(0.3, 15, 40)
NONE = Form("none", lambda x, c: 0 * x, "0")
PROPORTIONAL = Form("proportional", lambda x, c: x, "{b} × {x}")
POWER = Form("power", lambda x, c: x**c, "{b} × {x}^c, c = {c}", np.geomspace(0.15, 8, 80))
EXPONENTIAL = Form(  # of a negative c it saturates
    "exponential", lambda x, c: np.expm1(c * x) / np.expm1(c),
    "{b} × (exp(c {x}) - 1) / (exp(c) - 1), c = {c}", np.concatenate([-_RATES[::-1], _RATES]),
)  # fmt: skip
FORMS = (NONE, PROPORTIONAL, POWER, EXPONENTIAL)


class Data(NamedTuple):
    """Losses of one bit width; all [n]."""

    x: np.ndarray  # k/N, 0..1
    y: np.ndarray  # loss as a share of the items
    sigma: np.ndarray  # standard deviation of each y, up to a factor
    k: np.ndarray  # layers quantized
    first: np.ndarray  # whether layers are counted from the input

    def means(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which place (k of an end) each point is of; each place's weight and weighted mean."""
        _, place = np.unique(np.stack([self.k, self.first]), axis=1, return_inverse=True)
        weight = np.bincount(place.ravel(), self.sigma**-2.0)
        return place.ravel(), weight, np.bincount(place.ravel(), values / self.sigma**2) / weight


class Fitted(NamedTuple):
    """A form's coefficients for m outcomes."""

    form: Form
    b: np.ndarray  # [m], the loss of all N layers
    c: np.ndarray  # [m, 2], the shape of the last and of the first k

    def at(self, x: np.ndarray, first: np.ndarray) -> np.ndarray:
        """The curves [m, n]."""
        shape = np.where(first, self.c[:, [1]], self.c[:, [0]])
        return self.b[:, None] * self.form.at(x[None], shape)


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
    b, shapes = top[np.arange(len(y)), last, first] / below[last, first], np.asarray(form.shapes)
    return Fitted(form, b, np.stack([shapes[last], shapes[first]], 1))


def parameters(form: Form, data: Data) -> int:
    """How many numbers are fitted: none, b, or b and a shape for each end that there is."""
    shapes = len(np.unique(data.first[data.x < 1])) if len(form.shapes) > 1 else 0
    return 0 if form is NONE else 1 + shapes
