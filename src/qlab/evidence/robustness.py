"""The same evidence weighed otherwise, as a table of evidence models again: does the answer stay?

The paper counts every configuration of a study in full. Where evidence of our own takes part, a
study has one belief, which its models share: otherwise who tries more variants is believed more.
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from qlab.evidence import models
from qlab.evidence.data import joined

ALL = "all_models"  # every model of a study in full, as the paper counts
SPLIT = "belief_split"  # one belief per study, shared among its models
ONE_EACH = "one_model_per_study"  # a study's models pooled into one
COUNTINGS = (ALL, SPLIT, ONE_EACH)  # a verdict that they turn hangs on counting


def one_per_study(table: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """One evidence model per study: the published one over all its runs, else the rows pooled.

    That is their mean over the configurations; their spread stands in for that of the runs.
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
    """A study's belief in an effect shared by its models: 1 - (1 - B)^(1/n) each.

    n models of one study that agree then weigh together as much as one of them did alone.
    """
    shared = table.groupby(["study", "effect"])["belief"].transform("size")
    return table.assign(belief=1 - (1 - table["belief"]) ** (1 / shared))


def discounted_by_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Beliefs by the authors' later rule, which asks for several runs."""
    return table.assign(belief=[models.later_rule(row) for _, row in table.iterrows()])


def with_cuts(table: pd.DataFrame, cuts: Mapping[str, tuple[float, ...]]) -> pd.DataFrame:
    """Intensities by other cut points, a kind of effect each; improvements and beliefs stay."""
    return table.assign(intensity=[models.by_rule(row, cuts) for _, row in table.iterrows()])


def rebased(table: pd.DataFrame, studies: Iterable[str], base: float) -> pd.DataFrame:
    """Some studies with another base belief: that of ours is our choice, so it is tried."""
    mine = table["study"].isin(set(studies))
    return joined(table[~mine], models.completed(table[mine].assign(base=base)))
