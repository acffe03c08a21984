"""Two runs compared: are the deterministic numbers the same, and did anything get worse?

Records are the same record where experiment, model, dataset, variant, metric, device and seed are.
A deterministic number (`metrics`) must be equal: exactly where it is counted, else to the
tolerance, a share of the larger of the two, or of 1 where both are smaller (differences of scores
lie near 0). Bytes of compressed files, which hang on floats' last digits, have `GZIP_TOLERANCE`.
A measured number never is equal, and is judged by its interval only.

A metric with a known direction regressed where B's interval lies wholly on the worse side of A's:
even B's best end is worse than A's worst. That is stricter than a value outside the other's
interval: of two independent 95 % intervals of one width, chance parts one pair in 180 (they are
2.77 standard errors of the difference apart), while a value leaves the other's interval once in 6,
and a gate looks at hundreds of numbers at once. Where a deterministic number has no interval, it is
its own. A measured one without (a 90th percentile, the seconds of one training) cannot be judged,
and is not.

Absolute times, speeds and bytes of memory of two runs also differ by what else the machine did:
they are told, but only a ratio to the float parent, taken in turn in one run, is a reason to fail.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.run import metrics

TOLERANCE = 1e-6
KINDS = {  # what may be said of a record, worst first
    "only in A": "recorded in A only",
    "only in B": "recorded in B only",
    "regressed": "worse in B, beyond the intervals",
    "different": "deterministic, yet another number",
    "drifted": "worse in B, beyond the intervals, in an absolute unit: the machine may be why",
    "improved": "better in B, beyond the intervals",
    "within": "measured, and apart by no more than the intervals",
    "unjudged": "measured, without an interval or a better and worse",
    "equal": "deterministic, and equal",
}


class Comparison(NamedTuple):
    """Every record of either run, and what is to be said of it.

    Columns of `table`: those of `records.KEY`, kind (of KINDS), deterministic (bool), and the other
    columns of a record twice, as value_a and value_b, and so on; `verdict_a` of a claim.
    """

    table: pd.DataFrame

    def of(self, kind: str) -> pd.DataFrame:
        """The rows of a kind."""
        return self.table[self.table["kind"] == kind]

    def passes(self, regressions_only: bool = False) -> bool:
        """Whether nothing regressed, nothing is missing and all that is deterministic is equal.

        With `regressions_only` (two versions of the code), whether nothing regressed.
        """
        if regressions_only:
            return self.of("regressed").empty
        bad = self.table["kind"].isin(["only in A", "only in B", "regressed"])
        return not (bad | (self.table["deterministic"] & (self.table["kind"] != "equal"))).any()


def load(place: Path, profile: str) -> pd.DataFrame:
    """All records of a csv file, a folder of them, or a clone (those of the profile).

    QlabError where there are none.
    """
    if place.is_file():
        return records.read_file(place)
    inside = place / "data" / "results" / profile
    files = sorted((inside if inside.is_dir() else place).glob("*.csv"))
    if not files:
        raise QlabError(
            f"There are no records at {place}: give a csv file, a folder of them such as "
            f"data/results/mini, or a clone that has data/results/{profile}."
        )
    return pd.concat([records.read_file(file) for file in files], ignore_index=True)


def compare(a: pd.DataFrame, b: pd.DataFrame, tolerance: float = TOLERANCE) -> Comparison:
    """What is to be said of every record of two tables; the rules are above."""
    if not 0 <= tolerance < 1:
        raise QlabError(f"A tolerance is a share of the value, from 0 to below 1, not {tolerance}.")
    both = _keyed(a).merge(
        _keyed(b), how="outer", on=records.KEY, suffixes=("_a", "_b"), indicator="side"
    )
    rows = both.to_dict("records")
    measured = [_is_measured(row) for row in rows]
    kinds = [_kind(*pair, tolerance) for pair in zip(rows, measured, strict=True)]
    both = both.assign(kind=kinds, deterministic=[not m for m in measured])
    return Comparison(both.drop(columns="side"))


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    """The records, with seeds that can meet, and a claim's verdict a column instead of a name."""
    claim = table["experiment"] == "claims"
    seeds = pd.to_numeric(table["seed"]).astype("Int64")
    table = table.assign(verdict=table["metric"].where(claim, ""), seed=seeds)
    table.loc[claim, ["model", "dataset", "metric"]] = "any", "any", "verdict"
    return table


def _is_measured(row: dict) -> bool:
    unit = row["unit_b"] if row["side"] == "right_only" else row["unit_a"]
    about = (row[column] for column in ("experiment", "model", "variant", "metric"))
    return metrics.is_measured(*about, unit)


def _kind(row: dict, measured: bool, tolerance: float) -> str:
    if row["side"] != "both":
        return "only in A" if row["side"] == "left_only" else "only in B"
    if not measured and _equal(row, tolerance):
        return "equal"
    change = _change(row, measured)
    if change is None or change == 0:
        return ("unjudged" if change is None else "within") if measured else "different"
    if change > 0:
        return "improved"
    return "drifted" if measured and row["unit_a"] != "1" else "regressed"


def _equal(row: dict, tolerance: float) -> bool:
    if any(row[f"{name}_a"] != row[f"{name}_b"] for name in ("unit", "verdict", "n")):
        return False
    allowed = metrics.tolerance(row["metric"], row["unit_a"], tolerance)
    return all(_close(row, name, allowed) for name in ("value", "ci_low", "ci_high"))


def _close(row: dict, name: str, tolerance: float) -> bool:
    a, b = row[f"{name}_a"], row[f"{name}_b"]
    if pd.isna(a) or pd.isna(b):
        return pd.isna(a) and pd.isna(b)
    return abs(a - b) <= tolerance * max(1.0, abs(a), abs(b))


def _change(row: dict, measured: bool) -> int | None:
    """1 where B's interval lies on the better side of A's, -1 on the worse, 0 where they meet.

    None where nothing can be said.
    """
    sign = metrics.direction(row["experiment"], row["metric"])
    alone = pd.isna(row["ci_low_a"]) or pd.isna(row["ci_low_b"])
    if not sign or (measured and alone):
        return None
    (a_low, a_high), (b_low, b_high) = _ends(row, "a"), _ends(row, "b")
    return sign * (int(b_low > a_high) - int(b_high < a_low))


def _ends(row: dict, side: str) -> tuple[float, float]:
    value, low, high = (row[f"{name}_{side}"] for name in ("value", "ci_low", "ci_high"))
    return (value, value) if pd.isna(low) else (low, high)
