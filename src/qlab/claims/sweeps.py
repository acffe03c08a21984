"""Rules on a sweep over the number of layers that are quantized: a trend, first against last."""

import math
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from qlab.claims.address import SEEDS, NotTested, Text, subject
from qlab.claims.rules import Bounded
from qlab.claims.verdicts import Term
from qlab.core import places, records
from qlab.core.errors import QlabError
from qlab.core.stats import Estimate

_TESTS = {t.__name__: t for t in (places.by_number, places.by_share, places.by_depth)}


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
        model, dataset = subject(table)
        judged = {"method": self.method, "bits": self.bits, "k": None}
        judged |= {"model": model, "dataset": dataset}
        over = records.pick(table, f"accuracy_minus_last{SEEDS}", **judged)
        if len(over) and self.test == "by_number":
            low, high, n = over[["ci_low", "ci_high", "n"]].iloc[0]
            e = Estimate(-over["value"].iloc[0], -high, -low, int(n))
            name = (
                "loss of the first minus loss of the last, mean over k, seeds and images resampled"
            )
            return [self.term(name, e, "points")]
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
