"""Random-effects meta-analysis of the improvements, beside the synthesis of beliefs.

It needs a variance: a standard error that was given, or the spread of several runs. Models without
one (a single run, a file's size) cannot take part, which is why the paper chose another method.
"""

import warnings

import numpy as np
import pandas as pd
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.tools.sm_exceptions import InvalidTestWarning

from qlab.core.stats import Estimate


def random_effects(rows: pd.DataFrame) -> tuple[Estimate, float] | None:
    """Mean improvement in percent of some models, and I^2; None for fewer than 2 of known variance.

    Paule and Mandel's random effects (1982) with Hartung and Knapp's t interval (2001), by
    statsmodels; I^2 is the share of the variation that is not chance within the models.
    """
    spread = (rows["std"] ** 2 / rows["runs"]).where(rows["runs"] > 1)
    squared = (rows["standard_error"] ** 2).fillna(spread)
    squared = squared[squared > 0]
    if len(squared) < 2:
        return None
    values = rows.loc[squared.index, "improvement"].to_numpy(float)
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        # It warns about single models' intervals, not shown here. Equal models: I^2 is 1 - 1 / 0.
        warnings.simplefilter("ignore", InvalidTestWarning)
        found = combine_effects(values, squared.to_numpy(float), use_t=True)
        row = found.summary_frame().loc["random effect wls"]
    ends = (float(row[name]) for name in ("eff", "ci_low", "ci_upp"))
    return Estimate(*ends, len(squared)), float(np.clip(found.i2, 0, 1))
