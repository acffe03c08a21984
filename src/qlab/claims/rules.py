"""The kinds of rules that judge claims: each makes terms from records, and changes nothing.

A rule of data/claims.yaml has a kind, one of these or of `sweeps`. Its `terms` are estimates from a
table of records (of a figure's numbers for `Share` and `Count`), each with the range that the claim
wants; they raise NotTested where the table lacks what the rule asks for. The rest is `verdicts`'.
"""

import math
from itertools import pairwise
from typing import Any, Literal, Self

import pandas as pd
from pydantic import model_validator

from qlab.claims.address import Address, NotTested, Text, Texts, listed
from qlab.claims.verdicts import Term
from qlab.core import stats as statistics
from qlab.core.stats import Estimate

_RATIOS = ("latency_ratio", "latency_ratio_p50", "latency_builtin_ratio_p50", "train_step_ratio",
           "tokens_per_s_ratio")  # fmt: skip


def _form(metric: str, unit: str) -> str:
    """How a metric is written, as in `Term`."""
    differs = "_difference" in metric or "_minus_" in metric or metric == "gap_growth_k1_k10"
    return "x" if metric in _RATIOS else "points" if differs and unit == "1" else "plain"


class Judging(Address):
    """A rule."""

    kind: str
    exact: bool = False  # a counted figure needs no interval

    def scaled(self, factor: float) -> Self:
        """The same rule with bounds so many times as wide; itself where nothing says how wide."""
        return self

    def told(self) -> dict[str, str]:
        """What the file says, as texts."""
        given = self.model_dump(exclude_unset=True)
        return {"kind": given.pop("kind"), **{key: _short(value) for key, value in given.items()}}


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class Bounded(Judging):
    """A rule whose figures shall lie within bounds: all of them, or any."""

    above: float = -math.inf
    below: float = math.inf
    between: list[float] = []
    nominal: float | None = None  # what the statement says, from which a single bound keeps off
    quantifier: Literal["all", "any"] = "all"

    def scaled(self, factor: float) -> Self:
        if self.between:
            low, high = self.between
            middle, half = (low + high) / 2, factor * (high - low) / 2
            return self.model_copy(update={"between": [middle - half, middle + half]})
        if self.nominal is None:
            return self
        side = "above" if math.isfinite(self.above) else "below"
        bound = self.nominal + factor * (getattr(self, side) - self.nominal)
        return self.model_copy(update={side: bound})

    def term(self, name: str, e: Estimate, form: str, unit: str = "1", **more) -> Term:
        """An estimate, and the range in which the rule wants it."""
        low, high = self.between or (self.above, self.below)
        return Term(name, e, low, high, form, unit, **more)

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if len({"above", "below", "between"} & self.model_fields_set) != 1:
            raise ValueError("it must have just one of 'above', 'below' and 'between'")
        if self.between and (len(self.between) != 2 or self.between[0] >= self.between[1]):
            raise ValueError("'between' must be two numbers, the smaller first")
        return self


class Value(Bounded):
    """The metric itself: each variant's in the range."""

    kind: Literal["value"]
    metric: Texts
    variant: Texts
    recorded: bool = False  # of the variants only those that this model has records of

    def each(self, table: pd.DataFrame) -> list[Address]:
        """The addresses of all figures; NotTested where none of them is recorded."""
        found = list(super().each())
        if self.recorded:
            found = [one for one in found if one.rows(table).size]
        if not found:
            raise NotTested(f"There is no record of {self.metric} of any of its variants.")
        return found

    def terms(self, table: pd.DataFrame) -> list[Term]:
        made = []
        for one in self.each(table):
            e, unit, clock = one.find(table, self.exact)
            made.append(self.term(one.name, e, _form(one.metric, unit), unit, clock=clock))
        return made


class Ratio(Value):
    """The metric over that of another variant; the interval is the widest, 95 % and more."""

    kind: Literal["ratio"]
    over: Address

    def terms(self, table: pd.DataFrame) -> list[Term]:
        made = []
        for one in self.each(table):
            other = one.but(self.over)
            (a, unit, clock), (b, _, too) = (o.find(table, self.exact) for o in (one, other))
            if b.low <= 0 <= b.high:
                raise NotTested(f"{other.name} may be 0: there is no ratio to it.")
            ends = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
            e = Estimate(a.value / b.value, min(ends), max(ends), min(a.n, b.n))
            name = f"{one.name} over {other.name}"
            more = {"clock": clock or too, "metered": unit == "byte"}
            made.append(self.term(name, e, "x", **more))
        return made


class Difference(Value):
    """The metric minus another: of another variant, metric or condition; interval as a ratio's."""

    kind: Literal["difference"]
    minus: Address

    def terms(self, table: pd.DataFrame) -> list[Term]:
        pairs = [(a, b) for a in self.each(table) for b in Address.each(a.but(self.minus))]
        return [_minus(*pair, self.term, self.exact, table) for pair in pairs]


class Ordering(Judging):
    """The metrics, or the variants, in falling order: each step down is above 0."""

    kind: Literal["ordering"]
    metric: Texts
    variant: Texts

    def terms(self, table: pd.DataFrame) -> list[Term]:
        falls = Bounded(kind="ordering", above=0.0).term
        return [_minus(*pair, falls, self.exact, table) for pair in pairwise(self.each())]


def _minus(one: Address, other: Address, term, exact: bool, table: pd.DataFrame) -> Term:
    (a, unit, clock), (b, _, too) = (o.find(table, exact) for o in (one, other))
    e = Estimate(a.value - b.value, a.low - b.high, a.high - b.low, min(a.n, b.n))
    form = "points" if unit == "1" else "plain"
    return term(f"{one.name} minus {other.name}", e, form, unit, clock=clock or too)


class Published(Judging):
    """Metrics against published values, each to within the tolerance."""

    kind: Literal["published"]
    variant: Text
    model: Text
    values: dict[Text, float]
    tolerance: float

    def scaled(self, factor: float) -> Self:
        return self.model_copy(update={"tolerance": factor * self.tolerance})

    def terms(self, table: pd.DataFrame) -> list[Term]:
        made = []
        span = self.tolerance * (1 + 1e-9)  # a hair more, for values just at the tolerance
        for metric, value in self.values.items():
            e, unit, clock = self.but(Address(metric=metric)).find(table, exact=True)
            name = f"{' '.join(filter(None, (self.part, metric)))} of {self.model}"
            made.append(Term(name, e, value - span, value + span, "plain", unit, clock=clock))
        return made


class Share(Bounded):
    """Which share of a variant's counts falls into the kinds counted; interval by Wilson."""

    kind: Literal["share"]
    figure: Text
    variant: Texts
    counted: list[Text]

    def terms(self, table: pd.DataFrame) -> list[Term]:
        made = []
        for variant in listed(self.variant):
            rows = table[table["variant"] == variant]
            if rows.empty:
                raise NotTested(f"The figure {self.figure} does not show {variant}.")
            hits = rows.loc[rows["kind"].isin(self.counted), "count"].sum()
            e = statistics.proportion(int(hits), int(rows["count"].sum()))
            name = f"share of {' and '.join(self.counted)}, {variant}"
            made.append(self.term(name, e, "share"))
        return made


class Count(Bounded):
    """How many rows of a figure's numbers are as the rule says."""

    kind: Literal["count"]
    figure: Text
    where: dict[Text, Any]

    def terms(self, table: pd.DataFrame) -> list[Term]:
        rows = table
        for column, wanted in self.where.items():
            rows = rows[rows[column] == wanted]
        told = ", ".join(f"{k} {v}" for k, v in self.where.items())
        e = Estimate(len(rows), len(rows), len(rows), len(table))
        return [self.term(f"rows with {told}", e, "plain", "row")]
