"""From a rule to estimates: what of the records it means, and how sure that is."""

import math
from collections.abc import Iterable
from itertools import product
from typing import Any

import pandas as pd

from qlab.claims.records import NotTested, subject
from qlab.core import records
from qlab.core.stats import Estimate


def listed(value: Any) -> list:
    """A value that may stand alone, as a list."""
    return value if isinstance(value, list) else [value]


def bounds(rule: dict[str, Any]) -> tuple[float, float]:
    """The range that the rule names."""
    low, high = rule.get("between", (rule.get("above", -math.inf), rule.get("below", math.inf)))
    return float(low), float(high)


def estimate(rule: dict[str, Any], table: pd.DataFrame) -> tuple[Estimate, str]:
    """The record of one metric, variant, model and data set, with its unit.

    Where it was measured from several seeds: their mean, and an interval as wide as theirs
    together, so that a verdict holds for each. A figure without interval is taken as it is only if
    the rule calls it exact. A data set that begins with _ is a worsened copy of the main one.
    """
    model, dataset = subject(table)
    model, named = rule.get("model") or model, rule.get("dataset") or dataset
    if named and named.startswith("_"):
        named = f"{dataset}{named}"
    chosen = {"variant": rule["variant"], "model": model, "dataset": named}
    rows = records.pick(table, rule["metric"], **{k: v for k, v in chosen.items() if v})
    if rows.empty:
        place = f" on {named}" if named else ""
        raise NotTested(f"There is no record of {rule['metric']} of {rule['variant']}{place}.")
    lows, highs = rows["ci_low"], rows["ci_high"]
    if lows.isna().any() and not rule.get("exact", False):
        raise NotTested(f"{rule['metric']} of {rule['variant']} was recorded without an interval.")
    low, high = lows.fillna(rows["value"]).min(), highs.fillna(rows["value"]).max()
    value = float(rows["value"].mean())
    return Estimate(value, float(low), float(high), int(rows["n"].min())), rows["unit"].iloc[0]


def each(rule: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The rule for each combination of the metrics, variants and data sets it lists."""
    keys = [k for k in ("metric", "variant", "dataset") if k in rule]
    for chosen in product(*(listed(rule[k]) for k in keys)):
        yield rule | dict(zip(keys, chosen, strict=True))


def name(rule: dict[str, Any]) -> str:
    """What a rule for one figure reads, in words."""
    place = f" on {rule['dataset'].lstrip('_')}" if rule.get("dataset") else ""
    return f"{rule['metric']} of {rule['variant']}{place}"


def form(metric: str) -> str:
    """How a figure of this metric is written, as in `Term`."""
    if "ratio" in metric:
        return "x"
    return "points" if "difference" in metric or metric.startswith("gap_growth") else "plain"
