"""The same evidence weighed otherwise: does the answer stay?

Each variant is a table of evidence models again, for `evidence_synthesis.by_effect`. The two
alternative cut points with a name are those that the authors' later package tests
(`intensity_threshold_sensitivity.py`); 1 % is where quantization counts as lossless in many papers,
75 % is a file of a quarter.
"""

from collections.abc import Iterable

import pandas as pd

from qlab.evidence import intensity
from qlab.evidence import models as evidence_models

ALL = "all_models"  # the evidence as it is
ONE_EACH = "one_model_per_study"  # a study's models pooled into one
LATER = "discount_by_runs"  # the authors' later rule of belief
SPLIT = "belief_split"  # a study's belief shared among its models
Cuts = dict[str, tuple[float, ...]]  # kind of effect: its cut points, percent

THRESHOLDS: dict[str, Cuts] = {
    "cuts_halved": {k: tuple(c / 2 for c in cuts) for k, cuts in intensity.CUTS.items()},
    "cuts_doubled": {k: tuple(2 * c for c in cuts) for k, cuts in intensity.CUTS.items()},
    "indifferent_to_1": {**intensity.CUTS, "correctness": (1, *intensity.CUTS["correctness"][1:])},
    "strong_from_75": {**intensity.CUTS, "resource": (*intensity.CUTS["resource"][:-1], 75)},
}
WAYS = (ALL, ONE_EACH, SPLIT, LATER, *THRESHOLDS)  # variants of the records, in order


def without(study: str) -> str:
    """The way that leaves a study out."""
    return f"without_{study}"


def with_base(base: float) -> str:
    """The way that gives our own evidence another base belief."""
    return f"ours_base_{100 * base:.0f}"


def ways(studies: Iterable[str]) -> list[str]:
    """All ways of weighing the evidence of some studies, the method's own first."""
    others = [*map(without, studies), *map(with_base, evidence_models.BASES)]
    return [*WAYS, *sorted(others)]


def variants(table: pd.DataFrame, pooled: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All ways of weighing, the method's own first; `pooled` as for `one_per_study`."""
    found = {ALL: table, ONE_EACH: one_per_study(table, pooled), SPLIT: belief_split(table)}
    found[LATER] = discounted_by_runs(table)
    found |= {name: with_cuts(table, cuts) for name, cuts in THRESHOLDS.items()}
    studies = list(dict.fromkeys(table["study"]))
    if len(studies) > 1:
        found |= {without(study): table[table["study"] != study] for study in studies}
    return found


def one_per_study(table: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """One evidence model per study: the published one over all its runs, else ours of the rows.

    Ours is the mean over the configurations; their spread stands in for that of the runs.
    """
    studies = set(table["study"])
    published = pooled[pooled["study"].isin(studies)]
    rest = table[~table["study"].isin(set(published["study"]))]
    rows = [_pooled(rows) for _, rows in rest.groupby(["study", "effect"], sort=False)]
    if not rows:
        return published
    own = evidence_models.completed(rows)
    return pd.concat([published, own], ignore_index=True) if len(published) else own


def _pooled(rows: pd.DataFrame) -> dict:
    first, improvement = rows.iloc[0], rows["improvement"]
    alike = rows["technique"].nunique() == 1
    return first.to_dict() | {
        "configuration": "all",
        "technique": first["technique"] if alike else "mixed",
        "improvement": improvement.mean(),
        "iqr": improvement.quantile(0.75) - improvement.quantile(0.25),
        "std": improvement.std() if len(rows) > 1 else 0.0,
        "standard_error": float("nan"),
        "runs": int(rows["runs"].sum()),
    }


def belief_split(table: pd.DataFrame) -> pd.DataFrame:
    """A study's belief in an effect shared by its models: 1 - (1 - B)^(1/n) each.

    n models of one study that agree then weigh together as much as one of them did alone.
    """
    models = table.groupby(["study", "effect"])["belief"].transform("size")
    return table.assign(belief=1 - (1 - table["belief"]) ** (1 / models))


def discounted_by_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Beliefs by the authors' later rule, which asks for several runs."""
    return table.assign(belief=[evidence_models.later_rule(row) for _, row in table.iterrows()])


def with_cuts(table: pd.DataFrame, cuts: Cuts) -> pd.DataFrame:
    """Intensities by other cut points on the same improvements; beliefs stay."""
    found = [
        intensity.from_improvement(improvement, cuts[evidence_models.kind(effect)])
        for improvement, effect in zip(table["improvement"], table["effect"], strict=True)
    ]
    return table.assign(intensity=[intensity.label(i) for i in found])
