"""Syntheses as records, and back.

Model: whose evidence. Variant: a way of weighing it (`robustness`) or a technique. Part: the
effect. Intensities are numbers from -3 (SN) to 3 (SP), by reading (b) or, as a condition, (a). `n`
counts evidence models, the metric `studies` the studies that they are of.
"""

from typing import NamedTuple

import pandas as pd

from qlab.core.records import Metric, Record, Recorder, pick
from qlab.evidence import dempster, intensity, meta, synthesis
from qlab.evidence.models import EFFECTS
from qlab.evidence.robustness import ALL

EXPERIMENT = "evidence_synthesis"  # in the records
SIX, OURS, BOTH = "six_studies", "ours", "six_studies_and_ours"
REAL, EMBEDDED = "ours_real", "ours_embedded"  # parts of ours: published models, qlab's own
GIVEN, SIX_AND_GIVEN = "given", "six_studies_and_given"
RANDOM_EFFECTS = "random_effects"  # variant of the meta-analysis' records
READING_A = "reading_a"  # condition of what is read off the other way
PACKAGES = ["numpy", "pandas", "statsmodels"]  # whose versions the provenance names
METRICS = {
    **dict.fromkeys(("belief", "plausibility", "i_squared"), Metric("1")),
    **dict.fromkeys(("intensity_low", "intensity_high"), Metric("step")),
    "conflict": Metric("1"),  # K of all at once; of two in the mean, and of the last step by order
    **{f"conflict_{of}": Metric("1") for of in ("pairwise", "last_step_low", "last_step_high")},
    "studies": Metric("study"),
    "improvement": Metric("percent"),
}
_RECORD = Recorder(EXPERIMENT, METRICS)
_CLOCKED = ("inference_latency", "inference_energy")  # effects that our own runs take with a clock


class Body(NamedTuple):
    """A body of evidence as records name it."""

    model: str  # whose evidence
    dataset: str = "ssm_2505_00816"  # the paper whose method weighs it


def of_way(model: str, variant: str, table: pd.DataFrame) -> list[Record]:
    """All that is recorded of a way of weighing: a synthesis of each effect in the table."""
    made = []
    for effect, rows in synthesis.believed(table).items():
        found = synthesis.synthesize(rows)
        numbers = {"conflict": found.conflict, "studies": found.studies, **_read(found.reading)}
        if variant == ALL:
            parts = synthesis.masses(rows)
            steps = dempster.last_step_conflicts(parts)
            numbers |= {"conflict_last_step_low": min(steps), "conflict_last_step_high": max(steps)}
            numbers["conflict_pairwise"] = dempster.pairwise_conflict(parts)
            numbers["plausibility"] = found.plausibility
        for condition, of in ((None, numbers), (READING_A, _read(found.reading_a))):
            about = {"condition": condition, **_about(model, effect)}
            made += [_RECORD.counted(Body(model), variant, metric, value, found.models, **about)
                     for metric, value in of.items()]  # fmt: skip
    return made


def _read(reading: synthesis.Reading) -> dict[str, float]:
    low, high = intensity.ends(reading.intensity)
    return {"belief": reading.belief, "intensity_low": low, "intensity_high": high}


def _about(model: str, effect: str) -> dict:
    """The effect, and whether a clock had a part in what this body of evidence says of it."""
    return {"part": effect, "clock": model in (REAL, OURS, BOTH) and effect in _CLOCKED}


def of_meta(model: str, table: pd.DataFrame) -> list[Record]:
    """The random-effects means of the improvements, with intervals."""
    made = []
    for effect in EFFECTS:
        if found := meta.random_effects(table[table["effect"] == effect]):
            mean, i_squared = found
            here, about = (Body(model), RANDOM_EFFECTS), _about(model, effect)
            made.append(_RECORD.estimated(*here, "improvement", mean, **about))
            made.append(_RECORD.counted(*here, "i_squared", i_squared, mean.n, **about))
    return made


def wide(
    table: pd.DataFrame, model: str, variant: str, condition: str | None = None
) -> pd.DataFrame:
    """A row per effect, in their order, and a column per metric; `condition` as in records.

    Beside them `models`; `intensity` as it is written, its ends `low` and `high`; its `direction`,
    better, worse or none; and `told`, such as `WP-PO 0.82`. Without rows where nothing was weighed.
    """
    rows = pick(table, list(METRICS), model=model, variant=variant, condition=condition)
    found = rows.pivot(index="part", columns="metric", values="value")
    found = found.reindex([effect for effect in EFFECTS if effect in found.index])
    low, high = (found.get(f"intensity_{end}", found.sum(axis=1)) for end in ("low", "high"))
    ends = [(int(a), int(b)) for a, b in zip(low, high, strict=True)]
    written = [intensity.label(intensity.between(*at)) for at in ends]
    told = [f"{i} {b:.2f}" for i, b in zip(written, found.get("belief", []), strict=True)]
    return found.assign(
        models=rows.groupby("part")["n"].first(), intensity=written, told=told,
        low=low.astype(int), high=high.astype(int), direction=[intensity.side(*at) for at in ends],
    ).rename_axis(index=None, columns=None)  # fmt: skip
