"""Random-effects meta-analysis of the improvements, beside the synthesis of beliefs.

It needs a variance for each evidence model: a standard error that was given, or the spread of
several runs. Models without one (a single run, a file's size) cannot take part, which is why the
paper chose another method.
"""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.tools.sm_exceptions import InvalidTestWarning

from qlab.core.stats import Estimate
from qlab.evidence.models import EFFECTS


class Meta(NamedTuple):
    """The mean effect of a population of studies."""

    improvement: Estimate  # percent, with its 95 % interval; n counts the evidence models
    i_squared: float  # share of the variation that is not chance within the models


def variances(table: pd.DataFrame) -> pd.Series:
    """Squared standard errors in percent squared; NaN where none is known or it is 0."""
    spread = table["std"] ** 2 / table["runs"]
    known = (table["standard_error"] ** 2).fillna(spread.where(table["runs"] > 1))
    return known.where(known > 0)


def random_effects(rows: pd.DataFrame) -> Meta | None:
    """Paule and Mandel's random effects with Hartung and Knapp's t interval; None below 2 models.

    Paule and Mandel 1982; Hartung and Knapp 2001, by `statsmodels.stats.meta_analysis`.
    """
    squared = variances(rows)
    usable = squared.notna()
    if usable.sum() < 2:
        return None
    values = rows.loc[usable, "improvement"].to_numpy(float)
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        # Of the single models' intervals, which are not shown. Equal models: I^2 is 1 - 1 / 0.
        warnings.simplefilter("ignore", InvalidTestWarning)
        found = combine_effects(values, squared[usable].to_numpy(float), use_t=True)
        row = found.summary_frame().loc["random effect wls"]
    mean, low, high = (float(row[name]) for name in ("eff", "ci_low", "ci_upp"))
    estimate = Estimate(mean, low, high, int(usable.sum()))
    return Meta(estimate, float(np.clip(found.i2, 0, 1)))


def by_effect(table: pd.DataFrame) -> dict[str, Meta]:
    """The effects with at least two models of known variance."""
    found = {e: random_effects(table[table["effect"] == e]) for e in EFFECTS}
    return {effect: meta for effect, meta in found.items() if meta is not None}
