"""The kinds of rules that judge claims: each makes terms from records and changes nothing.

Its `terms` are estimates from a table of records (for `Counted`, from a figure's numbers), each
with the range that the claim wants; NotTested where the table lacks what the rule asks for.
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
from qlab.claims.address import Address, NotTested, Text, Texts, listed
from qlab.claims.verdicts import Term
from qlab.core import records
from qlab.core.stats import Estimate, Z, proportion

Items = pd.DataFrame | None


class Bounded(Address):
    """A rule that wants its figures to lie within bounds: all of them, or any."""

    kind: str
    exact: bool = False  # a counted figure needs no interval
    above: float = -math.inf
    below: float = math.inf
    between: list[float] = []
    nominal: float | None = None  # the stated value, where a single bound keeps a margin from it
    quantifier: Literal["all", "any"] = "all"

    def scaled(self, terms: list[Term], factor: float) -> list[Term]:
        """The terms with ranges `factor` times as wide; unchanged where a range has no middle."""
        wider = []
        for term in terms:
            middle = (term.low + term.high) / 2
            middle = middle if math.isfinite(middle) else self.nominal
            if middle is None:
                return terms
            low, high = (middle + factor * (end - middle) for end in (term.low, term.high))
            wider.append(term._replace(low=low, high=high))
        return wider

    def terms(self, table: pd.DataFrame, items: Items = None) -> list[Term]:
        """The figures that the rule finds, each with the range that it wants."""
        low, high = self.between or (self.above, self.below)
        return [term._replace(low=low, high=high) for term in self.found(table, items)]

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if len({"above", "below", "between", "tolerance"} & self.model_fields_set) != 1:
            raise ValueError("it must have just one of 'above', 'below' and 'between'")
        if self.between and (len(self.between) != 2 or self.between[0] >= self.between[1]):
            raise ValueError("'between' must be two numbers, the smaller first")
        return self


class Value(Bounded):
    """A metric; its ratio to another variant's; or its difference from that of another variant,
    metric or condition, or from the next one's. These two are compared item by item where the
    outcomes of both are kept; else their interval is the widest that both allow, over 95 %."""

    kind: Literal["value", "ratio", "difference"]
    metric: Texts
    variant: Texts
    recorded: bool = False  # take only those variants of which this model has records
    over: Address | None = None
    minus: Address | Literal["next"] | None = None

    def found(self, table: pd.DataFrame, items: Items) -> list[Term]:
        ones = [one for one in self.each() if not self.recorded or one.rows(table).size]
        if not ones:
            raise NotTested(f"There is no record of {self.metric} of any of its variants.")
        if self.kind == "value":
            return [one.find(table, self.exact) for one in ones]
        other = self.over or self.minus
        several = () if other == "next" else [(a, b) for a in ones for b in a.but(other).each()]
        return [self._compared(pair, table, items) for pair in several or pairwise(ones)]

    def _compared(self, pair: tuple[Address, Address], table: pd.DataFrame, items: Items) -> Term:
        one, other = (address.find(table, self.exact) for address in pair)
        a, b, clock = one.estimate, other.estimate, one.clock or other.clock
        if self.over and b.low <= 0 <= b.high:
            raise NotTested(f"{other.name} may be 0: there is no ratio to it.")
        over, minus = (truediv, "over", paired.ratio), (sub, "minus", paired.difference)
        how, word, draw = over if self.over else minus
        ends = [how(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
        e = Estimate(how(a.value, b.value), min(ends), max(ends), min(a.n, b.n))
        kept = None if items is None else paired.both(items, table, pair)
        found = kept and draw(*kept) or e
        form = "x" if self.over else "points" if other.unit == "1" else "plain"
        return Term(f"{one.name} {word} {other.name}", found, form, other.unit, clock)

    @model_validator(mode="after")
    def _one_other(self) -> Self:
        if (bool(self.over), bool(self.minus)) != (self.kind == "ratio", self.kind == "difference"):
            raise ValueError("a ratio must have 'over', a difference 'minus'")
        return self


class Published(Bounded):
    """Metrics that shall agree with published values, each to within the tolerance."""

    kind: Literal["published"]
    values: dict[Text, float]
    tolerance: float

    def terms(self, table: pd.DataFrame, items: Items = None) -> list[Term]:
        span = self.tolerance * (1 + 1e-9)  # a hair more, for values just at the tolerance
        found = {m: self.but(Address(metric=m)).find(table, exact=True) for m in self.values}
        name = f"{self.part} {{}} of {self.model}"
        return [found[m]._replace(name=name.format(m), low=v - span, high=v + span)
                for m, v in self.values.items()]  # fmt: skip


class Counted(Bounded):
    """A figure's rows, for each variant that is named: how many match `where`, or which share of
    the counts they have, with Wilson's interval."""

    kind: Literal["count", "share"]
    figure: Text
    where: dict[Text, Any]

    def found(self, table: pd.DataFrame, items: Items) -> list[Term]:
        made, told = [], ", ".join(f"{column} {value}" for column, value in self.where.items())
        for variant in listed(self.variant):
            rows = table if variant is None else table[table["variant"] == variant]
            if rows.empty:
                raise NotTested(f"The figure {self.figure} does not show {variant}.")
            hit = np.logical_and.reduce([rows[c].isin(listed(v)) for c, v in self.where.items()])
            n, name = int(hit.sum()), f"{self.kind} with {told}{f', {variant}' if variant else ''}"
            e, form, unit = Estimate(n, n, n, len(rows)), "plain", "row"
            if self.kind == "share":
                hits, of = (int(part["count"].sum()) for part in (rows[hit], rows))
                e, form, unit = proportion(hits, of), "share", "1"
            made.append(Term(name, e, form, unit))
        return made


class Trend(Bounded):
    """Spearman's correlation of the mean over seeds with k; interval by Bonett and Wright 2000."""

    kind: Literal["trend"]
    metric: Text
    method: Text
    bits: int
    where: Text

    def found(self, table: pd.DataFrame, items: Items) -> list[Term]:
        series = {"method": self.method, "bits": self.bits, "where": self.where}
        rows = records.pick(self.rows(table), self.metric, **series)
        means = rows.groupby("k")["value"].mean()
        if (n := len(means)) < 5:
            raise NotTested(f"A trend takes 5 values of k; the records have {n}.")
        r = float(stats.spearmanr(means.index.astype(int), means).statistic)
        half = Z * math.sqrt((1 + r**2 / 2) / (n - 3))
        z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
        ends = [r, *map(float, np.tanh([z - half, z + half]))]  # at 1 and -1 rounding excludes r
        told = f"{self.method}, {self.bits} bits, {self.where} k"
        name, clock = f"rank correlation of {self.metric} with k ({told})", rows["clock"].any()
        return [Term(name, Estimate(r, min(ends), max(ends), n), "r", "1", bool(clock))]
