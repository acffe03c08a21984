"""Does quantizing the first layers hurt more than the last? The midterm's hypothesis, judged.

The first layers of a ResNet hold few parameters and the last ones most of them, so the two are
compared where equally much is quantized: `by_share` on the curves of the first k and the last k,
`by_depth` on single layers, with their size as a covariate. A difference is the loss of the first
minus that of the last, as a share of the test items, for one float parent and one test set: what
varies is the training's seed or, in `by_depth`, the layer.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.power import TTestPower

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate, Z, student


class Verdict(NamedTuple):
    """One comparison of the first layers with the last."""

    question: str  # what is compared, in words
    difference: Estimate  # loss of the first minus loss of the last; n counts the units compared
    p_value: float  # two-sided, of no difference; NaN where nothing scatters: no test is possible
    detectable: float  # smallest difference that a 5 % test sees with 80 % power
    test: str  # in words


def points_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row per quantized point of a sweep's records, except those on corrupted data. Columns:
    method (qat or ptq), where, k, bits, seed, share (of the weights), loss (of accuracy, relative
    to the float parent), loss_se, size_bytes."""
    plain = table[table["condition"].isna() & table["method"].isin(["qat", "ptq"])]
    found = records.pick(plain, "accuracy_difference")
    of = {
        name: found["variant"].map(records.pick(plain, metric).set_index("variant")["value"])
        for name, metric in {"share": "quantized_share", "size_bytes": "size_bytes"}.items()
    }
    spread = (found["ci_high"] - found["ci_low"]) / (2 * Z)
    found = found.assign(loss=-found["value"], loss_se=spread, seed=found["seed"].fillna(0), **of)
    columns = ["method", "where", "k", "bits", "seed", "share", "loss", "loss_se", "size_bytes"]
    whole = dict.fromkeys(("k", "bits", "seed"), int)
    return found[columns].astype(whole).reset_index(drop=True)


def each_alone(points: pd.DataFrame, layers: int) -> pd.DataFrame:
    """Points of one layer each, k counted from the input: `first1` is layer 1, `last1` the last."""
    ends = points[(points["k"] == 1) & points["where"].isin(["first", "last"])]
    ends = ends.assign(k=np.where(ends["where"] == "first", 1, layers), where="only")
    return pd.concat([points[points["where"] == "only"], ends], ignore_index=True)


def by_share(points: pd.DataFrame, layers: int) -> Verdict:
    """Compare first with last where equally much is quantized, at one bit width.

    For each seed, the curve of the last k is interpolated at the shares of the first k (only inside
    the measured range), and the differences are averaged; t interval and t test over seeds.
    QlabError: fewer than two seeds whose shares overlap.
    """
    found, ends = [], [points[points["where"] == end] for end in ("first", "last")]
    for seed in sorted(set(ends[0]["seed"]) & set(ends[1]["seed"])):
        first, last = (end[end["seed"] == seed].sort_values("share") for end in ends)
        at = first[first["k"].between(1, layers - 1)]
        at = at[at["share"].between(last["share"].min(), last["share"].max())]
        if len(at):
            found.append((at["loss"] - np.interp(at["share"], last["share"], last["loss"])).mean())
    if len(found) < 2:
        raise QlabError(
            f"At equal share at least 2 seeds that overlap are compared; found {len(found)}."
        )
    found, method = np.array(found), f"t test over {len(found)} seeds at equal share"
    least = _detectable(found)
    return Verdict("Equally many parameters", student(found), _t_test(found), least, method)


def by_depth(points: pd.DataFrame, layers: int) -> Verdict:
    """Layers quantized alone: does depth matter beyond the layer's size?

    Least squares of a layer's loss, averaged over seeds, on its relative depth (0 is the input, 1
    the output) and the logarithm of its share of the parameters. The layer is the unit, and the
    difference is minus the coefficient of depth. QlabError: fewer than 6 layers.
    """
    alone = points[points["where"] == "only"]
    table = alone.groupby("k", as_index=False)[["loss", "share"]].mean()
    if len(table) < 6 or not (table["share"] > 0).all():
        raise QlabError(
            "Layers quantized alone, where = 'only', are compared with at least 6 of them, whose "
            f"share of the parameters is above 0; found {(table['share'] > 0).sum()}."
        )
    table = table.assign(depth=(table["k"] - 1) / (layers - 1), size=np.log(table["share"]))
    fit = smf.ols("loss ~ depth + size", table).fit()
    low, high = fit.conf_int().loc["depth"]
    return Verdict(
        "A layer alone, at equal size",
        Estimate(-float(fit.params["depth"]), -float(high), -float(low), len(table)),
        float(fit.pvalues["depth"]),
        float(stats.t.ppf([0.975, 0.8], fit.df_resid).sum() * fit.bse["depth"]),
        f"regression over {len(table)} layers, correlation of depth and size "
        f"{table['depth'].corr(table['size']):+.2f}",
    )


def _t_test(values: np.ndarray) -> float:
    """p of a mean of zero; NaN where nothing scatters, because nothing can then be tested."""
    return math.nan if np.ptp(values) < 1e-12 else float(stats.ttest_1samp(values, 0).pvalue)


def _detectable(values: np.ndarray) -> float:
    """Smallest mean that a paired t test detects with 80 % power; 0 where nothing scatters."""
    effect = TTestPower().solve_power(nobs=len(values), alpha=0.05, power=0.8)
    return float(np.squeeze(effect)) * float(np.std(values, ddof=1))
