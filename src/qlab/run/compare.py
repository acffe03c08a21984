"""Two runs compared: are the deterministic numbers the same, and did anything get worse?

Records are the same record if `records.KEY` is equal; for a claim, whatever its verdict. A number
without a clock in it must be equal: a count exactly, others within the tolerance, a share of the
larger value, or of 1 if both are smaller; bytes of compressed files within `GZIP_TOLERANCE`.

A number that involved a clock is judged only by its interval, and only if both runs had the same
processor. It regressed if B's interval lies wholly on the worse side of A's: for two independent
95 % intervals of equal width, chance does this in one of 180 pairs. Absolute times and memory also
depend on what else the machine did: only a ratio, measured in turn, is a reason to fail.
"""

from pathlib import Path

import pandas as pd

from qlab.core import records
from qlab.core.errors import QlabError

TOLERANCE = 1e-6
GZIP_TOLERANCE = 1e-4  # a file of 290,006 bytes was 3 smaller when trained with one thread
FLOAT_UNITS = ("1", "dB", "percent", "KB", "ms", "s", "token/s", "J", "W")  # all others count
LISTED = {  # kinds of record to list, worst first
    "only in A": "recorded in A only",
    "only in B": "recorded in B only",
    "regressed": "worse in B, beyond the intervals",
    "different": "deterministic, yet another number",
    "drifted": "worse in B, beyond the intervals, in an absolute unit: the machine may be why",
    "improved": "better in B, beyond the intervals",
}
COUNTED = {  # kinds that are only counted: as they should be
    "within": "on a clock, and apart by no more than the intervals",
    "elsewhere": "on a clock, not judged: another processor",
    "unjudged": "on a clock, without an interval or a better and worse",
    "equal": "deterministic, and equal",
}
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

    Columns: those of `records.KEY`, kind (of LISTED or COUNTED), clock, and a record's other
    columns twice, as value_a and value_b, and so on; for claims also `verdict_a` and `verdict_b`.
    """
    if not 0 <= tolerance < 1:
        raise QlabError(f"A tolerance is a share of the value, from 0 to below 1, not {tolerance}.")
    ends = {"how": "outer", "on": records.KEY, "suffixes": ("_a", "_b"), "indicator": "side"}
    both = _keyed(a).merge(_keyed(b), **ends)
    both["clock"] = both["clock_a"].combine_first(both["clock_b"]).astype(bool)
    return both.assign(kind=[_kind(row, tolerance) for row in both.to_dict("records")])


def passes(found: pd.DataFrame, regressions_only: bool = False) -> bool:
    """Whether nothing regressed or is missing, and everything deterministic is equal.

    With `regressions_only` (for two versions of the code): whether nothing regressed.
    """
    if regressions_only:
        return not (found["kind"] == "regressed").any()
    bad = found["kind"].isin(["only in A", "only in B", "regressed"])
    return not (bad | (~found["clock"] & (found["kind"] != "equal"))).any()


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    """The records, with a claim's verdict in its own column and no longer as the metric's name."""
    claim = table["experiment"] == "claims"
    table = table.assign(verdict=table["metric"].where(claim, ""))
    table.loc[claim, ["model", "dataset", "metric"]] = "any", "any", "verdict"
    return table


def _kind(row: dict, tolerance: float) -> str:
    if row["side"] != "both":
        return "only in A" if row["side"] == "left_only" else "only in B"
    clock = row["clock"]
    if not clock and _equal(row, tolerance):
        return "equal"
    if clock and row["device_a"] != row["device_b"]:
        return "elsewhere"
    alone = pd.isna(row["ci_low_a"]) or pd.isna(row["ci_low_b"])
    if not row["better_a"] or (clock and alone):
        return "unjudged" if clock else "different"
    (a_low, a_high), (b_low, b_high) = _ends(row, "a"), _ends(row, "b")
    change = row["better_a"] * (int(b_low > a_high) - int(b_high < a_low))
    if change < 0:
        return "drifted" if clock and row["unit_a"] != "1" else "regressed"
    return "improved" if change else "within" if clock else "different"


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


def _ends(row: dict, side: str) -> list[float]:
    """A record's interval; for a deterministic number without one, the value twice."""
    names = ("value", "value") if pd.isna(row[f"ci_low_{side}"]) else ("ci_low", "ci_high")
    return [row[f"{name}_{side}"] for name in names]


def report(found: pd.DataFrame, passed: bool, rows: int = 20) -> str:
    """A sentence, counts by kind, and at most `rows` records of each kind that matters."""
    counts = found["kind"].value_counts()
    told = [
        f"{'PASSED' if passed else 'FAILED'}: {counts.get('equal', 0):,} of "
        f"{(~found['clock']).sum():,} deterministic records are equal; "
        f"{counts.get('regressed', 0) or 'none'} of all {len(found):,} regressed.\n"
    ]
    kinds = {kind: words for kind, words in (LISTED | COUNTED).items() if kind in counts}
    told += [f"{counts[kind]:7,}  {kind:9}  {words}" for kind, words in kinds.items()]
    names = ("verdict", "value", "ci_low", "ci_high", "unit")
    columns = [f"{name}_{side}" for side in "ab" for name in names]
    for kind in (kind for kind in kinds if kind in LISTED):
        table = found.loc[found["kind"] == kind, [*_SHOWN, *columns]].replace("", float("nan"))
        listed = table.head(rows).dropna(axis=1, how="all")
        text = listed.to_string(index=False, na_rep="", float_format="{:.7g}".format)
        told += [f"\n{kind}:", text]
        more = len(table) - len(listed)
        told += [f"... and {more:,} more (--rows)"] if more else []
    return "\n".join(told)
