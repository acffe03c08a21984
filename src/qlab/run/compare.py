"""Two runs compared: are the deterministic numbers the same?

Records are the same record if `records.KEY` is equal; for a claim, whatever its verdict. A number
without a clock in it must be equal: a count exactly, others within the tolerance, a share of the
larger value, or of 1 if both are smaller; bytes of compressed files within `GZIP_TOLERANCE`. One
that involved a clock is not judged: what two runs have of it differs by what else the machine did.
"""

from pathlib import Path

import pandas as pd

from qlab.core import records
from qlab.core.errors import QlabError

TOLERANCE = 1e-6
GZIP_TOLERANCE = 1e-4  # a file of 290,006 bytes was 3 smaller when trained with one thread
FLOAT_UNITS = ("1", "dB", "percent", "KB", "ms", "s", "token/s", "J", "W")  # all others count
KINDS = {
    "only in A": "recorded in A only",
    "only in B": "recorded in B only",
    "different": "deterministic, yet another number",
    "equal": "deterministic, and equal",
    "clock": "on a clock: not judged",
}
BAD = ("only in A", "only in B", "different")
_SAME = ("unit", "verdict", "n", "method", "bits", "group_size", "clock", "better")
_SHOWN = ("experiment", "dataset", "variant", "metric", "part", "condition", "seed")


def load(place: Path, profile: str) -> pd.DataFrame:
    """All records of a csv file, of a folder of them, or of a clone (those of the profile)."""
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


def compare(a: pd.DataFrame, b: pd.DataFrame, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """Every record of either table, and how it compares; the rules are above.

    Columns: those of `records.KEY`, kind (of KINDS), and a record's other columns twice, as
    value_a and value_b, and so on; for claims also `verdict_a` and `verdict_b`.
    """
    if not 0 <= tolerance < 1:
        raise QlabError(f"A tolerance is a share of the value, from 0 to below 1, not {tolerance}.")
    ends = {"how": "outer", "on": records.KEY, "suffixes": ("_a", "_b"), "indicator": "side"}
    both = _keyed(a).merge(_keyed(b), **ends)
    return both.assign(kind=[_kind(row, tolerance) for row in both.to_dict("records")])


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    """The records, with a claim's verdict in its own column and no longer as the metric's name."""
    claim = table["experiment"] == "claims"
    table = table.assign(verdict=table["metric"].where(claim, ""))
    table.loc[claim, ["model", "dataset", "metric"]] = "any", "any", "verdict"
    return table


def _kind(row: dict, tolerance: float) -> str:
    if row["side"] != "both":
        return "only in A" if row["side"] == "left_only" else "only in B"
    if row["clock_a"] and row["clock_b"]:
        return "clock"
    return "equal" if _equal(row, tolerance) else "different"


def _equal(row: dict, tolerance: float) -> bool:
    told = [(row[f"{name}_a"], row[f"{name}_b"]) for name in _SAME]
    if any(a != b for a, b in told if not (pd.isna(a) and pd.isna(b))):
        return False
    allowed = tolerance if row["unit_a"] in FLOAT_UNITS else 0.0
    if row["metric"] == "size_gzip_bytes":
        allowed = max(tolerance, GZIP_TOLERANCE)
    pairs = ((row[f"{name}_a"], row[f"{name}_b"]) for name in ("value", "ci_low", "ci_high"))
    return all(
        (pd.isna(a) and pd.isna(b)) or abs(a - b) <= allowed * max(1.0, abs(a), abs(b))
        for a, b in pairs
    )


def report(found: pd.DataFrame, rows: int = 20) -> str:
    """A sentence, counts by kind, and at most `rows` records of each kind of BAD."""
    counts = found["kind"].value_counts()
    judged = counts.get("equal", 0) + counts.get("different", 0)
    passed = "FAILED" if found["kind"].isin(BAD).any() else "PASSED"
    equal = f"{counts.get('equal', 0):,} of {judged:,} deterministic records are equal"
    told = [f"{passed}: {equal}.\n"]
    told += [f"{counts[kind]:7,}  {kind:9}  {KINDS[kind]}" for kind in KINDS if kind in counts]
    names = ("verdict", "value", "ci_low", "ci_high", "unit")
    columns = [f"{name}_{side}" for side in "ab" for name in names]
    for kind in (kind for kind in BAD if kind in counts):
        table = found.loc[found["kind"] == kind, [*_SHOWN, *columns]].replace("", float("nan"))
        listed = table.head(rows).dropna(axis=1, how="all")
        text = listed.to_string(index=False, na_rep="", float_format="{:.7g}".format)
        told += [f"\n{kind}:", text]
        more = len(table) - len(listed)
        told += [f"... and {more:,} more (--rows)"] if more else []
    return "\n".join(told)
