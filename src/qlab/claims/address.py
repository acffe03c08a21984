"""Addresses, by which a rule names records, and the figures that the records give for them."""

import re
from itertools import product
from typing import Annotated, Self

import pandas as pd
from pydantic import Field

from qlab.claims.verdicts import Term
from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.parameters import Checked
from qlab.core.stats import Estimate

Text = Annotated[str, Field(min_length=1)]
Texts = Text | list[Text]
Wholes = int | list[int]
# In a variant's name: layers at which end, and by what their number in the model is divided.
PARTS = {"lastN": ("last", 1), "lastHalf": ("last", 2), "firstHalf": ("first", 2)}
SEEDS = "_over_seeds"  # suffix of a metric whose interval covers seeds and items


class NotTested(QlabError):
    """A claim cannot be judged here; the message says why in one sentence."""


class Address(Checked):
    """The columns that select records; several values select several figures. The data set is the
    experiment's own, as is the model unless one is named; no condition means the plain data."""

    metric: Texts | None = None
    variant: Texts | None = None
    model: Text | None = None
    part: Texts | None = None
    condition: Texts | None = None
    strength: Wholes | None = None
    k: Wholes | None = None

    def but(self, other: "Address") -> Self:
        """This address with the fields that `other` sets in place of its own."""
        return self.model_copy(update=other.model_dump(exclude_unset=True))

    def each(self) -> list[Self]:
        """One address per figure, where several values are named."""
        named = {key: listed(value) for key, value in self._named.items()}
        several = product(*named.values())
        return [self.model_copy(update=dict(zip(named, one, strict=True))) for one in several]

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The records of a single figure, one row per seed."""
        own = dict(zip(("model", "dataset"), subject(table), strict=True))
        chosen = {key: value for key, value in own.items() if value} | self._named
        if self.variant:
            chosen["variant"] = spelled(self.variant, table)
        return records.pick(table, **{"condition": None} | chosen)

    def find(self, table: pd.DataFrame, exact: bool) -> Term:
        """The term of a single figure, as yet without a wanted range.

        The estimate is the record over seeds, where there is one; else the mean over the seeds,
        with an interval that spans all of theirs. NotTested without a record, or without an
        interval unless `exact`; QlabError where records differ in more than the seed.
        """
        rows = self.but(Address(metric=f"{self.metric}{SEEDS}")).rows(table)
        rows = self.rows(table) if rows.empty else rows
        if rows.empty:
            dataset = subject(table)[1]
            place = f" on {dataset}" if dataset else ""
            raise NotTested(f"There is no record of {self.name}{place}.")
        if rows.duplicated("seed").any():
            raise QlabError(f"There are several records of {self.name}; name part, k or strength.")
        if rows["ci_low"].isna().any() and not exact:
            raise NotTested(f"{self.name} was recorded without an interval.")
        low, high = rows["ci_low"].fillna(rows["value"]), rows["ci_high"].fillna(rows["value"])
        ends = float(rows["value"].mean()), float(low.min()), float(high.max())
        unit, clock = rows["unit"].iloc[0], bool(rows["clock"].any())
        differs = re.search("_difference|_minus_|gap_growth", self.metric) and unit == "1"
        form = "x" if "_ratio" in self.metric else "points" if differs else "plain"
        return Term(self.name, Estimate(*ends, int(rows["n"].min())), form, unit, clock)

    @property
    def _named(self) -> dict:
        return {k: v for k in Address.model_fields if (v := getattr(self, k)) is not None}

    @property
    def name(self) -> str:
        """A single figure in words."""
        part = f"{self.part} " if self.part else ""
        k = f" (k = {self.k})" if self.k else ""
        place = f" on {self.condition}{self.strength or ''}" if self.condition else ""
        return f"{part}{self.metric}{k} of {self.variant}{place}"


def listed(value) -> list:
    """A value as a list, whether it is one already or stands alone."""
    return value if isinstance(value, list) else [value]


def spelled(variant: str, table: pd.DataFrame) -> str:
    """A variant's name, with all layers or half of them (PARTS) as the number in this model."""
    for part, (where, by) in PARTS.items():
        if part in variant:
            layers = table.loc[table["where"] == "last", "k"].dropna().max()
            return variant.replace(part, f"{where}{0 if pd.isna(layers) else round(layers / by)}")
    return variant


def subject(table: pd.DataFrame) -> tuple[str | None, str | None]:
    """The model and the data set that an experiment is about: those whose file sizes it records.

    Twins of the model have no sizes recorded. (None, None) where no sizes are recorded at all.
    """
    rows = records.pick(table, "size_bytes")
    return (rows["model"].iloc[0], rows["dataset"].iloc[0]) if len(rows) else (None, None)
