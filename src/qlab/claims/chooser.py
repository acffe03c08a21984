"""Choose a variant from the experiments' records: at most this size, at most this loss.

A loss counts by its interval's bad end: a variant keeps a bound only if the whole 95 % interval of
its difference from float does. So with few items a variant is harder to choose, not easier. What
has an adapter is left out, float too: an adapter also learns the task, which the others have not.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from qlab.claims import address
from qlab.claims.address import Address, NotTested
from qlab.core import records

LONG = "-long"  # suffix of a profile's long sweep, which has more variants and seeds
POINTS = 100  # percentage points in a share of 1
# Columns by which the variants that fit are sorted, ascending. Intervals count by their bad ends.
PREFER = {"quality": ["loss", "share"], "size": ["share", "loss"], "time": ["time_high", "loss"]}


class Kind(NamedTuple):
    """A kind of model, and the metrics by which it is judged."""

    name: str  # as the reader sees it: "detector"
    experiment: str  # the one whose records judge it
    quality: str  # metric: difference of the score from float's, on the same items
    score: str  # as the reader sees it: "AP"
    items: str  # what was judged: "images", "passages"
    time: str  # metric: ratio to float, of times or of speeds


KINDS = {kind.name: kind for kind in (
    Kind("detector", "centernet_ptq", "ap_difference", "AP", "images", "latency_ratio_p50"),
    Kind("language model", "llama_gptq", "acc_difference", "acc", "passages", "tokens_per_s_ratio"),
    Kind("classifier", "resnet_qat", "accuracy_difference", "accuracy", "images", "latency_ratio"),
    Kind("sentence classifier", "transformer_qat", "accuracy_difference", "accuracy", "sentences",
         "latency_ratio"),
)}  # fmt: skip


def read_all(*profiles: str) -> dict[str, pd.DataFrame]:
    """`variants` by the kind's name, from the first profile with records, its long sweep first."""
    found = {}
    for name, kind in KINDS.items():
        for place in (profile + part for profile in profiles for part in (LONG, "")):
            if name not in found and records.csv_path(kind.experiment, place).is_file():
                found[name] = variants(kind, records.read(kind.experiment, place))
    return found


def variants(kind: Kind, table: pd.DataFrame) -> pd.DataFrame:
    """One row for each variant with a size and a comparison, and for the parent; smallest first.

    Columns: model, dataset, variant, parent (whether it is), size (bytes), share (of float's
    bytes), quality and its ends (difference from float, a share), time and its ends (ratio to
    float; NaN if not timed), n (items), seeds. QlabError: not one parent, see `records.parent`.
    """
    plain = table[table["condition"].isna()]
    trained = records.pick(plain, "recovery_difference")["variant"]  # those with adapters
    plain = plain[~plain["variant"].isin(trained)]
    model, dataset = address.subject(plain)
    sizes = records.pick(plain, "size_bytes").set_index("variant")["value"].astype(int)
    parent = records.parent(plain, kind.quality)
    found = pd.DataFrame({"model": model, "dataset": dataset, "variant": sizes.index})
    found["parent"] = found["variant"] == parent
    found["size"], found["share"] = sizes.to_numpy(), sizes.to_numpy() / sizes[parent]
    for name, metric, own in (("quality", kind.quality, 0.0), ("time", kind.time, 1.0)):
        ends = [_ends(plain, v, metric, own if v == parent else math.nan) for v in sizes.index]
        found[[name, f"{name}_low", f"{name}_high"]] = ends
    if (records.pick(plain, kind.time)["better"] > 0).any():  # a speed, whose inverse is a time
        found[["time", "time_high", "time_low"]] = 1 / found[["time", "time_low", "time_high"]]
    judged = records.pick(plain, kind.quality, model=model, dataset=dataset).groupby("variant")["n"]
    found["n"] = found["variant"].map(judged.min()).fillna(judged.min().max())
    found["seeds"] = found["variant"].map(judged.size()).fillna(1)
    found = found.dropna(subset="quality")  # a variant that was not judged is no choice
    found = found.astype({"n": int, "seeds": int})
    return found.sort_values(["size", "variant"], ignore_index=True)


def _ends(table: pd.DataFrame, variant: str, metric: str, otherwise: float) -> tuple:
    """Value and interval ends of a variant's metric; three times `otherwise` where it has none."""
    try:
        return Address(metric=metric, variant=variant).find(table, exact=True).estimate[:3]
    except NotTested:
        return (otherwise,) * 3


def standing(table: pd.DataFrame, cost: str = "share") -> pd.Series:
    """How each of `variants` stands in quality against a cost, "share" or "time".

    "unbeaten": on the Pareto front; "beaten": by values, though the intervals overlap; "surely
    beaten": another costs less and is better even by the bad ends of its own intervals and the good
    ends of this one's; "unknown": its cost was not measured.
    """
    ends = {"share": ("share", "share"), "time": ("time_low", "time_high")}[cost]
    names = (cost, *ends, "quality", "quality_low", "quality_high")
    c, low, high, q, worst, best = (table[name].to_numpy()[:, None] for name in names)
    as_good, better = (c >= c.T) & (q <= q.T), (c > c.T) | (q < q.T)
    surely = (low > high.T) & (best < worst.T)
    told = [table[cost].isna(), surely.any(axis=1), (as_good & better).any(axis=1)]
    words = np.select(told, ["unknown", "surely beaten", "beaten"], "unbeaten")
    return pd.Series(words, table.index, name="standing")


def choose(table: pd.DataFrame, max_share: float = math.inf, max_loss: float = math.inf,
           prefer: str = "quality") -> pd.DataFrame:  # fmt: skip
    """The rows of `variants` that keep both bounds, best first by `PREFER`.

    `max_share` is a share of the float file's bytes. `max_loss` is a share too (0.01 is one point)
    and bounds the column `loss`, the bad end of the interval.
    """
    table = table.assign(loss=-table["quality_low"])
    kept = table[(table["share"] <= max_share) & (table["loss"] <= max_loss)]
    return kept.sort_values(PREFER[prefer], kind="stable")


def quality(row: pd.Series) -> str:
    """Difference from float in points, with its interval, as text; "0" for float itself."""
    ends = (f"{POINTS * row[f'quality{end}']:+z.2f}" for end in ("", "_low", "_high"))
    return "0" if row["parent"] else "{} [{}, {}]".format(*ends)


def time(row: pd.Series) -> str:
    """Ratio to float's time, with its interval, as text; "1" for float, a dash where not timed."""
    if row["parent"] or pd.isna(row["time"]):
        return "1" if row["parent"] else "–"
    return "{:.2f} [{:.2f}, {:.2f}]".format(*row[["time", "time_low", "time_high"]])
