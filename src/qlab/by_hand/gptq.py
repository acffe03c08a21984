"""GPTQ in a dozen lines of numpy: whoever comes later makes good what rounding spoilt.

Frantar et al. 2023, arXiv 2210.17323. Column by column: round, and let the columns still to come
move so that the layer's outputs change least (equation 2). The inverse Hessians of ever fewer
columns, which equation 2 asks for, are rows of one Cholesky factor (section 3, step 3). The batches
and groups of the paper are left out; `qlab.language.gptq` has the real library's code.
"""

import numpy as np

from qlab.by_hand.grid import Grid, round_trip
from qlab.core.errors import QlabError

DAMPING = 0.01  # of the mean diagonal, added to it: the paper's default


def gptq(
    weight: np.ndarray, moments: np.ndarray, grid: Grid, damping: float = DAMPING
) -> np.ndarray:
    """Weights [out, in] on the grid, chosen one column after the other, earlier errors made good.

    `moments` is H = mean of x x^T over calibration inputs, [in, in]. QlabError where H, damped, is
    not positive definite.
    """
    factor = _factor(moments, damping)
    left, chosen = weight.astype(float), np.empty(weight.shape)
    for j in range(weight.shape[1]):
        chosen[:, [j]] = round_trip(left[:, [j]], grid)
        error = (left[:, j] - chosen[:, j]) / factor[j, j]
        left[:, j:] -= np.outer(error, factor[j, j:])
    return chosen


def compensate(row: np.ndarray, moments: np.ndarray, j: int, value: float) -> np.ndarray:
    """Set one weight of a row [in] to a value and move all others so that the output moves least.

    Equation 2: delta = -(w_j - value) / [H^-1]_jj * [H^-1]_:j.
    """
    inverse = np.linalg.inv(moments)
    return row - (row[j] - value) / inverse[j, j] * inverse[:, j]


def _factor(moments: np.ndarray, damping: float) -> np.ndarray:
    """Upper triangular U with H^-1 = U^T U, after damping."""
    damped = moments + damping * np.diag(moments).mean() * np.eye(len(moments))
    try:
        return np.linalg.cholesky(np.linalg.inv(damped)).T
    except np.linalg.LinAlgError as error:
        raise QlabError(
            "The inputs' moments are not positive definite: give more, other inputs, or more "
            f"damping than {damping:g}."
        ) from error
