"""Write syntheses as records, and read them back.

In a record, model says whose evidence it is; variant, how it was weighed (`robustness`) or a
technique; part, the effect. Intensities are numbers from -3 (SN) to 3 (SP), by reading (b) or, as a
condition, (a). `n` counts evidence models, the metric `studies` their studies.
"""

from functools import partial
from types import SimpleNamespace

import pandas as pd

from qlab.core.records import Record, Recorder, metrics, pick
from qlab.evidence import dempster, intensity, meta, synthesis
from qlab.evidence.models import EFFECTS
from qlab.evidence.robustness import ALL

EXPERIMENT = "evidence_synthesis"  # in the records
SIX, OURS, BOTH = "six_studies", "ours", "six_studies_and_ours"
REAL, EMBEDDED = "ours_real", "ours_embedded"  # parts of ours: published models, qlab's own
GIVEN, SIX_AND_GIVEN = "given", "six_studies_and_given"
RANDOM_EFFECTS = "random_effects"  # variant of the meta-analysis' records
READING_A = "reading_a"  # condition of the records by the other reading
PACKAGES = ["numpy", "pandas", "statsmodels"]  # whose versions the provenance lists
METRICS = metrics(__file__)
_RECORD = Recorder(EXPERIMENT, METRICS)
_CLOCKED = ("inference_latency", "inference_energy")  # effects that our own runs time or meter


# A body of evidence as records name it: model says whose it is, data set the method's paper.
_body = partial(SimpleNamespace, dataset="ssm_2505_00816")


def of_way(model: str, variant: str, table: pd.DataFrame) -> list[Record]:
    """All records of one way of weighing: a synthesis of each effect in the table."""
    made = []
    for effect, rows in table[table["belief"] > 0].groupby("effect"):
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
            here = (_body(model=model), variant)
            made += [_RECORD.counted(*here, m, v, found.models, **about) for m, v in of.items()]
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
    for effect, rows in table.groupby("effect"):
        if found := meta.random_effects(rows):
            mean, i_squared = found
            here, about = (_body(model=model), RANDOM_EFFECTS), _about(model, effect)
            made.append(_RECORD.estimated(*here, "improvement", mean, **about))
            made.append(_RECORD.counted(*here, "i_squared", i_squared, mean.n, **about))
    return made


def wide(table: pd.DataFrame, model: str, variant: str, condition=None) -> pd.DataFrame:
    """One row per effect, ordered as EFFECTS, one column per metric; `condition` as in records.

    Further columns: `models`; `intensity` as text, its ends `low` and `high`; its `direction`
    (better, worse or none); and `told`, such as `WP-PO 0.82`. No rows where nothing was weighed.
    """
    rows = pick(table, list(METRICS), model=model, variant=variant, condition=condition)
    found = rows.pivot(index="part", columns="metric", values="value").rename_axis(None)
    order = [effect for effect in EFFECTS if effect in found.index]
    found = found.reindex(index=order, columns=pd.Index(METRICS))
    low, high = (found[f"intensity_{end}"].astype(int) for end in ("low", "high"))
    ends = list(zip(low, high, strict=True))
    written = pd.Series([intensity.label(intensity.between(*at)) for at in ends], order, object)
    told = written + found["belief"].map(" {:.2f}".format).astype(object)
    read = {"intensity": written, "told": told, "low": low, "high": high}
    read |= {"direction": [intensity.side(*at) for at in ends]}
    return found.assign(**read, models=rows.groupby("part")["n"].first())
