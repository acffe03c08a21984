"""Which variant to take: at most this size, at most this loss, from the records of experiments 1-3.

A loss counts by its interval's bad end: a variant keeps a bound only if the whole 95 % interval of
its difference to float does. So few items make a variant harder to choose, not easier.
"""

import math
from typing import NamedTuple

import pandas as pd

from qlab.claims.address import SEEDS
from qlab.core import records
from qlab.core.errors import QlabError

PARENT = "fp32"  # the float variant
LONG = "-long"  # a profile's long sweep, where there is one, has more variants and seeds
POINTS = 100  # percentage points of a share
_LEAST = {  # what decides: what the one taken has
    "quality": "the least loss, by the bad end of its interval",
    "size": "the smallest file",
    "time": "the least time, by the bad end of its interval",
}


class Kind(NamedTuple):
    """A kind of model, and the metrics it is judged by."""

    name: str  # as the reader is told, "detector"
    experiment: str  # whose records it is judged by
    quality: str  # difference to float, on the same items; higher is better
    score: str  # what it is the difference of
    items: str  # what was judged: "images", "passages"
    time: str  # ratio to float
    is_speed: bool = False  # the ratio is of speeds, so that its inverse is of times


KINDS = {kind.name: kind for kind in (
    Kind("detector", "centernet_ptq", "ap_difference", "AP", "images", "latency_ratio_p50"),
    Kind("language model", "llama_gptq", "acc_difference", "acc", "passages", "tokens_per_s_ratio",
         is_speed=True),
    Kind("classifier", "resnet_qat", "accuracy_difference", "accuracy", "images", "latency_ratio"),
)}  # fmt: skip


def read_all(*profiles: str) -> dict[str, pd.DataFrame]:
    """`variants` by the kind's name, each from the first of the profiles that has its records.

    Of a profile its long sweep is taken, where there is one.
    """
    found = {}
    for name, kind in KINDS.items():
        places = [profile + part for profile in profiles for part in (LONG, "")]
        there = [p for p in places if records.csv_path(kind.experiment, p).is_file()]
        if there:
            found[name] = variants(kind, records.read(kind.experiment, there[0]))
    return found


def variants(kind: Kind, table: pd.DataFrame) -> pd.DataFrame:
    """One row per variant with size and paired comparison, and the float parent; smallest first.

    Columns: variant, size (bytes), share (of float's bytes), quality and its ends (difference to
    float, a share), time and its ends (ratio to float; NaN where not timed), n (items), seeds: of
    several their mean, between their outermost ends. QlabError: no size of the float parent.
    """
    table = table[table["condition"].isna()]
    sizes = records.pick(table, "size_bytes")[["model", "dataset", "variant", "value"]]
    float_size = sizes.loc[sizes["variant"] == PARENT, "value"]
    if float_size.empty:
        raise QlabError(
            f"The records of {kind.experiment} have no size_bytes of '{PARENT}', to which all is "
            "compared; run its notebook again."
        )
    found = sizes.rename(columns={"value": "size"})
    found["share"] = found["size"] / float_size.iloc[0]
    for name, metric in (("quality", kind.quality), ("time", kind.time)):
        ends = _over_seeds(table, metric, name)
        found = found.merge(ends, how="left", on=["model", "dataset", "variant"])
    if kind.is_speed:
        fast = found[["time", "time_low", "time_high"]]
        found[["time", "time_high", "time_low"]] = 1 / fast
    parent = found["variant"] == PARENT
    found.loc[parent, ["quality", "quality_low", "quality_high"]] = 0.0
    found.loc[parent, ["time", "time_low", "time_high"]] = 1.0
    found.loc[parent, ["quality_n", "quality_seeds"]] = found["quality_n"].max(), 1
    found = found[found["quality"].notna()].sort_values(["size", "variant"])
    found = found.rename(columns={"quality_n": "n", "quality_seeds": "seeds"})
    found = found.astype({"size": int, "n": int, "seeds": int})
    return found.drop(columns=["model", "dataset", "time_n", "time_seeds"]).reset_index(drop=True)


def _over_seeds(table: pd.DataFrame, metric: str, name: str) -> pd.DataFrame:
    """Mean value over seeds and its ends, as columns <name>, <name>_low, ...: those of the record
    over seeds, where there is one, else the lowest and highest of all."""
    rows, over = records.pick(table, metric), records.pick(table, f"{metric}{SEEDS}")
    low, high = (rows[end].fillna(rows["value"]) for end in ("ci_low", "ci_high"))
    groups = rows.assign(ci_low=low, ci_high=high).groupby(["model", "dataset", "variant"])
    found = groups.agg(
        value=("value", "mean"), low=("ci_low", "min"), high=("ci_high", "max"),
        n=("n", "min"), seeds=("value", "size"),
    )  # fmt: skip
    ends = over.set_index(["model", "dataset", "variant"])[["ci_low", "ci_high"]]
    found.update(ends.rename(columns={"ci_low": "low", "ci_high": "high"}))
    found.columns = [name, *(f"{name}_{c}" for c in found.columns[1:])]
    return found.reset_index()


def standing(table: pd.DataFrame, cost: str = "share") -> pd.Series:
    """Where each of `variants` stands on quality against a cost, "share" or "time".

    "unbeaten": on the Pareto front; "beaten": by points, though the intervals overlap; "surely
    beaten": another costs less and is better even by the bad ends of its intervals and the good
    ends of this one's; "unknown": its cost was not measured.
    """
    ends = {"share": ("share", "share"), "time": ("time_low", "time_high")}[cost]
    told = {}
    for i, row in table.iterrows():
        as_good = (table[cost] <= row[cost]) & (table["quality"] >= row["quality"])
        better = (table[cost] < row[cost]) | (table["quality"] > row["quality"])
        surely = (table[ends[1]] < row[ends[0]]) & (table["quality_low"] > row["quality_high"])
        if pd.isna(row[cost]):
            told[i] = "unknown"
        elif surely.any():
            told[i] = "surely beaten"
        else:
            told[i] = "beaten" if (as_good & better).any() else "unbeaten"
    return pd.Series(told, name="standing")


class Choice(NamedTuple):
    """A variant to take, or none, and what was asked."""

    kind: Kind  # of model
    taken: pd.Series | None  # a row of `variants`; None where none keeps all bounds
    fitting: pd.DataFrame  # all that keep the bounds, best first
    table: pd.DataFrame  # all that were looked at
    max_share: float  # bound on the file's bytes, as a share of float's
    max_loss: float  # bound on the quality lost, as a share: 0.05 is five points
    prefer: str  # what decides among those that fit


def choose(
    kind: Kind,
    table: pd.DataFrame,
    max_share: float | None = None,
    max_loss: float | None = None,
    prefer: str = "",
) -> Choice:
    """The best of `variants` that keeps the bounds; `sentence` says it.

    `max_share` is of the float file's bytes; `max_loss` is a share (0.01 is one point), kept only
    if the bad end of the interval keeps it. `prefer`: see `_LEAST`; without one, "quality" where a
    size is given, else "size". QlabError: no bound, or an unknown preference.
    """
    if max_share is None and max_loss is None:
        raise QlabError("A choice needs a bound: give max_share, max_loss, or both.")
    prefer = prefer or ("size" if max_share is None else "quality")
    if prefer not in _LEAST:
        raise QlabError(f"'prefer' is one of {', '.join(_LEAST)}, not {prefer!r}.")
    share = math.inf if max_share is None else max_share
    loss = math.inf if max_loss is None else max_loss
    kept = (table["share"] <= share) & (-table["quality_low"] <= loss)
    fitting = best_first(table[kept], prefer)
    taken = fitting.iloc[0] if len(fitting) else None
    return Choice(kind, taken, fitting, table, share, loss, prefer)


def best_first(table: pd.DataFrame, prefer: str) -> pd.DataFrame:
    """Variants in the order in which `choose` takes them."""
    columns = {"quality": ["quality_low", "share"], "size": ["share", "quality_low"],
               "time": ["time_high", "quality_low"]}[prefer]  # fmt: skip
    ascending = [column != "quality_low" for column in columns]
    return table.sort_values(columns, ascending=ascending, kind="stable", na_position="last")


def sentence(choice: Choice) -> str:
    """The choice in words: what to take, what to expect, because of what; else what is nearest."""
    if choice.taken is None:
        return f"No {choice.kind.name} measured keeps {asked(choice)}. {_nearest(choice)}"
    taken, because = choice.taken, _because(choice)
    what = f"take {taken['variant']}; expect {expected(choice.kind, taken)}; {because}"
    return f"For {asked(choice)}: {what}."


def asked(choice: Choice) -> str:
    """The bounds in words."""
    bounds = []
    if math.isfinite(choice.max_share):
        bounds.append(f"at most {choice.max_share:.0%} of float's bytes")
    if math.isfinite(choice.max_loss):
        lost = f"{choice.max_loss * POINTS:.3g} point{'' if choice.max_loss == 0.01 else 's'}"
        bounds.append(f"at most {lost} of {choice.kind.score} lost")
    return " and ".join(bounds)


def expected(kind: Kind, row: pd.Series) -> str:
    """Size, quality and time of one of `chooser.variants`, each with its interval."""
    seeds = f" and {row['seeds']} seeds" if row["seeds"] > 1 else ""
    return (
        f"{row['size']:,} bytes ({row['share']:.1%} of float's), {kind.score} "
        f"{quality(row)} points on {row['n']:,} {kind.items}{seeds}, "
        f"{'time not measured' if pd.isna(row['time']) else time(row) + ' of the time'}"
    )


def quality(row: pd.Series) -> str:
    """Difference to float in points, with its interval; float's own is 0."""
    if row.get("variant") == PARENT:
        return "0"
    value, low, high = (row[c] * POINTS for c in ("quality", "quality_low", "quality_high"))
    return f"{value:+z.2f} [{low:+z.2f}, {high:+z.2f}]"


def time(row: pd.Series) -> str:
    """Ratio to float's time, with its interval; float's own is 1, one not measured a dash."""
    if row.get("variant") == PARENT:
        return "1"
    if pd.isna(row["time"]):
        return "–"
    return f"{row['time']:.2f} [{row['time_low']:.2f}, {row['time_high']:.2f}]"


def _because(choice: Choice) -> str:
    many = f"because of the {len(choice.fitting)} variants that keep the bounds"
    if len(choice.fitting) == 1:
        return "because no other variant keeps the bounds"
    if choice.prefer == "time" and pd.isna(choice.taken["time"]):
        return f"{many}, none of which was timed, it has {_LEAST['quality']}"
    second = choice.fitting.iloc[1]
    told = {
        "quality": f"{quality(second)} points",
        "size": f"{second['share']:.1%} of the bytes",
        "time": time(second).replace("–", "not timed"),
    }[choice.prefer]
    return f"{many} it has {_LEAST[choice.prefer]} (next: {second['variant']}, {told})"


def _nearest(choice: Choice) -> str:
    """What either bound costs: the best of that size, the smallest with that loss."""
    table, told = choice.table, {}
    for kept, prefer, name in (
        (table["share"] <= choice.max_share, "quality", "Of that size, the best is"),
        (-table["quality_low"] <= choice.max_loss, "size", "With that loss, the smallest is"),
        (table["size"] == table["size"].min(), "quality", "The smallest of all is"),
    ):
        if kept.any() and not kept.all() and len(told) < 2:
            row = best_first(table[kept], prefer).iloc[0]
            variant = row["variant"]
            told.setdefault(variant, f"{name} {variant}: {expected(choice.kind, row)}.")
    return " ".join(told.values())
