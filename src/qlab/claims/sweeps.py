"""Rules on a sweep over the layers that are quantized: a trend with their number, their depth."""

import math
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from qlab.claims.address import Found, NotTested, Text
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


class Depth(Bounded):
    """Layers quantized alone: the loss of the first minus that of the last at equal size, by the
    regression of `core.places.by_depth`, whose unit is the layer."""

    kind: Literal["depth"]
    method: Text
    bits: int

    def terms(self, table: pd.DataFrame, items: pd.DataFrame | None = None) -> list[Term]:
        points = places.points_table(table)
        chosen = points[(points["method"] == self.method) & (points["bits"] == self.bits)]
        if chosen.empty:
            raise NotTested(f"The sweep has no {self.method} at {self.bits} bits.")
        layers = int(points["k"].max())
        try:
            found = places.by_depth(places.each_alone(chosen, layers), layers)
        except QlabError as error:
            raise NotTested(str(error)) from None
        name = f"loss of the first minus loss of the last, {found.method}"
        return [self.term(name, Found(found.difference, "1", False), "points")]
