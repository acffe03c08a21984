"""The figures of notebook 03 that are no plain plot, and what its cells draw with. Each is drawn
from records and kept with the numbers drawn."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from qlab.classifier.formulas import Fits
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import PARENT, Point
from qlab.classifier.sweep import POINTS, both_ends, same_settings
from qlab.core import places, plot, records

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
    """Of records, what is drawn: method, bits, where, k; mean, low and high times `scale`."""
    rows = rows.dropna(subset=["k"]).astype({"bits": int, "k": int})
    ends = {"mean": rows["value"], "low": rows["ci_low"], "high": rows["ci_high"]}
    found = rows[["method", "bits", "where", "k"]]
    return found.assign(**{name: scale * end for name, end in ends.items()})


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Points minus float's with their intervals: QAT's over seeds and images, PTQ's over images."""
    over = records.pick(table, "accuracy_difference_over_seeds", method="qat", condition=None)
    alone = records.pick(table, "accuracy_difference", method="ptq", condition=None)
    return with_ends(pd.concat([over, alone]), POINTS)


def legend(canvas, styles: Sequence[tuple[str, int]]) -> None:
    """What the colours and markers of some methods and bit widths mean, below all."""
    shown = [dict(zip(("color", "marker", "label"), STYLE[s], strict=True)) for s in styles]
    below(canvas, [Line2D([], [], ms=5, **one) for one in shown], 4)


def below(canvas, handles: Sequence, columns: int) -> None:
    """A legend below all."""
    canvas.legend(handles=handles, loc="outside lower center", frameon=False, ncols=columns)


def series(axis, drawn: pd.DataFrame, method: str, bits: int, where: str) -> None:
    """One line of `with_ends` over k, with bars from low to high; of "only", marks of layers, from
    the first (top) to the last, along the other axis."""
    same = drawn[["method", "bits", "where"]] == (method, bits, where)
    line = drawn[same.all(axis=1)].sort_values("k")
    colour, marker, _ = STYLE[method, bits]
    bars = [line["mean"] - line["low"], line["high"] - line["mean"]]
    ends = {"x": line["k"], "y": line["mean"], "yerr": bars, "lw": 1.3}
    if where == "only":
        at = line["k"] + (0.14 if method == "qat" else -0.14)
        ends = {"x": line["mean"], "y": at, "xerr": bars, "ls": ""}
    axis.errorbar(**ends, color=colour, marker=marker, ms=5, capsize=2, elinewidth=1)


def of_points(axes, which: str) -> None:
    """Label an axis of points minus float's; make it logarithmic where it goes far below 0."""
    axis, (low, high) = getattr(axes, f"{which}axis"), getattr(axes, f"get_{which}lim")()
    axis.set_label_text(MINUS_FLOAT)
    if low < -10:
        getattr(axes, f"set_{which}scale")("symlog", linthresh=1, linscale=0.6)
        getattr(axes, f"set_{which}lim")(1.25 * low, max(high, 0.3))
        axis.set_ticks(ticks := [-50, -10, -5, -2, -1, 0, *(t for t in (1, 2) if t < high)], ticks)
        axis.set_label_text(f"{MINUS_FLOAT}\n(log beyond 1)")


def accuracy_by_k(table: pd.DataFrame, profile: str, today: pd.DataFrame) -> None:
    """Accuracy minus the float parent's over k, from either end, with 95 % intervals (QAT's over
    seeds and images); `today` are points run afresh."""
    drawn = both_ends(differences(table).query("where != 'only'"))
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
            of_points(axis, "y")
        for axis in axes[1]:
            axis.set_xlabel("k, layers quantized")
        told = "Bars: 95 % intervals; grey: float, fine-tuned as long, all seeds"
        canvas.suptitle(f"{about(table)}\n{told}", fontsize=10)
        legend(canvas, list(STYLE))


def each_layer(table: pd.DataFrame, profile: str, sizes: dict[str, int]) -> None:
    """The loss of quantizing one layer alone, by place, with 95 % intervals as in `accuracy_by_k`;
    beside it the layers' sizes, weights by name from the input on."""
    if not (table["where"] == "only").any():
        return print("Each layer alone is measured by sweep='long'; here it was not.")
    whole, drawn = len(sizes), places.each_alone(differences(table), len(sizes))
    drawn = drawn.assign(layer=drawn["k"].map(dict(enumerate(sizes, 1))))
    layout = {"ncols": 3, "sharey": True, "figsize": (10, 0.9 + 0.34 * whole)}
    layout["gridspec_kw"] = {"width_ratios": [3, 3, 1.6]}
    with plot.figure("qat_each_layer", profile, drawn, **layout) as (canvas, axes):
        for axis, bits in zip(axes, BITS, strict=False):
            axis.axvline(0, color="#000000", lw=1)
            for method in ("ptq", "qat"):
                series(axis, drawn, method, bits, "only")
            of_points(axis, "x")
            axis.set_title(f"{bits}-bit weights", fontsize=10)
        axes[2].barh(range(1, whole + 1), [n / 1e3 for n in sizes.values()], color="#999999")
        axes[2].set_xlabel("weights (10³)")
        axes[0].set_yticks(range(1, whole + 1), sizes)
        axes[0].set_ylim(whole + 0.6, 0.4)
        told = "One layer quantized, all others float, from the input (top) to the output; 95 %"
        canvas.suptitle(f"{about(table)}\n{told} intervals", fontsize=10)
        legend(canvas, list(STYLE))


def fits(points: pd.DataFrame, found: Fits, profile: str, layers: int, told: str) -> None:
    """Fitted loss over k and size over the quantized share, with 95 % prediction bands."""
    curves = [pd.DataFrame(columns=["x", "value", "low", "high"])]
    points, layout = both_ends(points), {"ncols": 2, "figsize": (9.6, 4.2)}
    sides = [("loss", points["k"] / layers, points["loss"], POINTS)]
    sides += [("size", points["share"], points["size_bytes"], 1e-3)]
    for (where, bits), pair in found.items():
        for (quantity, *_), fit in zip(sides, pair, strict=True):
            x = np.linspace(0, fit.highest, 60)
            curve = dict(zip(curves[0].columns, (x, *fit.predict(x)), strict=True))
            curves.append(pd.DataFrame(curve).assign(where=where, bits=bits, quantity=quantity))
    drawn = pd.concat(curves[len(curves) > 1 :])
    with plot.figure("qat_fits", profile, drawn, **layout) as (canvas, axes):
        for axis, (quantity, x, y, scale) in zip(axes, sides, strict=True):
            for where, bits in found:
                about = drawn[["where", "bits", "quantity"]] == (where, bits, quantity)
                curve = drawn[about.all(axis=1)]
                look = {"color": STYLE["qat", bits][0]}
                line = {
                    "ls": "-" if where == "last" else "--",
                    "label": f"{SIDES[where]}, {bits} bits",
                }
                axis.plot(curve["x"], curve["value"] * scale, **line, **look)
                ends = curve["x"], curve["low"] * scale, curve["high"] * scale
                axis.fill_between(*ends, alpha=0.12, lw=0, **look)
                at, mark = points["where"] == where, "o" if where == "last" else "x"
                at &= points["bits"] == bits
                axis.plot(x[at], y[at] * scale, mark, ms=4, **look)
        axes[0].set(xlabel="share of the layers quantized, k / N", ylabel="accuracy lost (points)")
        axes[1].set(xlabel="share of the weights quantized", ylabel="size (10³ bytes)")
        few = "" if found else ": too few values of k in this sweep"
        canvas.suptitle(f"{told}\nFitted formulas with 95 % prediction bands{few}", fontsize=10)
        below(canvas, axes[0].get_legend_handles_labels()[0], 2)


def robustness(table: pd.DataFrame, profile: str) -> None:
    """Accuracy on corrupted examples: float's, and minus it the others', over their seeds."""
    alone, over = "accuracy_difference", "accuracy_difference_over_seeds"
    drawn = records.pick(table, ["accuracy", alone, over])
    drawn = drawn[drawn["condition"].notna()].astype({"strength": int})
    several = drawn["variant"].isin(drawn.loc[drawn["metric"] == over, "variant"])
    judged = drawn[drawn["metric"] == np.where(several, over, alone)]
    drawn = pd.concat([records.pick(drawn, "accuracy", variant=PARENT), judged])
    broken = judged.groupby("variant")["value"].median() < -0.1  # they would set the scale
    far, judged = ", ".join(broken.index[broken]), judged[~judged["variant"].map(broken)]
    kinds, variants = drawn["condition"].unique(), list(judged["variant"].unique())
    layout = {"nrows": 2, "ncols": len(kinds), "sharey": "row", "sharex": True}
    layout |= {"figsize": (2.5 * len(kinds) + 0.6, 5.6), "squeeze": False}
    with plot.figure("qat_robustness", profile, drawn, **layout) as (canvas, axes):
        for (top, bottom), kind in zip(axes.T, kinds, strict=True):
            floats = records.pick(drawn, "accuracy", variant=PARENT, condition=kind)
            floats = floats.sort_values("strength")
            top.plot(floats["strength"], floats["value"], "ko-")
            top.set(title=kind, ylim=(0, 1))
            bottom.axhline(0, color="#000000", lw=1)
            for at, variant in enumerate(variants):
                line = records.pick(judged, [alone, over], variant=variant, condition=kind)
                x = line["strength"] + (at - (len(variants) - 1) / 2) * 0.14
                value, low, high = (line[c] * POINTS for c in ("value", "ci_low", "ci_high"))
                style = {"color": plot.PALETTE[(at + 1) % 7], "marker": plot.MARKERS[at % 8]}
                bars = {"yerr": [value - low, high - value], "capsize": 2, "ls": "", "ms": 5}
                bottom.errorbar(x, value, label=variant, **bars, **style)
            bottom.set(xlabel="strength", xticks=floats["strength"])
        canvas.suptitle(f"{about(table)}{'; far below, not drawn: ' * bool(far)}{far}", fontsize=10)
        axes[0][0].set_ylabel("accuracy of float")
        of_points(axes[1][0], "y")
        below(canvas, axes[1][0].get_legend_handles_labels()[0], 4)
