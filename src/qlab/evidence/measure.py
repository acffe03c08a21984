"""Syntheses as records, and back.

Model: whose evidence (`six_studies`, `ours`, `six_studies_and_ours`, and with a table of one's own
`given`, `six_studies_and_given`). Variant: a way of weighing it (`evidence_robustness`) or a
technique. Metrics begin with the effect; intensities are numbers from -3 (SN) to 3 (SP). `n` counts
evidence models.
"""

from collections.abc import Mapping

import pandas as pd

from qlab.core import records
from qlab.core.records import Record
from qlab.evidence import intensity
from qlab.evidence.intensity import SCALE
from qlab.evidence.meta import Meta
from qlab.evidence.models import EFFECTS
from qlab.evidence.robustness import ALL, WAYS, is_way
from qlab.evidence.synthesis import Synthesis

EXPERIMENT = "evidence_synthesis"  # in the records
DATASET = "ssm_2505_00816"  # in the records
SIX, OURS, BOTH = "six_studies", "ours", "six_studies_and_ours"
GIVEN, SIX_AND_GIVEN = "given", "six_studies_and_given"
RANDOM_EFFECTS = "random_effects"  # variant of the meta-analysis' records
PACKAGES = ["numpy", "pandas", "statsmodels"]  # whose versions the provenance names
_MIDDLE = SCALE.index("IF")


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
    return [
        Record(EXPERIMENT, model, DATASET, variant, f"{effect}_{name}", float(value), unit,
               n=synthesis.models)
        for effect, synthesis in found.items()
        for name, (value, unit) in _numbers(synthesis, in_full=variant == ALL).items()
    ]  # fmt: skip


def _numbers(found: Synthesis, in_full: bool) -> dict[str, tuple[float, str]]:
    numbers = {"conflict": (found.conflict, "1")}
    if in_full:
        numbers |= {
            "plausibility": (found.plausibility, "1"),
            "conflict_pairwise": (found.pairwise, "1"),
            "conflict_last_step_low": (found.last_steps[0], "1"),
            "conflict_last_step_high": (found.last_steps[1], "1"),
            "studies": (found.studies, "study"),
        }
    for reading, suffix in ((found.reading, ""), (found.reading_a, "_reading_a")):
        low, high = intensity.ends(reading.intensity)
        numbers[f"belief{suffix}"] = (reading.belief, "1")
        numbers[f"intensity_low{suffix}"] = (low, "step")
        numbers[f"intensity_high{suffix}"] = (high, "step")
    return numbers


def of_meta(model: str, found: Mapping[str, Meta]) -> list[Record]:
    """The random-effects means of the improvements, with intervals."""
    made = []
    for effect, meta in found.items():
        e, here = meta.improvement, (EXPERIMENT, model, DATASET, RANDOM_EFFECTS)
        made += [
            Record(*here, f"{effect}_improvement", e.value, "percent", e.low, e.high, e.n),
            Record(*here, f"{effect}_i_squared", meta.i_squared, "1", n=e.n),
        ]
    return made


def wide(table: pd.DataFrame, model: str, variant: str, suffix: str = "") -> pd.DataFrame:
    """Intensity (as written), its ends, belief, conflict and n: a row per effect, in their order.

    `suffix` is `_reading_a` for the other reading. Effects without records have no row.
    """
    here = table[(table["model"] == model) & (table["variant"] == variant)].set_index("metric")
    rows = {}
    for effect in EFFECTS:
        if f"{effect}_belief" in here.index:
            low, high = (
                int(here.at[f"{effect}_intensity_{end}{suffix}", "value"])
                for end in ("low", "high")
            )
            rows[effect] = {
                "intensity": intensity.label(SCALE[_MIDDLE + low : _MIDDLE + high + 1]),
                "low": low, "high": high,
                "belief": here.at[f"{effect}_belief{suffix}", "value"],
                "conflict": here.at[f"{effect}_conflict", "value"],
                "models": int(here.at[f"{effect}_belief", "n"]),
            }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def widest(table: pd.DataFrame) -> str:
    """The six studies with ours where we have records, else alone."""
    return BOTH if BOTH in set(table["model"]) else SIX


def conflicts(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Of all models, a row per effect: K of all at once, mean K of two, K of the last step."""
    here = table[(table["model"] == model) & (table["variant"] == ALL)].set_index("metric")["value"]
    step = "conflict_last_step"
    named = {"all": "conflict", "pairwise": "conflict_pairwise",
             "last_low": f"{step}_low", "last_high": f"{step}_high"}  # fmt: skip
    effects = [e for e in EFFECTS if f"{e}_conflict" in here.index]
    return pd.DataFrame(
        {title: [here[f"{e}_{m}"] for e in effects] for title, m in named.items()}, effects
    )


def ways(table: pd.DataFrame, model: str) -> list[str]:
    """The ways in which a body of evidence was weighed, the method's own first."""
    return sorted((v for v in _variants(table, model) if is_way(v)), key=_place)


def techniques(table: pd.DataFrame, model: str) -> list[str]:
    """The techniques in a body of evidence, sorted."""
    return sorted(v for v in _variants(table, model) if not is_way(v))


def _variants(table: pd.DataFrame, model: str) -> set[str]:
    rows = records.pick(table, [f"{e}_belief" for e in EFFECTS], model=model)
    return set(rows["variant"])


def _place(way: str) -> tuple[int, str]:
    return (WAYS.index(way) if way in WAYS else len(WAYS), way)
