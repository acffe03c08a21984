"""The kinds of rules that judge claims: each makes terms from records, and changes nothing.

A rule of data/claims.yaml is one of `Rule`, by its kind. Its `terms` are estimates from a table of
records (of a figure's numbers for `Share` and `Count`), each with the range that the claim wants;
they raise NotTested where the table lacks what the rule asks for. What follows is `verdicts`'.
"""

import math
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import stats

from qlab.claims.address import Address, NotTested, Text, Texts, listed, subject
from qlab.claims.verdicts import Term
from qlab.core import places, records
from qlab.core import stats as statistics
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate

_TESTS = {t.__name__: t for t in (places.by_number, places.by_share, places.by_depth)}
_FORMS = {  # how a metric is written, as in `Term`; others plainly
    **dict.fromkeys(
        ("latency_ratio", "latency_ratio_p50", "latency_builtin_ratio_p50", "train_step_ratio",
         "tokens_per_s_ratio"), "x"),
    **dict.fromkeys(
        ("accuracy_difference", "ap_difference_extra", "top_first_token_difference",
         "gap_growth_k1_k10"), "points"),
}  # fmt: skip


class Judging(Address):
    """A rule."""

    kind: str
    exact: bool = False  # a counted figure needs no interval

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
    quantifier: Literal["all", "any"] = "all"

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

    def terms(self, table: pd.DataFrame) -> list[Term]:
        made = []
        for one in self.each():
            e, unit, clock = one.find(table, self.exact)
            form = _FORMS.get(one.metric, "plain")
            made.append(self.term(one.name, e, form, unit, clock=clock))
        return made


class Ratio(Value):
    """The metric over that of another variant; the interval is the widest, 95 % and more."""

    kind: Literal["ratio"]
    over: Address

    def terms(self, table: pd.DataFrame) -> list[Term]:
        made = []
        for one in self.each():
            other = one.but(self.over)
            (a, _, clock), (b, _, too) = (o.find(table, self.exact) for o in (one, other))
            if b.low <= 0 <= b.high:
                raise NotTested(f"{other.name} may be 0: there is no ratio to it.")
            ends = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
            e = Estimate(a.value / b.value, min(ends), max(ends), min(a.n, b.n))
            name = f"{one.name} over {other.name}"
            made.append(self.term(name, e, "x", clock=clock or too))
        return made


class Difference(Value):
    """The metric minus another: of another variant, metric or condition; interval as a ratio's."""

    kind: Literal["difference"]
    minus: Address

    def terms(self, table: pd.DataFrame) -> list[Term]:
        pairs = [(one, other) for one in self.each() for other in one.but(self.minus).each()]
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

    def terms(self, table: pd.DataFrame) -> list[Term]:
        made = []
        span = self.tolerance * (1 + 1e-9)  # a hair more, for values just at the tolerance
        for metric, value in self.values.items():
            e, unit, clock = self.but(Address(metric=metric)).find(table, exact=True)
            name = f"{' '.join(filter(None, (self.part, metric)))} of {self.model}"
            made.append(Term(name, e, value - span, value + span, "plain", unit, clock=clock))
        return made


class Trend(Bounded):
    """Spearman's correlation of the seeds' mean with k; interval by Bonett and Wright 2000."""

    kind: Literal["trend"]
    metric: Text
    method: Text
    bits: int
    where: Text

    def terms(self, table: pd.DataFrame) -> list[Term]:
        model, dataset = subject(table)
        chosen = {"method": self.method, "bits": self.bits, "where": self.where}
        here = {"model": model, "dataset": dataset, "condition": None}
        rows = records.pick(table, self.metric, **chosen, **here)
        means = {k: part["value"].mean() for k, part in rows.groupby("k")}
        if len(means) < 5:
            raise NotTested(f"A trend takes 5 values of k; the records have {len(means)}.")
        r, n = float(stats.spearmanr(list(means), list(means.values())).statistic), len(means)
        half = 1.959964 * math.sqrt((1 + r**2 / 2) / (n - 3))
        z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
        low, high = (float(np.tanh(z + side * half)) for side in (-1, 1))
        e = Estimate(r, min(low, r), max(high, r), n)  # at 1 and -1 rounding would leave r outside
        series = f"{self.method}, {self.bits} bits, {self.where} k"
        name = f"rank correlation of {self.metric} with k ({series})"
        return [self.term(name, e, "r", clock=bool(rows["clock"].any()))]


class Places(Bounded):
    """First against last layers by a test of `core.places`, which decides by its p value."""

    kind: Literal["places"]
    test: Literal["by_number", "by_share", "by_depth"]
    method: Text
    bits: int

    def terms(self, table: pd.DataFrame) -> list[Term]:
        points = places.points_table(table)
        chosen = points[(points["method"] == self.method) & (points["bits"] == self.bits)]
        if chosen.empty:
            raise NotTested(f"The sweep has no {self.method} at {self.bits} bits.")
        layers = int(points["k"].max())
        series = chosen[chosen["where"] != "only"]
        whole = pd.concat([series, places.each_alone(chosen, layers)], ignore_index=True)
        try:
            found = _TESTS[self.test](whole, layers)
        except QlabError as error:
            raise NotTested(str(error)) from None
        if math.isnan(found.p_value) or math.isinf(found.detectable):
            raise NotTested(f"{found.question}: {found.words}.")
        name = f"loss of the first minus loss of the last, {found.method}"
        tested = {"p_value": found.p_value, "detectable": found.detectable}
        return [self.term(name, found.difference, "points", **tested)]


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


Rule = Annotated[
    Value | Ratio | Difference | Ordering | Published | Trend | Places | Share | Count,
    Field(discriminator="kind"),
]
