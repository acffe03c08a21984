"""GPTQ in a dozen lines of numpy: later columns make up for the errors that rounding made.

Frantar et al. 2023, arXiv 2210.17323. Column by column: round, and adjust the columns still to come
so that the layer's outputs change least (equation 2). The inverse Hessians of the remaining columns
are rows of one Cholesky factor (section 3, step 3). The paper's batches and groups are left out;
`qlab.language.gptq` has the real library's code.
"""

import numpy as np

from qlab.by_hand.grid import Grid, round_trip

DAMPING = 0.01  # share of H's mean diagonal that is added to H's diagonal: the paper's default


def gptq(weight: np.ndarray, moments: np.ndarray, grid: Grid) -> np.ndarray:
    """Weights [out, in] on the grid, chosen column by column, each making up for earlier errors.

    `moments` is H = mean of x x^T over calibration inputs x, [in, in].
    """
    damped = moments + DAMPING * np.diag(moments).mean() * np.eye(len(moments))
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # upper triangular U, H^-1 = U^T U
    left, chosen = weight.astype(float), np.empty(weight.shape)
    for j in range(weight.shape[1]):
        chosen[:, [j]] = round_trip(left[:, [j]], grid)
        error = (left[:, j] - chosen[:, j]) / factor[j, j]
        left[:, j:] -= np.outer(error, factor[j, j:])
    return chosen
