"""Made-up sweeps whose truth is known."""

from collections.abc import Callable

import numpy as np
import pandas as pd

COLUMNS = ["where", "k", "bits", "seed", "share", "loss", "loss_se", "size_bytes"]
FLOAT_BYTES, SAVED_BYTES = 318_000, 220_000


def parameters(layers: int, spread: float = 0.0) -> np.ndarray:
    """Layers' parameters, growing with depth as a ResNet's do; `spread` shuffles them a little."""
    rng = np.random.default_rng(7)
    return np.round(np.geomspace(100, 10_000, layers) * rng.lognormal(0, spread, layers))


def curve(
    truth: Callable[[float], float],
    layers: int = 20,
    ks: list[int] | None = None,
    noise: float = 0.002,
    seed: int = 0,
    where: str = "last",
) -> pd.DataFrame:
    """A sweep over k, three seeds, whose mean loss is truth(k / N)."""
    rng = np.random.default_rng(seed)
    sizes = parameters(layers)
    ordered = sizes[::-1] if where == "last" else sizes
    share = np.concatenate([[0], np.cumsum(ordered)]) / sizes.sum()
    rows = [
        (where, k, 8, s, share[k], truth(k / layers) + noise * rng.standard_normal(), noise,
         FLOAT_BYTES - SAVED_BYTES * share[k])
        for k in (range(layers + 1) if ks is None else ks)
        for s in range(3)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def places(depth: float, size: float = 0.0, noise: float = 0.001) -> pd.DataFrame:
    """A sweep of all places of 12 layers whose losses add up.

    A layer alone costs `depth` more at the input than at the output, and `size` for each e-fold of
    parameters.
    """
    layers, rng = 12, np.random.default_rng(0)
    counts = parameters(layers, spread=1.5)
    each = 0.005 + depth * np.linspace(1, 0, layers) + size * np.log(counts / counts.mean())
    chosen = {"first": lambda k: range(k), "last": lambda k: range(layers - k, layers),
              "only": lambda k: [k - 1]}  # fmt: skip
    rows = []
    for where, layers_of in chosen.items():
        for k in range(1, layers + 1):
            of = list(layers_of(k))
            for s in range(3):
                loss = each[of].sum() + noise * rng.standard_normal()
                rows.append((where, k, 8, s, counts[of].sum() / counts.sum(), loss, noise, 1))
    return pd.DataFrame(rows, columns=COLUMNS)
