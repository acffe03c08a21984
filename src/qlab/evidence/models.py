"""Evidence models: a table of what studies found, read, checked and given beliefs.

A row is one effect of one configuration in one study (`data/evidence/README.md` documents the
columns). The rules are those of arXiv 2505.00816 and its replication package; the later rule is
from the authors' next package (10.5281/zenodo.18401926, `belief_discounts.py`).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from qlab.core.errors import QlabError
from qlab.evidence import intensity

CORRECTNESS = ("accuracy", "f1", "dice", "average_precision")  # effects of which more is better
RESOURCES = (
    "storage_size", "inference_latency", "inference_energy", "inference_power", "gpu_energy",
    "gpu_power", "gpu_memory_utilisation", "gpu_utilisation",
)  # fmt: skip
EFFECTS = CORRECTNESS + RESOURCES  # all that a study may report on
BASES = (0.0, 0.25, 0.5)  # base: simulation, experiment with estimates, controlled experiment
_ROUNDED = 0.0015  # published beliefs have three digits and come from a discount of three digits


def over_runs(improvements: pd.Series) -> dict[str, float]:
    """Mean improvement and its spread over runs, as columns of a row; a single run has spread 0."""
    quarters = improvements.quantile([0.25, 0.75])
    return {"improvement": improvements.mean(), "iqr": quarters[0.75] - quarters[0.25],
            "std": improvements.std() if len(improvements) > 1 else 0.0}  # fmt: skip


def name(effect: str) -> str:
    """An effect for the reader: `gpu_memory_utilisation` as `GPU memory utilisation`."""
    return effect.replace("_", " ").replace("gpu", "GPU").replace("f1", "F1")


def study_belief(row: Mapping) -> float:
    """B = base + 0.25 Q, where Q is the share of yes on the checklist, a mean over its sections."""
    return row["base"] + 0.25 * row["quality"]


def published_rule(row: Mapping) -> float:
    """Belief in an effect by the paper's rule, B (1 - d), d = 1 - exp(-0.1 |IQR / mean|).

    Without spread, all of B is kept; with spread around a mean of 0, nothing is.
    """
    if not row["iqr"]:
        return study_belief(row)
    spread = row["iqr"] / abs(row["improvement"]) if row["improvement"] else math.inf
    return study_belief(row) * math.exp(-0.1 * spread)


def later_rule(row: Mapping) -> float:
    """Belief by the authors' later rule, B a_n a_v: runs count and, from five runs on, spread.

    a_n = 1 - exp(-n / 3); a_v = exp(-0.1 V2) with V2 = s / sqrt(s^2 + mean^2) (Kvålseth 2017).
    """
    size = math.hypot(row["std"], row["improvement"])
    variation = row["std"] / size if size and row["runs"] > 4 else 0.0
    return study_belief(row) * (1 - math.exp(-row["runs"] / 3)) * math.exp(-0.1 * variation)


def by_rule(row: Mapping, cuts: Mapping[str, tuple[float, ...]] = intensity.CUTS) -> str:
    """The intensity that the cut points give a row's improvement."""
    kind = "correctness" if row["effect"] in CORRECTNESS else "resource"
    return intensity.label(intensity.from_improvement(row["improvement"], cuts[kind]))


Text = Annotated[str, Field(min_length=1)]
NotNegative = Annotated[float, Field(ge=0)]


class Row(BaseModel):
    """One effect of one configuration in one study; None and NaN mean: not given."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    study: Text
    configuration: Text
    technique: str = Field(pattern="^[a-z0-9_]+$")
    effect: Literal[*EFFECTS]
    metric: Text
    improvement: float
    iqr: NotNegative = 0.0
    std: NotNegative = 0.0
    standard_error: NotNegative = math.nan
    runs: int = Field(ge=1, le=10**9)
    base: float
    quality: float = Field(ge=0, le=1)
    belief: float | None = None
    intensity: str | None = None
    citation: Text

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        rule, strength = published_rule(vars(self)), by_rule(vars(self))
        if self.base not in BASES:
            raise ValueError(f"base must be one of {', '.join(map(str, BASES))}, not {self.base}")
        if self.effect in RESOURCES and self.improvement > 100:
            raise ValueError("improvement of a resource is at most 100 %: nothing is left then")
        if self.belief is not None and abs(self.belief - rule) > _ROUNDED:
            raise ValueError(f"belief is not (base + 0.25 quality) exp(-0.1 iqr / |improvement|), "
                             f"which is {rule:.3f}")  # fmt: skip
        if self.intensity not in (None, strength):
            raise ValueError(f"intensity is not {strength}, which the cut points give")
        return self


COLUMNS = list(Row.model_fields)


def completed(rows: list[dict] | pd.DataFrame) -> pd.DataFrame:
    """The rows as a table, belief and intensity set by the paper's rules, whatever they were."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    rules = {"belief": published_rule, "intensity": by_rule}
    return table.assign(**{c: [by(row) for _, row in table.iterrows()] for c, by in rules.items()})


def read(path: Path) -> pd.DataFrame:
    """Read and check a table of evidence models; the rules fill in an empty belief or intensity.

    QlabError with row and column where something is not of the documented form; the row is the line
    of the file unless fields contain line breaks.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # from pandas: no columns, rows of unequal length
        raise QlabError(
            f"{path} is no CSV file of evidence models in UTF-8 with commas: {error}. "
            "See data/evidence/README.md."
        ) from error
    if list(table.columns) != COLUMNS or table.empty:
        raise QlabError(f"{path.name}: the columns must be {','.join(COLUMNS)}, above some rows.")
    given = [{k: v for k, v in row.items() if v.strip()} for row in table.to_dict("records")]
    try:
        rows = [row.model_dump() for row in TypeAdapter(list[Row]).validate_python(given)]
    except ValidationError as error:
        first = error.errors()[0]
        (row, *column), what = first["loc"], f": {first['msg'].removeprefix('Value error, ')}"
        if column:
            what = f", column '{column[0]}'{what}; found {first['input']!r}"
        raise QlabError(f"{path.name}, row {row + 2}{what}.") from None
    found = completed(rows)
    again = found.duplicated(["study", "configuration", "effect"])
    if again.any():
        where = f"{path.name}, row {again.argmax() + 2}"
        raise QlabError(f"{where}: the configuration has this effect twice.")
    stored = pd.Series([row["belief"] for row in rows], dtype=float)
    return found.assign(belief=stored.fillna(found["belief"]))
