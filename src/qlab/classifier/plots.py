"""Figures of notebook 03 that are not simple plots, and helpers for those in its cells. Each is
drawn from records and kept with the numbers that it shows."""

from collections.abc import Sequence
from itertools import product

import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from qlab.classifier import places
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import PARENT, Point
from qlab.classifier.sweep import POINTS, both_ends, same_settings
from qlab.core import plot, records

STYLE = {  # (method, bits of the weights): colour, marker, label
    ("qat", 8): (plot.PALETTE[1], "s", "QAT, 8-bit weights"),
    ("qat", 4): (plot.PALETTE[3], "D", "QAT, 4-bit weights"),
    ("ptq", 8): (plot.PALETTE[2], "o", "PTQ, 8-bit weights"),
    ("ptq", 4): (plot.PALETTE[6], "^", "PTQ, 4-bit weights"),
}
SIDES = {"last": "the last k layers", "first": "the first k layers"}
MINUS_FLOAT = "points minus float's"


def about(table: pd.DataFrame) -> str:
    """What a figure is about, for its title: model, data, number of images."""
    one = records.pick(table, "accuracy", variant=PARENT, condition=None).iloc[0]
    return f"{one['model']}, {one['n']:,} images of {one['dataset']}"


def with_ends(rows: pd.DataFrame, scale: float = 1) -> pd.DataFrame:
    """The columns of records to draw: method, bits, where, k; mean, low and high times `scale`."""
    rows = rows.dropna(subset=["k"]).astype({"bits": int, "k": int})
    ends = {"mean": rows["value"], "low": rows["ci_low"], "high": rows["ci_high"]}
    found = rows[["method", "bits", "where", "k"]]
    return found.assign(**{name: scale * end for name, end in ends.items()})


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Records of accuracy minus float's: over seeds and images where trained, else over images."""
    over = records.pick(table, "accuracy_difference_over_seeds")
    alone = records.pick(table, "accuracy_difference", seed=None)
    return pd.concat([over, alone], ignore_index=True).dropna(subset=["ci_low"])


def legend(canvas, styles: Sequence[tuple[str, int]]) -> None:
    """Draw a legend below all panels: colours and markers of some methods and bit widths."""
    shown = (STYLE[style] for style in styles)
    handles = [Line2D([], [], ms=5, color=c, marker=m, label=label) for c, m, label in shown]
    canvas.legend(handles=handles, loc="outside lower center", frameon=False, ncols=4)


def series(axis, drawn: pd.DataFrame, method: str, bits: int, where: str) -> None:
    """Draw one line of `with_ends` over k, with bars from low to high."""
    same = drawn[["method", "bits", "where"]] == (method, bits, where)
    line = drawn[same.all(axis=1)].sort_values("k")
    colour, marker, _ = STYLE[method, bits]
    look = {"color": colour, "marker": marker, "ms": 5, "lw": 1.3, "capsize": 2, "elinewidth": 1}
    bars = [line["mean"] - line["low"], line["high"] - line["mean"]]
    axis.errorbar(line["k"], line["mean"], bars, **look)


def accuracy_by_k(table: pd.DataFrame, profile: str, today: pd.DataFrame) -> None:
    """Draw accuracy minus the float parent's over k, from either end, with 95 % intervals (QAT's
    over seeds and images); `today` has points that were run afresh."""
    alone = compared(table[table["condition"].isna() & (table["where"] != "only")])
    drawn = both_ends(with_ends(alone, POINTS))
    tuned = records.pick(table, "accuracy_difference", method=None, condition=None)
    tuned = tuned.loc[tuned["variant"] == Point("tuned").variant, "value"] * POINTS
    fresh = both_ends(places.points_table(today)).query("method == 'qat'")  # ringed
    if today is table or not same_settings(table, today):
        fresh = fresh[:0]
    layout = {"ncols": 2, "nrows": 2, "sharex": True, "sharey": "row", "figsize": (9, 6.4)}
    with plot.figure("qat_accuracy_by_k", profile, drawn, **layout) as (canvas, axes):
        for axis, (bits, where) in zip(axes.flat, product(BITS, SIDES), strict=True):
            axis.axhline(0, color="#000000", lw=1)
            if len(tuned):
                axis.axhspan(tuned.min(), tuned.max(), color="#CCCCCC", lw=0)
            for method in ("ptq", "qat"):
                series(axis, drawn, method, bits, where)
            one = fresh[(fresh["bits"] == bits) & (fresh["where"] == where)]
            axis.plot(one["k"], -one["loss"] * POINTS, "ko", ms=11, mfc="none")
            axis.set_title(f"{SIDES[where]}, {bits}-bit weights", fontsize=10)
        for axis in axes[:, 0]:
            (low, high), label = axis.get_ylim(), MINUS_FLOAT
            if low < -10:  # far below 0
                axis.set_yscale("symlog", linthresh=1, linscale=0.6)
                axis.set_ylim(1.25 * low, max(high, 0.3))
                ticks = [-50, -10, -5, -2, -1, 0, *(t for t in (1, 2) if t < high)]
                axis.set_yticks(ticks, ticks)
                label += "\n(log beyond 1)"
            axis.set_ylabel(label)
        for axis in axes[1]:
            axis.set_xlabel("k, layers quantized")
        told = "Bars: 95 % intervals; grey: float, fine-tuned as long, all seeds"
        canvas.suptitle(f"{about(table)}\n{told}", fontsize=10)
        legend(canvas, list(STYLE))


def shaded(
    rows: pd.DataFrame, name: str, profile: str, index: str, columns: list[str], title: str
) -> None:
    """Draw points minus float's, from `compared`, as a table with 95 % intervals; red is worse."""
    told = [records.interval(r, "+z.1f", POINTS).replace(" ", "\n", 1) for _, r in rows.iterrows()]
    rows = rows.assign(points=rows["value"] * POINTS, told=told)
    shown = rows.pivot(index=index, columns=columns, values=["points", "told"])
    size = 3 + 0.85 * len(shown["points"].columns), 1.8 + 0.42 * len(shown)
    with plot.figure(name, profile, rows.drop(columns="told"), figsize=size) as (canvas, axis):
        look = {"cmap": "RdBu", "vmin": -10, "vmax": 10, "annot_kws": {"fontsize": 7}, "fmt": ""}
        points = shown["points"].astype(float)
        sns.heatmap(points, annot=shown["told"].fillna(""), **look, ax=axis)
        axis.set(xlabel=", ".join(columns), ylabel="")
        canvas.suptitle(f"{title}\n{MINUS_FLOAT}, with 95 % intervals", fontsize=10)
