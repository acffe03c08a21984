"""Rules on a sweep over the number of layers that are quantized: a trend, first against last."""

import math
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from qlab.claims.address import SEEDS, Address, Found, NotTested, Text
from qlab.claims.rules import Bounded
from qlab.claims.verdicts import Term
from qlab.core import places, records
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate


class Trend(Bounded):
    """Spearman's correlation of the seeds' mean with k; interval by Bonett and Wright 2000."""

    kind: Literal["trend"]
    metric: Text
    method: Text
    bits: int
    where: Text

    def terms(self, table: pd.DataFrame, items: pd.DataFrame | None = None) -> list[Term]:
        series = {"method": self.method, "bits": self.bits, "where": self.where}
        rows = records.pick(self.rows(table), self.metric, **series)
        means = rows.groupby("k")["value"].mean()
        if (n := len(means)) < 5:
            raise NotTested(f"A trend takes 5 values of k; the records have {n}.")
        r = float(stats.spearmanr(means.index.astype(int), means).statistic)
        half = 1.959964 * math.sqrt((1 + r**2 / 2) / (n - 3))
        z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
        low, high = (float(np.tanh(z + side * half)) for side in (-1, 1))
        e = Estimate(r, min(low, r), max(high, r), n)  # at 1 and -1 rounding would leave r outside
        told = f"{self.method}, {self.bits} bits, {self.where} k"
        name = f"rank correlation of {self.metric} with k ({told})"
        return [self.term(name, Found(e, "1", bool(rows["clock"].any())), "r")]


class Places(Bounded):
    """First against last layers: by the record over seeds and items, where there is one; else by a
    test of `core.places`, which decides by its p value."""

    kind: Literal["places"]
    test: Literal["by_number", "by_depth"]
    method: Text
    bits: int

    def terms(self, table: pd.DataFrame, items: pd.DataFrame | None = None) -> list[Term]:
        series, metric = {"method": self.method, "bits": self.bits}, f"accuracy_minus_last{SEEDS}"
        over = records.pick(self.but(Address(metric=metric)).rows(table), metric, **series, k=None)
        if len(over) and self.test == "by_number":
            value, low, high, n = over[["value", "ci_low", "ci_high", "n"]].iloc[0]
            found = Found(Estimate(-value, -high, -low, int(n)), "1", False)
            name = "loss of the first minus loss of the last, mean over k, seeds and images"
            return [self.term(f"{name} resampled", found, "points")]
        points = places.points_table(table)
        chosen = points[(points["method"] == self.method) & (points["bits"] == self.bits)]
        if chosen.empty:
            raise NotTested(f"The sweep has no {self.method} at {self.bits} bits.")
        layers = int(points["k"].max())
        alone = places.each_alone(chosen, layers)
        whole = pd.concat([chosen[chosen["where"] != "only"], alone], ignore_index=True)
        try:
            found = getattr(places, self.test)(whole, layers)
        except QlabError as error:
            raise NotTested(str(error)) from None
        if math.isnan(found.p_value) or math.isinf(found.detectable):
            raise NotTested(f"{found.question}: {found.words}.")
        name = f"loss of the first minus loss of the last, {found.method}"
        tested = {"p_value": found.p_value, "detectable": found.detectable}
        return [self.term(name, Found(found.difference, "1", False), "points", **tested)]
