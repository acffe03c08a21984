"""Every number is a record: the one schema all experiments write and read."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.core.secrets import known, redact


@dataclass(frozen=True)
class Record:
    """One measured number.

    `ci_low` and `ci_high` bound a 95 % interval (None where none is defined),
    `n` counts the items behind the value, `unit` is "1" for shares and scores.
    """

    experiment: str  # names the file: `data/results/<profile>/<experiment>.csv`
    model: str  # what was quantized
    dataset: str  # what judged it, with variant and split in the name
    variant: str  # what was done to the model; the float parent is one too
    metric: str  # what was measured; one metric has one unit
    value: float
    unit: str
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 1
    seed: int | None = None  # of what was drawn at random; None where nothing was
    device: str = "cpu"  # what it ran on


COLUMNS = [f.name for f in fields(Record)]  # of a table of records, in order
# What makes two records the same record.
KEY = ["experiment", "model", "dataset", "variant", "metric", "device", "seed"]
_TEXT = ["experiment", "model", "dataset", "variant", "metric", "unit", "device"]


def check(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table, if it keeps the schema; otherwise a QlabError with row and column.

    Values are finite: what could not be measured has no record.
    """
    if list(table.columns) != COLUMNS:
        raise QlabError(
            f"{where}: the columns must be {', '.join(COLUMNS)}; found {', '.join(table.columns)}."
        )
    for column in _TEXT:
        empty = table[column].isna() | (table[column].astype(str).str.strip() == "")
        _refuse(empty, table, column, "must not be empty", where)
    for column in ("value", "ci_low", "ci_high", "n", "seed"):
        numeric = pd.to_numeric(table[column], errors="coerce")
        _refuse(numeric.isna() & table[column].notna(), table, column, "must be a number", where)
        table = table.assign(**{column: numeric})
    finite = table["value"].map(math.isfinite)
    _refuse(~finite, table, "value", "must be finite", where)
    _refuse(~(table["n"] >= 1), table, "n", "must be 1 or more", where)
    for column in ("n", "seed"):
        whole = table[column].isna() | ((table[column] % 1 == 0) & (table[column].abs() < 2**53))
        _refuse(~whole, table, column, "must be a whole number below 2^53", where)
    for column in ("ci_low", "ci_high"):
        endless = ~table[column].isna() & ~table[column].map(math.isfinite)
        _refuse(endless, table, column, "must be finite", where)
    half = table["ci_low"].isna() != table["ci_high"].isna()
    _refuse(half, table, "ci_low", "and ci_high come together", where)
    crossed = table["ci_low"] > table["ci_high"]
    _refuse(crossed, table, "ci_low", "must not exceed ci_high", where)
    _refuse(table.duplicated(KEY, keep="first"), table, "metric", "is recorded twice", where)
    return table.astype({"n": int})


def _refuse(bad: pd.Series, table: pd.DataFrame, column: str, rule: str, where: str) -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        found = table.iloc[row]
        shown = getattr(found[column], "item", lambda: found[column])()
        raise QlabError(
            f"{where}, row {row + 2}: column '{column}' {rule}; found {shown!r} "
            f"(variant {found['variant']!r}, metric {found['metric']!r})."
        )


def as_table(records: Iterable[Record]) -> pd.DataFrame:
    """Records as a table with the columns of `Record`."""
    table = pd.DataFrame([asdict(r) for r in records], columns=COLUMNS)
    return table.astype({"value": float, "ci_low": float, "ci_high": float})


def csv_path(experiment: str, profile: str) -> Path:
    """Where an experiment's records of a profile lie."""
    return paths.results(profile) / f"{experiment}.csv"


def write(records: Iterable[Record], profile: str, provenance: dict) -> Path:
    """Write one experiment's records and, beside them, where they come from.

    Both files are replaced whole; returns the csv's path.
    QlabError: no records, or a row that breaks the schema.
    """
    table = as_table(records)
    if table.empty:
        raise QlabError("There are no records to write: the experiment measured nothing.")
    return write_to(csv_path(str(table["experiment"].iloc[0]), profile), table, provenance)


def write_to(target: Path, table: pd.DataFrame, provenance: dict) -> Path:
    """Write a table of records to `target` and, beside it, where they come from."""
    table = check(table, f"records of {target.stem}").sort_values(KEY, kind="stable")
    with written_whole(target) as part:
        table.to_csv(part, index=False, float_format="%.10g")
    with written_whole(provenance_path(target)) as part:
        # Parameters are part of it, and one may have been given a token.
        text = json.dumps(provenance, indent=2, sort_keys=True)
        part.write_text(redact(text, known()) + "\n")
    return target


def provenance_path(target: Path) -> Path:
    """What lies beside a table of records."""
    return target.with_suffix(".provenance.json")


def read(experiment: str, profile: str) -> pd.DataFrame:
    """The records of an experiment, checked; columns as in `Record`.

    QlabError: no records, or a row that breaks the schema.
    """
    path = csv_path(experiment, profile)
    if not path.is_file():
        raise QlabError(
            f"There are no records of '{experiment}' for the profile '{profile}' at {path}; "
            f"run its notebook first: python -m qlab run NOTEBOOK -p profile={profile}."
        )
    return read_file(path)


def read_file(path: Path) -> pd.DataFrame:
    """The records in a csv file, checked; columns as in `Record`. QlabError if it is none."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (ValueError, pd.errors.ParserError) as error:  # empty, not UTF-8, or rows of all lengths
        raise QlabError(f"{path} is no table of records: {str(error).strip()}") from None
    return check(table, str(path))


def pick(table: pd.DataFrame, metric: str | list[str], **where: str | list[str]) -> pd.DataFrame:
    """Rows of the given metric(s) and, for each keyword, of the given column value(s)."""
    for column, wanted in {"metric": metric, **where}.items():
        table = table[table[column].isin([wanted] if isinstance(wanted, str) else wanted)]
    return table
