"""Affine quantization in plain numpy, to be read beside notebook 00.

A real number becomes an integer, and comes back as a multiple of the scale (Jacob et al. 2018,
arXiv 1712.05877, equation 1; Nagel et al. 2021, arXiv 2106.08295, section 2):

    q = clip(round(w / scale) + zero, low, high)        w' = scale * (q - zero)

Weights are float [out, in], with a row for each output channel; errors are shares (1 is 100 %).
"""

from typing import NamedTuple

import numpy as np

from qlab.core.errors import QlabError

BITS = range(2, 17)


class Grid(NamedTuple):
    """The numbers that can be stored: scale * (q - zero) for the integers q from low to high."""

    scale: np.ndarray  # step between neighbours: [1, 1] for all weights, or [out, 1], one a row
    zero: np.ndarray  # the integer that stands for 0; shape as scale
    low: int
    high: int

    def levels(self) -> np.ndarray:
        """All values that can be stored, ascending: [1 or out, high - low + 1]."""
        return self.scale * (np.arange(self.low, self.high + 1) - self.zero)


def symmetric(weight: np.ndarray, bits: int, per_channel: bool = False, clip: float = 1) -> Grid:
    """The same reach on both sides: zero is 0, and the largest magnitude takes the last level.

    One of the 2^bits levels stays unused, so that each has its negative (Jacob et al. 2018, section
    3.1). `clip` keeps that share of the range. QlabError: bits not 2 to 16, clip not above 0 to 1.
    """
    _check(weight, bits, clip)
    high = 2 ** (bits - 1) - 1
    reach = clip * np.abs(weight).max(1 if per_channel else None, keepdims=True)
    scale = _step(reach, high)
    return Grid(scale, np.zeros_like(scale), -high, high)


def asymmetric(weight: np.ndarray, bits: int, per_channel: bool = False, clip: float = 1) -> Grid:
    """A grid from the smallest to the largest weight, 0 included, which an integer, the zero-point,
    represents exactly (padding must cost nothing); all 2^bits levels are used."""
    _check(weight, bits, clip)
    high, axis = 2**bits - 1, 1 if per_channel else None
    bottom = clip * np.minimum(weight.min(axis, keepdims=True), 0)
    top = clip * np.maximum(weight.max(axis, keepdims=True), 0)
    scale = _step(top - bottom, high)
    return Grid(scale, np.round(-bottom / scale), 0, high)


SCHEMES = {"sym": symmetric, "asym": asymmetric}


def quantize(weight: np.ndarray, grid: Grid) -> np.ndarray:
    """The integers that are stored (as float, as numpy rounds); ties go to the even neighbour."""
    return np.clip(np.round(weight / grid.scale) + grid.zero, grid.low, grid.high)


def round_trip(weight: np.ndarray, grid: Grid) -> np.ndarray:
    """Quantize and dequantize, "fake quantization": off by at most scale / 2 where not clipped."""
    return grid.scale * (quantize(weight, grid) - grid.zero)


def inside(weight: np.ndarray, grid: Grid) -> np.ndarray:
    """Which weights lie between the grid's ends, give or take half a step: a bool array."""
    place = weight / grid.scale + grid.zero
    return (place >= grid.low - 0.5) & (place <= grid.high + 0.5)


def weight_error(weight: np.ndarray, other: np.ndarray) -> float:
    """Root mean square of the change, relative to that of the weights."""
    return float(np.sqrt(((other - weight) ** 2).mean() / (weight**2).mean()))


def output_error(weight: np.ndarray, other: np.ndarray, moments: np.ndarray) -> float:
    """The same for the layer's outputs: sqrt(tr(D H D^T) / tr(W H W^T)), D being the change of W.

    `moments` is H = mean of x x^T over inputs x, [in, in]; this is what GPTQ (Frantar et al. 2023,
    arXiv 2210.17323, equation 1) minimizes.
    """
    return float(np.sqrt(energy(other - weight, moments) / energy(weight, moments)))


def energy(matrix: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Mean of |M x|^2 over the inputs x behind `moments`: [...] for moments [..., in, in]."""
    return ((matrix @ moments) * matrix).sum((-2, -1))


def _step(reach: np.ndarray, steps: int) -> np.ndarray:
    """The step that divides the reach equally; where all weights are 0, any step will do."""
    return np.where(reach > 0, reach, steps) / steps


def _check(weight: np.ndarray, bits: int, clip: float) -> None:
    if weight.ndim != 2 or not np.isfinite(weight).all():
        raise QlabError("Weights are a matrix [out, in] of finite numbers; these are not.")
    if bits not in BITS:
        raise QlabError(f"A grid has {BITS[0]} to {BITS[-1]} bits; {bits} were asked for.")
    if not 0 < clip <= 1:
        raise QlabError(f"clip is the share of the range that is kept, above 0 to 1; not {clip}.")
