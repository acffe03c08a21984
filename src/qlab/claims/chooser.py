"""Which variant to take: at most this size, at most this loss, from the records of experiments 1-3.

A loss counts by its interval's bad end: a variant keeps a bound only if the whole 95 % interval of
its difference to float does. So few items make a variant harder to choose, not easier.
"""

import math
from typing import NamedTuple

import pandas as pd

from qlab.claims import address
from qlab.claims.address import Address, NotTested
from qlab.core import records
from qlab.core.errors import QlabError

LONG = "-long"  # a profile's long sweep, where there is one, has more variants and seeds
POINTS = 100  # percentage points of a share
_LEAST = {  # what decides: what the one taken has, and the columns that say so, falling or rising
    "quality": ("the least loss, by the bad end of its interval", "quality_low", "share"),
    "size": ("the smallest file", "share", "quality_low"),
    "time": ("the least time, by the bad end of its interval", "time_high", "quality_low"),
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

    Columns: model, dataset, variant, parent (whether it is), size (bytes), share (of float's
    bytes), quality and its ends (difference to float, a share), time and its ends (ratio to float;
    NaN where not timed), n (items), seeds. The parent is the one variant with a size that is
    compared to none, whatever its name. QlabError: there is none, or more than one.
    """
    plain = table[table["condition"].isna()]
    about = dict(zip(("model", "dataset"), address.subject(plain), strict=True))
    sizes = records.pick(plain, "size_bytes").set_index("variant")["value"]
    parents = records.parents(plain, kind.quality)
    if len(parents) != 1:
        raise QlabError(
            f"Of the variants with a size in the records of {kind.experiment} just one has no "
            f"{kind.quality}: the float parent, to which all are compared; found "
            f"{', '.join(parents) or 'none'}. Run its notebook again."
        )
    rows = []
    for variant, size in sizes.items():
        one = about | {"variant": variant, "parent": variant in parents, "size": int(size)}
        one |= {"share": size / sizes[parents[0]]}
        if one["parent"]:
            quality, time, n, seeds = (0.0,) * 3, (1.0,) * 3, 0, 1
        else:
            quality, n, seeds = _found(plain, variant, kind.quality)
            time, *_ = _found(plain, variant, kind.time)
            time = (1 / time[0], 1 / time[2], 1 / time[1]) if kind.is_speed else time
        for name, ends in (("quality", quality), ("time", time)):
            one |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
        rows.append(one | {"n": n, "seeds": seeds})
    found = pd.DataFrame(rows).dropna(subset="quality")  # what was not judged is no choice
    found["n"] = found["n"].where(~found["parent"], found["n"].max())
    return found.sort_values(["size", "variant"], ignore_index=True)


def _found(table: pd.DataFrame, variant: str, metric: str) -> tuple[tuple, int, int]:
    """Value and ends, items and seeds of a variant's metric; NaN where it has none."""
    here = Address(metric=metric, variant=variant)
    try:
        ends = here.find(table, exact=True).estimate[:3]
    except NotTested:
        return (math.nan,) * 3, 0, 0
    rows = here.rows(table)
    return ends, int(rows["n"].min()), len(rows)


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
    share, loss = (math.inf if bound is None else bound for bound in (max_share, max_loss))
    kept = (table["share"] <= share) & (-table["quality_low"] <= loss)
    fitting = best_first(table[kept], prefer)
    taken = fitting.iloc[0] if len(fitting) else None
    return Choice(kind, taken, fitting, table, share, loss, prefer)


def best_first(table: pd.DataFrame, prefer: str) -> pd.DataFrame:
    """Variants in the order in which `choose` takes them."""
    columns = list(_LEAST[prefer][1:])
    rising = [column != "quality_low" for column in columns]
    return table.sort_values(columns, ascending=rising, kind="stable", na_position="last")


def sentence(choice: Choice) -> str:
    """The choice in words: what to take, what to expect, because of what; else what is nearest."""
    kind, table, bounds = choice.kind, choice.table, []
    small, good = table["share"] <= choice.max_share, -table["quality_low"] <= choice.max_loss
    if math.isfinite(choice.max_share):
        bounds.append(f"at most {choice.max_share:.0%} of float's bytes")
    if math.isfinite(choice.max_loss):
        lost = f"{choice.max_loss * POINTS:.3g} point{'' if choice.max_loss == 0.01 else 's'}"
        bounds.append(f"at most {lost} of {kind.score} lost")
    asked = " and ".join(bounds)
    if choice.taken is not None:
        told = expected(kind, choice.taken)
        return f"For {asked}: take {choice.taken['variant']}; expect {told}; {_because(choice)}."
    nearest = {}
    for kept, prefer, name in (
        (small, "quality", "Of that size, the best is"),
        (good, "size", "With that loss, the smallest is"),
        (table["size"] == table["size"].min(), "quality", "The smallest of all is"),
    ):
        if kept.any() and not kept.all() and len(nearest) < 2:
            row = best_first(table[kept], prefer).iloc[0]
            nearest.setdefault(row["variant"], f"{name} {row['variant']}: {expected(kind, row)}.")
    return f"No {kind.name} measured keeps {asked}. {' '.join(nearest.values())}"


def expected(kind: Kind, row: pd.Series) -> str:
    """Size, quality and time of one of `variants`, each with its interval."""
    seeds = f" and {row['seeds']} seeds" if row["seeds"] > 1 else ""
    return (
        f"{row['size']:,} bytes ({row['share']:.1%} of float's), {kind.score} "
        f"{quality(row)} points on {row['n']:,} {kind.items}{seeds}, "
        f"{'time not measured' if pd.isna(row['time']) else time(row) + ' of the time'}"
    )


def quality(row: pd.Series) -> str:
    """Difference to float in points, with its interval; float's own is 0."""
    if row["parent"]:
        return "0"
    value, low, high = (row[c] * POINTS for c in ("quality", "quality_low", "quality_high"))
    return f"{value:+z.2f} [{low:+z.2f}, {high:+z.2f}]"


def time(row: pd.Series) -> str:
    """Ratio to float's time, with its interval; float's own is 1, one not measured a dash."""
    if row["parent"]:
        return "1"
    if pd.isna(row["time"]):
        return "–"
    return f"{row['time']:.2f} [{row['time_low']:.2f}, {row['time_high']:.2f}]"


def _because(choice: Choice) -> str:
    """Why the one taken, and what the next one has."""
    if len(choice.fitting) == 1:
        return "because no other variant keeps the bounds"
    many = f"because of the {len(choice.fitting)} variants that keep the bounds"
    if choice.prefer == "time" and pd.isna(choice.taken["time"]):
        return f"{many}, none of which was timed, it has {_LEAST['quality'][0]}"
    second = choice.fitting.iloc[1]
    told = {
        "quality": f"{quality(second)} points",
        "size": f"{second['share']:.1%} of the bytes",
        "time": time(second).replace("–", "not timed"),
    }[choice.prefer]
    return f"{many} it has {_LEAST[choice.prefer][0]} (next: {second['variant']}, {told})"
