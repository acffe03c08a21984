"""Evidence models: a table of what studies found, read, checked, and given its beliefs.

A row is one effect of one configuration in one study (`data/evidence/README.md` documents the
columns). Belief in a study: B = base + 0.25 Q. Belief in one of its effects: B discounted for the
spread of the runs. Source: arXiv 2505.00816 and its replication package; the later rule is that of
the authors' next package (10.5281/zenodo.18401926, `belief_discounts.py`).
"""

import math
from pathlib import Path

import pandas as pd

from qlab.core import paths
from qlab.core.errors import QlabError
from qlab.evidence import intensity

CORRECTNESS = ("accuracy", "f1", "dice", "average_precision")  # effects of which more is better
RESOURCES = (
    "storage_size", "inference_latency", "inference_energy", "inference_power", "gpu_energy",
    "gpu_power", "gpu_memory_utilisation", "gpu_utilisation",
)  # fmt: skip
EFFECTS = CORRECTNESS + RESOURCES  # all that a study may report on
# Base belief: simulation, experiment with estimates, controlled experiment.
BASES = (0.0, 0.25, 0.5)
COLUMNS = [
    "study", "configuration", "technique", "effect", "metric", "improvement", "iqr", "std",
    "standard_error", "runs", "base", "quality", "belief", "intensity", "citation",
]  # fmt: skip
_TEXT = ["study", "configuration", "technique", "effect", "metric", "citation"]
_MAY_BE_EMPTY = ["iqr", "std", "standard_error", "belief", "intensity"]
_KEY = ["study", "configuration", "effect"]
_ROUNDED = 0.0015  # published beliefs have three digits and come from a discount of three digits


def kind(effect: str) -> str:
    """Which cut points an effect takes: `correctness` or `resource`."""
    return "correctness" if effect in CORRECTNESS else "resource"


def study_belief(base: float, quality: float) -> float:
    """B = base + 0.25 Q; `quality` is the share of yes on the checklist, mean over its sections."""
    return base + 0.25 * quality


def spread_discount(improvement: float, iqr: float) -> float:
    """d = 1 - exp(-0.1 |IQR / mean|): the share of belief lost to spread; 0 without spread."""
    if iqr == 0:
        return 0.0
    return 1 - math.exp(-0.1 * iqr / abs(improvement)) if improvement else 1.0


def runs_reliability(improvement: float, std: float, runs: int) -> float:
    """The authors' later factor a_n a_v: few runs count less, and spread only from five runs on.

    a_n = 1 - exp(-n / 3); a_v = exp(-0.1 V2) with V2 = s / sqrt(s^2 + mean^2) (Kvålseth 2017).
    """
    size = math.hypot(std, improvement)
    variation = std / size if size else 0.0
    return (1 - math.exp(-runs / 3)) * (math.exp(-0.1 * variation) if runs > 4 else 1.0)


def published_rule(row: pd.Series) -> float:
    """Belief in an effect by the paper's rule, B (1 - d)."""
    discount = spread_discount(row["improvement"], row["iqr"])
    return study_belief(row["base"], row["quality"]) * (1 - discount)


def later_rule(row: pd.Series) -> float:
    """Belief in an effect by the authors' later rule, B a_n a_v."""
    factor = runs_reliability(row["improvement"], row["std"], row["runs"])
    return study_belief(row["base"], row["quality"]) * factor


def by_rule(row: pd.Series) -> str:
    """The intensity that the cut points give a row's improvement."""
    cuts = intensity.CUTS[kind(row["effect"])]
    return intensity.label(intensity.from_improvement(row["improvement"], cuts))


def completed(rows: list[dict]) -> pd.DataFrame:
    """Rows without belief and intensity as a table with both, by the paper's rules."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["belief"] = [published_rule(row) for _, row in table.iterrows()]
    table["intensity"] = [by_rule(row) for _, row in table.iterrows()]
    return table


def six_studies() -> pd.DataFrame:
    """The 19 evidence models of the six studies: 93 rows."""
    return read(paths.home() / "data" / "evidence" / "six_studies.csv")


def six_studies_pooled() -> pd.DataFrame:
    """The same studies as one model each, over all their runs: 30 rows."""
    return read(paths.home() / "data" / "evidence" / "six_studies_pooled.csv")


def read(path: Path) -> pd.DataFrame:
    """A checked table of evidence models; an empty belief or intensity is filled in by the rules.

    QlabError with row and column where something is not of the documented form; the row is the
    line of the file for a file without line breaks inside fields.
    """
    return check(_text(path), path.name)


def _text(path: Path) -> pd.DataFrame:
    """All fields as text."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise QlabError(
            f"{path} cannot be read ({error.strerror}); it must be a CSV file of evidence models, "
            "as data/evidence/README.md describes."
        ) from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise QlabError(
            f"{path} is not a CSV file in UTF-8 with commas: {error}. See data/evidence/README.md."
        ) from error


def check(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """A table of text fields as numbers and text, if it keeps the form.

    QlabError: row and column of the first mistake.
    """
    if list(table.columns) != COLUMNS:
        wrong = set(table.columns) ^ set(COLUMNS)
        raise QlabError(
            f"{where}: the columns must be {','.join(COLUMNS)}; "
            + (f"missing or unknown: {', '.join(sorted(wrong))}." if wrong else "in this order.")
        )
    if table.empty:
        raise QlabError(f"{where} has no rows; an evidence model is at least one.")
    table = table.apply(lambda column: column.str.strip())
    for column in COLUMNS:
        empty = table[column] == ""
        if column not in _MAY_BE_EMPTY:
            _refuse(empty, table, column, "must not be empty", where)
        if column not in [*_TEXT, "intensity"]:
            table = table.assign(**{column: _numbers(table, column, where)})
    _refuse_values(table, where)
    return _filled(table, where)


def _numbers(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    """A column as finite numbers; NaN where it is empty."""
    numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
    bad = (table[column] != "") & ~numbers.map(math.isfinite)
    _refuse(bad, table, column, "must be a number with a decimal point", where)
    return numbers


def _refuse_values(table: pd.DataFrame, where: str) -> None:
    rules = {
        "effect": (~table["effect"].isin(EFFECTS), f"must be one of {', '.join(EFFECTS)}"),
        "technique": (~table["technique"].str.fullmatch(r"[a-z0-9_]+"),
                      "must be a name of a-z, 0-9 and _"),
        "improvement": (table["effect"].isin(RESOURCES) & (table["improvement"] > 100),
                        "of a resource is at most 100 %: nothing is left then"),
        "iqr": (table["iqr"] < 0, "must be 0 or more"),
        "std": (table["std"] < 0, "must be 0 or more"),
        "standard_error": (table["standard_error"] < 0, "must be 0 or more"),
        "runs": (~table["runs"].between(1, 1e9) | (table["runs"] % 1 != 0),
                 "must be a whole number from 1"),
        "base": (~table["base"].isin(BASES), f"must be one of {', '.join(map(str, BASES))}"),
        "quality": (~table["quality"].between(0, 1), "must lie between 0 and 1"),
        "configuration": (table.duplicated(_KEY), "has this effect twice in its study"),
    }  # fmt: skip
    for column, (bad, rule) in rules.items():
        _refuse(bad, table, column, rule, where)


def _filled(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Belief and intensity by rule where empty; refused where they contradict the rule."""
    table = table.fillna({"iqr": 0.0, "std": 0.0}).astype({"runs": int})
    belief = pd.Series([published_rule(row) for _, row in table.iterrows()], table.index)
    strength = pd.Series([by_rule(row) for _, row in table.iterrows()], table.index)
    off = (table["belief"] - belief).abs() > _ROUNDED
    _refuse(off, table, "belief", "is not (base + 0.25 quality) exp(-0.1 iqr / |improvement|)",
            where)  # fmt: skip
    off = (table["intensity"] != "") & (table["intensity"] != strength)
    _refuse(off, table, "intensity", "is not what the cut points give the improvement", where)
    return table.assign(belief=table["belief"].fillna(belief), intensity=strength)


def _refuse(bad: pd.Series, table: pd.DataFrame, column: str, rule: str, where: str) -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise QlabError(
            f"{where}, row {row + 2}, column '{column}' {rule}; found '{table[column].iloc[row]}'."
        )
