"""The kinds of rules that judge claims: each makes terms from records, and changes nothing.

Its `terms` are estimates from a table of records (for `Counted`, of a figure's numbers), each with
the range that the claim wants; NotTested where the table lacks what the rule asks for.
"""

import math
from itertools import pairwise
from operator import sub, truediv
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import model_validator
from scipy import stats

from qlab.claims import paired
from qlab.claims.address import Address, Found, NotTested, Text, Texts, listed
from qlab.claims.verdicts import Term
from qlab.core import places, records
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate, Z, proportion

Items = pd.DataFrame | None


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
        middle = sum(self.between) / 2 if self.between else self.nominal
        if middle is None:
            return self
        ends = [middle + factor * (end - middle) for end in self.range]
        return self.model_copy(update={"between": ends})

    @property
    def range(self) -> list[float]:
        """From where to where, maybe at infinity."""
        return self.between or [self.above, self.below]

    def term(self, name: str, found: Found, form: str) -> Term:
        """An estimate, and the range in which the rule wants it."""
        timed = found.clock and found.unit != "byte"  # bytes are a meter's
        return Term(name, found.estimate, *self.range, form, found.unit, found.clock, timed)

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

    def terms(self, table: pd.DataFrame, items: Items = None) -> list[Term]:
        found = [(one, one.find(table, self.exact)) for one in self.figures(table)]
        return [self.term(one.name, f, _form(one.metric, f.unit)) for one, f in found]

    def figures(self, table: pd.DataFrame) -> list[Address]:
        """The addresses of all figures; NotTested where none of them is recorded."""
        found = [one for one in self.each() if not self.recorded or one.rows(table).size]
        if not found:
            raise NotTested(f"There is no record of {self.metric} of any of its variants.")
        return found


class Compared(Value):
    """The metric over that of another variant, or minus another: of another variant, metric or
    condition, or the next one. Item by item where the outcomes of both are kept; else from both
    intervals, the widest, over 95 %."""

    kind: Literal["ratio", "difference"]
    over: Address | None = None
    minus: Address | Literal["next"] | None = None

    def terms(self, table: pd.DataFrame, items: Items = None) -> list[Term]:
        ones, other, made = self.figures(table), self.over or self.minus, []
        over, minus = (truediv, "over", paired.ratio), (sub, "minus", paired.difference)
        how, word, draw = over if self.over else minus
        several = () if other == "next" else [(a, b) for a in ones for b in a.but(other).each()]
        for pair in several or pairwise(ones):
            (a, _, clock), (b, unit, more) = (one.find(table, self.exact) for one in pair)
            if self.over and b.low <= 0 <= b.high:
                raise NotTested(f"{pair[1].name} may be 0: there is no ratio to it.")
            ends = [how(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
            e = Estimate(how(a.value, b.value), min(ends), max(ends), min(a.n, b.n))
            kept = None if items is None else paired.both(items, table, pair)
            found = Found(kept and draw(*kept) or e, unit, clock or more)
            form = "x" if self.over else "points" if unit == "1" else "plain"
            term = self.term(f"{pair[0].name} {word} {pair[1].name}", found, form)
            made.append(term._replace(unit="1") if self.over else term)
        return made

    @model_validator(mode="after")
    def _one_other(self) -> Self:
        if (bool(self.over), bool(self.minus)) != (self.kind == "ratio", self.kind != "ratio"):
            raise ValueError("a ratio must have 'over', a difference 'minus'")
        return self


class Published(Bounded):
    """Metrics against published values, each to within the tolerance."""

    kind: Literal["published"]
    variant: Text
    model: Text
    part: Text
    values: dict[Text, float]
    tolerance: float

    def scaled(self, factor: float) -> Self:
        return self.model_copy(update={"tolerance": factor * self.tolerance})

    def terms(self, table: pd.DataFrame, items: Items = None) -> list[Term]:
        made = []
        span = self.tolerance * (1 + 1e-9)  # a hair more, for values just at the tolerance
        for metric, value in self.values.items():
            found = self.but(Address(metric=metric)).find(table, exact=True)
            term = self.term(f"{self.part} {metric} of {self.model}", found, "plain")
            made.append(term._replace(low=value - span, high=value + span))
        return made


class Counted(Bounded):
    """Of a figure's numbers, by variant where it is named: how many rows are as `where` says, or
    which share of its counts they have, with Wilson's interval."""

    kind: Literal["count", "share"]
    figure: Text
    variant: Texts | None = None
    where: dict[Text, Any]

    def terms(self, table: pd.DataFrame, items: Items = None) -> list[Term]:
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


class Trend(Bounded):
    """Spearman's correlation of the seeds' mean with k; interval by Bonett and Wright 2000."""

    kind: Literal["trend"]
    metric: Text
    method: Text
    bits: int
    where: Text

    def terms(self, table: pd.DataFrame, items: Items = None) -> list[Term]:
        series = {"method": self.method, "bits": self.bits, "where": self.where}
        rows = records.pick(self.rows(table), self.metric, **series)
        means = rows.groupby("k")["value"].mean()
        if (n := len(means)) < 5:
            raise NotTested(f"A trend takes 5 values of k; the records have {n}.")
        r = float(stats.spearmanr(means.index.astype(int), means).statistic)
        half = Z * math.sqrt((1 + r**2 / 2) / (n - 3))
        z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
        ends = [r, *map(float, np.tanh([z - half, z + half]))]  # at 1 and -1 rounding cuts r off
        found = Found(Estimate(r, min(ends), max(ends), n), "1", bool(rows["clock"].any()))
        told = f"{self.method}, {self.bits} bits, {self.where} k"
        return [self.term(f"rank correlation of {self.metric} with k ({told})", found, "r")]


class Depth(Bounded):
    """Layers quantized alone: the loss of the first minus that of the last at equal size, by the
    regression of `core.places.by_depth`, whose unit is the layer."""

    kind: Literal["depth"]
    method: Text
    bits: int

    def terms(self, table: pd.DataFrame, items: Items = None) -> list[Term]:
        points = places.points_table(table)
        chosen, layers = points.query("method == @self.method and bits == @self.bits"), points["k"]
        try:
            found = places.by_depth(places.each_alone(chosen, layers.max()), int(layers.max()))
        except QlabError as error:
            raise NotTested(str(error)) from None
        name = f"loss of the first minus loss of the last, {found.method}"
        return [self.term(name, Found(found.difference, "1", False), "points")]


def _form(metric: str, unit: str) -> str:
    """How a metric is written, as in `Term`."""
    if "_ratio" in metric:
        return "x"
    differs = "_difference" in metric or "_minus_" in metric or "gap_growth" in metric
    return "points" if differs and unit == "1" else "plain"
