"""The kinds of rules that judge claims: each makes terms from records, and changes nothing.

A rule of data/claims.yaml has a kind, one of these or of `sweeps`. Its `terms` are estimates from a
table of records (of a figure's numbers for `Counted`), each with the range that the claim
wants; they raise NotTested where the table lacks what the rule asks for. The rest is `verdicts`'.
"""

import math
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import model_validator

from qlab.claims import paired
from qlab.claims.address import Address, Found, NotTested, Text, Texts, listed
from qlab.claims.verdicts import Term
from qlab.core.stats import Estimate, proportion


class Bounded(Address):
    """A rule: its figures shall lie within bounds, all of them or any."""

    kind: str
    exact: bool = False  # a counted figure needs no interval
    above: float = -math.inf
    below: float = math.inf
    between: list[float] = []
    nominal: float | None = None  # what the statement says, from which a single bound keeps off
    quantifier: Literal["all", "any"] = "all"

    def scaled(self, factor: float) -> Self:
        """The same rule with bounds so many times as wide; itself where nothing says how wide."""
        if self.between:
            middle, half = sum(self.between) / 2, factor * (self.between[1] - self.between[0]) / 2
            return self.model_copy(update={"between": [middle - half, middle + half]})
        if self.nominal is None:
            return self
        side = "above" if math.isfinite(self.above) else "below"
        bound = self.nominal + factor * (getattr(self, side) - self.nominal)
        return self.model_copy(update={side: bound})

    def term(self, name: str, found: Found, form: str) -> Term:
        """An estimate, and the range in which the rule wants it."""
        low, high = self.between or (self.above, self.below)
        timed = found.clock and found.unit != "byte"  # bytes are a meter's
        return Term(name, found.estimate, low, high, form, found.unit, found.clock, timed)

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if len({"above", "below", "between", "tolerance"} & self.model_fields_set) != 1:
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

    def terms(self, table: pd.DataFrame, items: pd.DataFrame | None = None) -> list[Term]:
        found = [(one, one.find(table, self.exact)) for one in self.figures(table)]
        return [self.term(one.name, f, _form(one.metric, f.unit)) for one, f in found]

    def figures(self, table: pd.DataFrame) -> list[Address]:
        """The addresses of all figures; NotTested where none of them is recorded."""
        found = [one for one in self.each() if not self.recorded or one.rows(table).size]
        if not found:
            raise NotTested(f"There is no record of {self.metric} of any of its variants.")
        return found

    def pairs(self, table: pd.DataFrame, items: pd.DataFrame | None, other: Address | str):
        """Each figure with each of the others: names, what was found of both, and their outcomes
        item by item, where they are kept."""
        ones = self.figures(table)
        pairs = pairwise(ones) if other == "next" else (
            (one, second) for one in ones for second in one.but(other).each()
        )  # fmt: skip
        for pair in pairs:
            a, b = (one.find(table, self.exact) for one in pair)
            kept = None if items is None else paired.both(items, table, pair)
            yield *(one.name for one in pair), a, b._replace(clock=a.clock or b.clock), kept


class Ratio(Value):
    """The metric over that of another variant; unpaired, the interval is the widest, over 95 %."""

    kind: Literal["ratio"]
    over: Address

    def terms(self, table: pd.DataFrame, items: pd.DataFrame | None = None) -> list[Term]:
        made = []
        for one, other, (a, *_), (b, unit, clock), kept in self.pairs(table, items, self.over):
            if b.low <= 0 <= b.high:
                raise NotTested(f"{other} may be 0: there is no ratio to it.")
            ends = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
            e = Estimate(a.value / b.value, min(ends), max(ends), min(a.n, b.n))
            e = kept and paired.ratio(*kept) or e
            term = self.term(f"{one} over {other}", Found(e, unit, clock), "x")
            made.append(term._replace(unit="1"))
        return made


class Difference(Value):
    """The metric minus another: of another variant, metric or condition; or minus the next one."""

    kind: Literal["difference"]
    minus: Address | Literal["next"]

    def terms(self, table: pd.DataFrame, items: pd.DataFrame | None = None) -> list[Term]:
        made = []
        for one, other, (a, *_), (b, unit, clock), kept in self.pairs(table, items, self.minus):
            e = Estimate(a.value - b.value, a.low - b.high, a.high - b.low, min(a.n, b.n))
            e = kept and paired.difference(*kept) or e
            form = "points" if unit == "1" else "plain"
            made.append(self.term(f"{one} minus {other}", Found(e, unit, clock), form))
        return made


class Published(Bounded):
    """Metrics against published values, each to within the tolerance."""

    kind: Literal["published"]
    variant: Text
    model: Text
    values: dict[Text, float]
    tolerance: float

    def scaled(self, factor: float) -> Self:
        return self.model_copy(update={"tolerance": factor * self.tolerance})

    def terms(self, table: pd.DataFrame, items: pd.DataFrame | None = None) -> list[Term]:
        made = []
        span = self.tolerance * (1 + 1e-9)  # a hair more, for values just at the tolerance
        for metric, value in self.values.items():
            found = self.but(Address(metric=metric)).find(table, exact=True)
            name = f"{' '.join(filter(None, (self.part, metric)))} of {self.model}"
            term = self.term(name, found, "plain")
            made.append(term._replace(low=value - span, high=value + span))
        return made


class Counted(Bounded):
    """Of a figure's numbers, by variant where it is named: how many rows are as `where` says, or
    which share of its counts they have, with Wilson's interval."""

    kind: Literal["count", "share"]
    figure: Text
    variant: Texts | None = None
    where: dict[Text, Any]

    def terms(self, table: pd.DataFrame, items: pd.DataFrame | None = None) -> list[Term]:
        made, told = [], ", ".join(f"{column} {value}" for column, value in self.where.items())
        for variant in listed(self.variant):
            rows = table if variant is None else table[table["variant"] == variant]
            if rows.empty:
                raise NotTested(f"The figure {self.figure} does not show {variant}.")
            hit = np.logical_and.reduce([rows[c].isin(listed(v)) for c, v in self.where.items()])
            n = int(hit.sum())
            e, form, unit = Estimate(n, n, n, len(rows)), "plain", "row"
            if self.kind == "share":
                hits, of = (int(part["count"].sum()) for part in (rows[hit], rows))
                e, form, unit = proportion(hits, of), "share", "1"
            name = f"{self.kind} with {told}{f', {variant}' if variant else ''}"
            made.append(self.term(name, Found(e, unit, False), form))
        return made


def _form(metric: str, unit: str) -> str:
    """How a metric is written, as in `Term`."""
    if "_ratio" in metric:
        return "x"
    differs = "_difference" in metric or "_minus_" in metric or "gap_growth" in metric
    return "points" if differs and unit == "1" else "plain"
