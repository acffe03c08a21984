"""Syntheses as records, and back.

Model: whose evidence (`six_studies`, `ours`, `six_studies_and_ours`, and with a table of one's own
`given`, `six_studies_and_given`). Variant: a way of weighing it (`robustness`) or a technique.
Part: the effect. Intensities are numbers from -3 (SN) to 3 (SP), by reading (b) or, as a condition,
(a). `n` counts evidence models.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from qlab.core.records import Metric, Record, Recorder, pick
from qlab.evidence import intensity
from qlab.evidence.intensity import SCALE
from qlab.evidence.meta import Meta
from qlab.evidence.models import EFFECTS
from qlab.evidence.robustness import ALL
from qlab.evidence.synthesis import Synthesis

EXPERIMENT = "evidence_synthesis"  # in the records
SIX, OURS, BOTH = "six_studies", "ours", "six_studies_and_ours"
GIVEN, SIX_AND_GIVEN = "given", "six_studies_and_given"
RANDOM_EFFECTS = "random_effects"  # variant of the meta-analysis' records
READING_A = "reading_a"  # condition of what is read off the other way
PACKAGES = ["numpy", "pandas", "statsmodels"]  # whose versions the provenance names
METRICS = {
    "belief": Metric("1"),
    "intensity_low": Metric("step"),
    "intensity_high": Metric("step"),
    "plausibility": Metric("1"),
    "conflict": Metric("1"),  # K of all at once
    "conflict_pairwise": Metric("1"),
    "conflict_last_step_low": Metric("1"),
    "conflict_last_step_high": Metric("1"),
    "studies": Metric("study"),
    "improvement": Metric("percent"),
    "i_squared": Metric("1"),
}
_RECORD = Recorder(EXPERIMENT, METRICS)
_CLOCKED = ("inference_latency", "inference_energy")  # effects that our own runs take with a clock
_MIDDLE = SCALE.index("IF")


class Body(NamedTuple):
    """A body of evidence as records name it."""

    model: str  # six_studies, ours, or both
    dataset: str = "ssm_2505_00816"  # the paper whose method weighs it


def bodies(six: pd.DataFrame, ours: pd.DataFrame, given: pd.DataFrame | None) -> dict:
    """Each body of evidence that has any, by its name in the records."""
    found = {SIX: six, OURS: ours, BOTH: _joined(six, ours)}
    if given is not None:
        found |= {GIVEN: given, SIX_AND_GIVEN: _joined(six, given)}
    if ours.empty:
        found = {name: table for name, table in found.items() if name not in (OURS, BOTH)}
    return found


def _joined(*tables: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def of_syntheses(model: str, variant: str, found: Mapping[str, Synthesis]) -> list[Record]:
    """All that is recorded of a way of weighing."""
    made = []
    for effect, one in found.items():
        of_all = {"conflict": one.conflict} | (_in_full(one) if variant == ALL else {})
        numbers = {None: of_all | _read(one.reading), READING_A: _read(one.reading_a)}
        made += [
            _RECORD.counted(Body(model), variant, metric, value, one.models, condition=condition,
                            **_about(model, effect))
            for condition, read in numbers.items()
            for metric, value in read.items()
        ]  # fmt: skip
    return made


def _in_full(found: Synthesis) -> dict[str, float]:
    return {
        "plausibility": found.plausibility,
        "conflict_pairwise": found.pairwise,
        "conflict_last_step_low": found.last_steps[0],
        "conflict_last_step_high": found.last_steps[1],
        "studies": found.studies,
    }


def _read(reading) -> dict[str, float]:
    low, high = intensity.ends(reading.intensity)
    return {"belief": reading.belief, "intensity_low": low, "intensity_high": high}


def _about(model: str, effect: str) -> dict:
    """The effect, and whether a clock had a part in what this body of evidence says of it."""
    return {"part": effect, "clock": model in (OURS, BOTH) and effect in _CLOCKED}


def of_meta(model: str, found: Mapping[str, Meta]) -> list[Record]:
    """The random-effects means of the improvements, with intervals."""
    made, body = [], Body(model)
    for effect, meta in found.items():
        e, about = meta.improvement, _about(model, effect)
        made += [
            _RECORD.estimated(body, RANDOM_EFFECTS, "improvement", e, **about),
            _RECORD.counted(body, RANDOM_EFFECTS, "i_squared", meta.i_squared, e.n, **about),
        ]
    return made


def wide(
    table: pd.DataFrame, model: str, variant: str, condition: str | None = None
) -> pd.DataFrame:
    """Intensity (as written), its ends, belief, conflict and n: a row per effect, in their order.

    `condition` is READING_A for the other reading. Effects without records have no row.
    """
    here = {"model": model, "variant": variant}
    read = ["belief", "intensity_low", "intensity_high"]
    found = pick(table, read, condition=condition, **here).pivot(
        index="part", columns="metric", values=["value", "n"]
    )
    conflict = pick(table, "conflict", **here).set_index("part")["value"]
    rows = {}
    for effect in (e for e in EFFECTS if e in found.index):
        belief, low, high = (found.at[effect, ("value", metric)] for metric in read)
        low, high = int(low), int(high)
        told = intensity.label(SCALE[_MIDDLE + low : _MIDDLE + high + 1])
        n = int(found.at[effect, ("n", "belief")])
        rows[effect] = (told, low, high, belief, conflict[effect], n)
    columns = ["intensity", "low", "high", "belief", "conflict", "models"]
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)


def by_way(
    table: pd.DataFrame, model: str, ways: Iterable[str], condition: str | None = None
) -> dict[str, pd.DataFrame]:
    """`wide` for those of the ways in which this body of evidence was weighed."""
    there = set(pick(table, "belief", model=model)["variant"])
    return {way: wide(table, model, way, condition) for way in ways if way in there}


def widest(table: pd.DataFrame) -> str:
    """The six studies with ours where we have records, else alone."""
    return BOTH if BOTH in set(table["model"]) else SIX


def conflicts(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Of all models, a row per effect: K of all at once, mean K of two, K of the last step."""
    titles = {
        "conflict": "all",
        "conflict_pairwise": "pairwise",
        "conflict_last_step_low": "last_low",
        "conflict_last_step_high": "last_high",
    }
    rows = pick(table, list(titles), model=model, variant=ALL)
    found = rows.pivot(index="part", columns="metric", values="value")[list(titles)]
    found = found.rename(columns=titles).rename_axis(index=None, columns=None)
    return found.loc[[e for e in EFFECTS if e in found.index]]


def techniques(table: pd.DataFrame, model: str, ways: Iterable[str]) -> list[str]:
    """The techniques in a body of evidence, sorted: what is no way of weighing."""
    return sorted(set(pick(table, "belief", model=model)["variant"]) - set(ways))
