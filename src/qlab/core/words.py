"""How a record is written in a sentence or a table cell."""

import pandas as pd

from qlab.core import records


def value(table: pd.DataFrame, variant: str, metric: str) -> float | None:
    """The first record of a variant's metric; None where there is none."""
    rows = records.pick(table, metric, variant=variant)
    return float(rows["value"].iloc[0]) if len(rows) else None


def interval(row: pd.Series, form: str = ".3f", scale: float = 1.0) -> str:
    """A record's value, times `scale`, with its interval in brackets, if it has one."""
    shown, low, high = (row[c] * scale for c in ("value", "ci_low", "ci_high"))
    if pd.isna(low):  # none defined, or too few rounds for 95 %
        return f"{shown:{form}}"
    return f"{shown:{form}} [{low:{form}}, {high:{form}}]"
