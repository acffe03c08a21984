"""The same evidence weighed in other ways, as tables of evidence models: does the answer hold?

The paper counts every configuration of a study in full. Where our own evidence takes part, a study
has one belief, shared by its models: otherwise trying more variants would earn more belief.
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from qlab.evidence import models
from qlab.evidence.data import joined

ALL = "all_models"  # every model of a study in full, as the paper counts
SPLIT = "belief_split"  # one belief per study, shared among its models
ONE_EACH = "one_model_per_study"  # a study's models pooled into one
COUNTINGS = (ALL, SPLIT, ONE_EACH)  # a verdict that changes among them depends on counting


def one_per_study(table: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """One evidence model per study and effect: the published one over all runs, else rows pooled.

    Pooled rows have the mean over configurations, whose spread stands in for that of the runs.
    """
    published = pooled[pooled["study"].isin(table["study"])]
    rest = table[~table["study"].isin(pooled["study"])]
    rows = [_pooled(rows) for _, rows in rest.groupby(["study", "effect"], sort=False)]
    return joined(published, models.completed(rows))


def _pooled(rows: pd.DataFrame) -> dict:
    alike = rows["technique"].iloc[0] if rows["technique"].nunique() == 1 else "mixed"
    about = {"configuration": "all", "technique": alike, "standard_error": float("nan")}
    numbers = models.over_runs(rows["improvement"]) | {"runs": int(rows["runs"].sum())}
    return rows.iloc[0].to_dict() | about | numbers


def belief_split(table: pd.DataFrame) -> pd.DataFrame:
    """A study's belief in an effect, shared among its models: 1 - (1 - B)^(1/n) each.

    n models of one study that agree then weigh as much together as one of them did alone.
    """
    shared = table.groupby(["study", "effect"])["belief"].transform("size")
    return table.assign(belief=1 - (1 - table["belief"]) ** (1 / shared))


def discounted_by_runs(table: pd.DataFrame) -> pd.DataFrame:
    """The table with beliefs by the authors' later rule, which asks for several runs."""
    return table.assign(belief=[models.later_rule(row) for _, row in table.iterrows()])


def with_cuts(table: pd.DataFrame, cuts: Mapping[str, tuple[float, ...]]) -> pd.DataFrame:
    """The table with intensities by other `cuts`, by kind of effect; all else stays the same."""
    return table.assign(intensity=[models.by_rule(row, cuts) for _, row in table.iterrows()])


def rebased(table: pd.DataFrame, studies: Iterable[str], base: float) -> pd.DataFrame:
    """The table with another base belief for some studies: ours is a choice, so it is varied."""
    mine = table["study"].isin(set(studies))
    return joined(table[~mine], models.completed(table[mine].assign(base=base)))
