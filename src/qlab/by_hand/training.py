"""Quantization-aware training of one layer in numpy, and the gradient that it needs.

Rounding is flat almost everywhere, so its gradient is 0 and nothing would be learned. The
straight-through estimator (Bengio et al. 2013, arXiv 1308.3432) treats it as the identity; beyond
the range the gradient stays 0, which is clipping's own (Nagel et al. 2021, arXiv 2106.08295,
section 4).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qlab.by_hand.grid import Grid, inside, output_error, round_trip


class Trained(NamedTuple):
    """What training leaves behind."""

    latent: np.ndarray  # the float weights that learned, [out, in]
    weight: np.ndarray  # the same, on the grid: what would be stored
    errors: list[float]  # output error before each step and after the last


def straight_through(latent: np.ndarray, upstream: np.ndarray, grid: Grid) -> np.ndarray:
    """The gradient at the rounded weights, passed on to the float ones that are not clipped."""
    return upstream * inside(latent, grid)


def train(weight: np.ndarray, moments: np.ndarray, grid: Grid,
          gradient: Callable = straight_through, steps: int = 300) -> Trained:  # fmt: skip
    """Train the rounded layer to answer like the float one: least squares by gradient descent.

    The loss is tr(D H D^T) / 2, with D = round_trip(latent) - weight and H the `moments` of the
    inputs; its gradient at the rounded weights is D H. The step is 0.05 over H's largest eigenvalue
    and falls to 0 linearly, or else the weights would hop over rounding's edges for ever.
    """
    latent, errors = weight.astype(float), []
    pace = 0.05 / np.linalg.eigvalsh(moments)[-1]
    for step in range(steps):
        rounded = round_trip(latent, grid)
        errors.append(output_error(weight, rounded, moments))
        upstream = (rounded - weight) @ moments
        latent = latent - pace * (1 - step / steps) * gradient(latent, upstream, grid)
    final = round_trip(latent, grid)
    return Trained(latent, final, [*errors, output_error(weight, final, moments)])
