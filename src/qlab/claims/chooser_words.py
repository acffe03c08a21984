"""What the chooser says: a choice as a sentence, variants as a table."""

import math

import pandas as pd

from qlab.claims.chooser import PARENT, Choice, Kind, best_first

POINTS = 100  # percentage points of a share
_LEAST = {
    "quality": "the least loss, by the bad end of its interval",
    "size": "the smallest file",
    "time": "the least time, by the bad end of its interval",
}


def sentence(choice: Choice) -> str:
    """The choice in words: what to take, what to expect, because of what; else what is nearest."""
    if choice.taken is None:
        return f"No {choice.kind.name} measured keeps {asked(choice)}. {_nearest(choice)}"
    what = expected(choice.kind, choice.taken)
    return (
        f"For {asked(choice)}: take {choice.taken['variant']}; expect {what}; {_because(choice)}."
    )


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
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def time(row: pd.Series) -> str:
    """Ratio to float's time, with its interval; float's own is 1, one not measured a dash."""
    if row.get("variant") == PARENT:
        return "1"
    if pd.isna(row["time"]):
        return "–"
    return f"{row['time']:.2f} [{row['time_low']:.2f}, {row['time_high']:.2f}]"


def _because(choice: Choice) -> str:
    count = len(choice.fitting)
    if count == 1:
        return "because no other variant keeps the bounds"
    if choice.prefer == "time" and pd.isna(choice.taken["time"]):
        return (
            f"because of the {count} variants that keep the bounds, none of which was timed, it "
            + ("has the least loss, by the bad end of its interval")
        )
    second = choice.fitting.iloc[1]
    told = {
        "quality": f"{quality(second)} points",
        "size": f"{second['share']:.1%} of the bytes",
        "time": time(second).replace("–", "not timed"),
    }[choice.prefer]
    return (
        f"because of the {count} variants that keep the bounds it has {_LEAST[choice.prefer]} "
        f"(next: {second['variant']}, {told})"
    )


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
            told.setdefault(
                row["variant"], f"{name} {row['variant']}: {expected(choice.kind, row)}."
            )
    return " ".join(told.values())


def shown(kind: Kind, table: pd.DataFrame) -> pd.DataFrame:
    """Variants as a table to read, one row each, in the order of the rows given."""
    return pd.DataFrame(
        {
            "variant": table["variant"],
            "bytes": table["size"].map("{:,}".format),
            "of float": table["share"].map("{:.3f}".format),
            "time of float": [time(row) for _, row in table.iterrows()],
            f"{kind.score} minus float (points)": [quality(row) for _, row in table.iterrows()],
            kind.items: table["n"].map("{:,}".format),
            "seeds": table["seeds"],
        }
    ).set_index("variant")
