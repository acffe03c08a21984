"""Compare two figures item by item, where the outcomes of single items are kept.

An interval combined from those of two figures ignores that both are of the same items; it is too
wide. Here seeds and items are resampled for both together, as `stats.over_seeds` does.
"""

import numpy as np
import pandas as pd

from qlab.claims.address import Address, spelled, subject
from qlab.core import records, stats
from qlab.core.stats import Estimate, bootstrap_interval, resamples

# By experiment: the metric that is the mean of its items' outcomes, and the column naming an item.
KEPT = {"resnet_qat": ("accuracy", "image"), "transformer_qat": ("accuracy", "sentence"),
        "llama_gptq": ("acc", "passage")}  # fmt: skip
_LEAST = 1e-12  # a spread below this is rounding


def outcomes(items: pd.DataFrame, table: pd.DataFrame, one: Address) -> pd.DataFrame | None:
    """Outcomes with a figure of `table` as mean: rows are seeds, columns items; None: not kept."""
    metric, item = KEPT[table["experiment"].iloc[0]]
    if one.metric.removesuffix("_difference") != metric or one.part:
        return None
    wanted = {"condition": one.condition, "strength": one.strength, "graph": "tflite"}
    wanted |= {"model": one.model or subject(table)[0]}
    for column in wanted.keys() & set(items):
        value = wanted[column]
        items = items[items[column].isna() if value is None else items[column] == value]
    right = items["acc"] if metric == "acc" else items["predicted"] == items["label"]
    seeds = items["seed"].astype(float).fillna(-1) if "seed" in items else -1
    items = items.assign(seed=seeds, right=right.astype(float))

    def of(variant: str) -> pd.DataFrame:
        rows = items[items["variant"] == variant]
        return rows.pivot(index="seed", columns=item, values="right")

    own = of(spelled(one.variant, table))
    return own if metric == one.metric else own - of(records.parent(table, one.metric)).iloc[0]


def both(items: pd.DataFrame, table: pd.DataFrame, pair: tuple[Address, Address]):
    """Outcomes of two figures, [seeds, items] each; None where items or seeds differ."""
    a, b = (outcomes(items, table, one) for one in pair)
    if a is None or b is None or not len(a) * len(b) or not a.columns.equals(b.columns):
        return None
    seeds = max(a.index, b.index, key=len)
    # A figure of one seed is paired with every seed of the other.
    if not all(len(x) == 1 or x.index.equals(seeds) for x in (a, b)):
        return None
    if a.isna().any(axis=None) or b.isna().any(axis=None):
        return None
    return tuple(np.broadcast_to(x.to_numpy(), (len(seeds), len(a.columns))) for x in (a, b))


def difference(a: np.ndarray, b: np.ndarray) -> Estimate | None:
    """Mean of a minus mean of b, both [seeds, items]; None where nothing varies."""
    return None if np.ptp(a - b) < _LEAST else stats.difference_over_seeds(a, b)


def ratio(a: np.ndarray, b: np.ndarray, draws: int = 2000, seed: int = 0) -> Estimate | None:
    """Mean of a over mean of b, both [seeds, items]; None where nothing varies."""
    rows, columns = (resamples(n, draws, seed + i) for i, n in enumerate(a.shape))
    above, under = ((rows * (columns @ x.T)).sum(1) for x in (a, b))
    with np.errstate(divide="ignore", invalid="ignore"):
        samples, value = above / under, float(a.mean() / b.mean())
    if not np.nanstd(samples) > _LEAST:
        return None
    return Estimate(value, *bootstrap_interval(samples, value), len(a) if len(a) > 1 else a.size)
