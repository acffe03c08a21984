"""A comparison of two runs as text: a sentence, counts by kind, and the rows that matter."""

import pandas as pd

from qlab.run.compare import KINDS, Comparison

_QUIET = ("within", "unjudged", "equal")  # as it should be: counted, not listed


def report(comparison: Comparison, passed: bool, rows: int = 20) -> str:
    """The whole answer; of each kind at most `rows` records are shown, the rest is counted."""
    counts = comparison.table["kind"].value_counts()
    found = [kind for kind in KINDS if counts.get(kind, 0)]
    parts = [_sentence(comparison, passed)]
    parts.append("\n".join(f"{counts[kind]:7,}  {kind:9}  {KINDS[kind]}" for kind in found))
    parts += [_listed(comparison.of(kind), kind, rows) for kind in found if kind not in _QUIET]
    return "\n\n".join(parts)


def _sentence(comparison: Comparison, passed: bool) -> str:
    table = comparison.table
    equal, worse = (len(comparison.of(kind)) for kind in ("equal", "regressed"))
    return (
        f"{'PASSED' if passed else 'FAILED'}: {equal:,} of {table['deterministic'].sum():,} "
        f"deterministic records are equal; {worse or 'none'} of all {len(table):,} regressed."
    )


def _listed(table: pd.DataFrame, kind: str, rows: int) -> str:
    header = ("experiment", "dataset", "variant", "metric", "seed", "A", "B")
    lines = [header, *(_row(row) for row in table.head(rows).to_dict("records"))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    told = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    if len(table) > rows:
        told.append(f"... and {len(table) - rows:,} more (--rows)")
    return "\n".join([f"{kind}:", *(f"  {line}".rstrip() for line in told)])


def _row(row: dict) -> tuple[str, ...]:
    seed = "" if pd.isna(row["seed"]) else str(row["seed"])
    names = (row[column] for column in ("experiment", "dataset", "variant", "metric"))
    return (*names, seed, _number(row, "a"), _number(row, "b"))


def _number(row: dict, side: str) -> str:
    """`12.3 [12.1, 12.5] ms`, a claim's verdict before it; a dash where there is no record."""
    value, low, high = (row[f"{name}_{side}"] for name in ("value", "ci_low", "ci_high"))
    if pd.isna(value):
        return "-"
    interval = "" if pd.isna(low) else f" [{low:.7g}, {high:.7g}]"
    unit = "" if row[f"unit_{side}"] == "1" else f" {row[f'unit_{side}']}"
    return f"{row[f'verdict_{side}']} {value:.7g}{interval}{unit}".strip()
