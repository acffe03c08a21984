"""The kinds of rules that judge claims: each makes terms from records, and changes nothing.

`terms` takes a rule of data/claims.yaml as it stands there and a table of records (for share and
count: the numbers of a figure). The verdict on terms is `claim_verdicts`'.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from qlab.claims.estimates import bounds, each, estimate, form, listed
from qlab.claims.estimates import name as name_of
from qlab.claims.records import NotTested
from qlab.claims.verdicts import Term
from qlab.core import places
from qlab.core import stats as statistics
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate

_TESTS = {t.__name__: t for t in (places.by_number, places.by_share, places.by_depth)}


def terms(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """The terms of a claim's rule, from records (or from a figure's numbers: share, count).

    Raises NotTested where the table lacks what the rule asks for.
    """
    return _KINDS[rule["kind"]](rule, table)


def _value(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """The metric itself: each variant's in the range."""
    found = []
    for one in each(rule):
        e, unit = estimate(one, table)
        found.append(Term(name_of(one), e, *bounds(rule), form(one["metric"]), unit))
    return found


def _ratio(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """The metric over that of another variant; the interval is the widest of both intervals.

    For independent estimates it covers 95 % and more.
    """
    found = []
    for one in each(rule):
        (a, _), (b, _) = estimate(one, table), estimate(one | rule["over"], table)
        if b.low <= 0 <= b.high:
            raise NotTested(f"{name_of(one | rule['over'])} may be 0: there is no ratio to it.")
        ends = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
        e = Estimate(a.value / b.value, min(ends), max(ends), min(a.n, b.n))
        name = f"{name_of(one)} over {name_of(one | rule['over'])}"
        found.append(Term(name, e, *bounds(rule), "x"))
    return found


def _difference(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """The metric minus another: of another variant, metric or data set; interval as in `_ratio`."""
    found = []
    for one in each(rule):
        for other in each(one | rule["minus"]):
            found.append(_minus(one, other, bounds(rule), table))
    return found


def _minus(one: dict, other: dict, span: tuple[float, float], table: pd.DataFrame) -> Term:
    (a, unit), (b, _) = estimate(one, table), estimate(other, table)
    e = Estimate(a.value - b.value, a.low - b.high, a.high - b.low, min(a.n, b.n))
    form = "points" if unit == "1" else "plain"
    return Term(f"{name_of(one)} minus {name_of(other)}", e, *span, form, unit)


def _ordering(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """The metrics, or the variants, in falling order: each step down is above 0."""
    steps = list(each(rule))
    pairs = zip(steps, steps[1:], strict=False)
    return [_minus(one, other, (0.0, math.inf), table) for one, other in pairs]


def _published(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """Metrics against published values, each to within the tolerance."""
    found = []
    for metric, value in rule["values"].items():
        e, unit = estimate(rule | {"metric": metric, "exact": True}, table)
        # A hair more, for values that lie just at the tolerance.
        span = rule["tolerance"] * (1 + 1e-9)
        found.append(
            Term(f"{metric} of {rule['model']}", e, value - span, value + span, "plain", unit)
        )
    return found


def _trend(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """Spearman's rank correlation of a metric, averaged over seeds, with k, the layers quantized.

    `variant` holds {k}. Interval by Bonett and Wright 2000.
    """
    before, after = rule["variant"].split("{k}")
    ks = table["variant"].str.extract(rf"^{before}(\d+){after}$")[0].dropna().astype(int).unique()
    one = [rule | {"variant": f"{before}{k}{after}", "exact": True} for k in sorted(ks)]
    if len(one) < 5:
        raise NotTested(f"A trend takes 5 values of k; the records have {len(one)}.")
    values = [estimate(r, table)[0].value for r in one]
    r, n = float(stats.spearmanr(sorted(ks), values).statistic), len(one)
    half = 1.959964 * math.sqrt((1 + r**2 / 2) / (n - 3))
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    low, high = (float(np.tanh(z + side * half)) for side in (-1, 1))
    e = Estimate(r, min(low, r), max(high, r), n)  # at 1 and -1 rounding would leave r outside
    name = f"rank correlation of {rule['metric']} with k ({rule['variant']})"
    return [Term(name, e, *bounds(rule), "r")]


def _places(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """First against last layers by a test of `qat_places`, which decides by its p value."""
    points = places.points_table(table)
    chosen = points[(points["method"] == rule["method"]) & (points["bits"] == rule["bits"])]
    if chosen.empty:
        raise NotTested(f"The sweep has no {rule['method']} at {rule['bits']} bits.")
    layers = int(points["k"].max())
    series = chosen[chosen["where"] != "only"]
    whole = pd.concat([series, places.each_alone(chosen, layers)], ignore_index=True)
    try:
        found = _TESTS[rule["test"]](whole, layers)
    except QlabError as error:
        raise NotTested(str(error)) from None
    if math.isnan(found.p_value) or math.isinf(found.detectable):
        raise NotTested(f"{found.question}: {found.words}.")
    name = f"loss of the first minus loss of the last, {found.method}"
    return [
        Term(name, found.difference, *bounds(rule), "points", "1", found.p_value, found.detectable)
    ]


def _share(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """Which share of a variant's counts falls into the kinds counted; interval by Wilson."""
    found = []
    for variant in listed(rule["variant"]):
        rows = table[table["variant"] == variant]
        if rows.empty:
            raise NotTested(f"The figure {rule['figure']} does not show {variant}.")
        hits = rows.loc[rows["kind"].isin(listed(rule["counted"])), "count"].sum()
        e = statistics.proportion(int(hits), int(rows["count"].sum()))
        name = f"share of {' and '.join(listed(rule['counted']))}, {variant}"
        found.append(Term(name, e, *bounds(rule), "share"))
    return found


def _count(rule: dict[str, Any], table: pd.DataFrame) -> list[Term]:
    """How many rows of a figure's numbers are as the rule says."""
    rows = table
    for column, wanted in rule["where"].items():
        rows = rows[rows[column] == wanted]
    told = ", ".join(f"{k} {v}" for k, v in rule["where"].items())
    e = Estimate(len(rows), len(rows), len(rows), len(table))
    return [Term(f"rows with {told}", e, *bounds(rule), "plain", "row")]


_KINDS: dict[str, Callable[[dict[str, Any], pd.DataFrame], list[Term]]] = {
    "value": _value, "ratio": _ratio, "difference": _difference, "ordering": _ordering,
    "published": _published, "trend": _trend, "places": _places, "share": _share, "count": _count,
}  # fmt: skip
