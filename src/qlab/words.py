"""How a record is written in a sentence or a table cell."""

import pandas as pd

from qlab import records


def value(table: pd.DataFrame, variant: str, metric: str) -> float | None:
    """The first record of a variant's metric; None where there is none."""
    rows = records.pick(table, metric, variant=variant)
    return float(rows["value"].iloc[0]) if len(rows) else None


def interval(row: pd.Series, form: str = ".3f") -> str:
    """A record's value with its interval in brackets, if it has one."""
    if pd.isna(row["ci_low"]):  # none defined, or too few rounds for 95 %
        return f"{row['value']:{form}}"
    return f"{row['value']:{form}} [{row['ci_low']:{form}}, {row['ci_high']:{form}}]"
