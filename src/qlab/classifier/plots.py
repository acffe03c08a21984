"""The figures of notebook 03, each drawn from records and kept with the numbers drawn."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from qlab.classifier.formulas import Fits
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import PARENT, Point
from qlab.classifier.quantizers import picture as wrappers  # noqa: F401
from qlab.classifier.sweep import POINTS, both_ends, float_bytes, same_settings
from qlab.core import plot, records
from qlab.core.places import each_alone, points_table

STYLE = {  # (method, bits of the weights): colour, marker, label
    ("qat", 8): (plot.PALETTE[1], "s", "QAT, 8-bit weights"),
    ("qat", 4): (plot.PALETTE[3], "D", "QAT, 4-bit weights"),
    ("ptq", 8): (plot.PALETTE[2], "o", "PTQ, 8-bit weights"),
    ("ptq", 4): (plot.PALETTE[6], "^", "PTQ, 4-bit weights"),
}
SIDES = {"last": "the last k layers", "first": "the first k layers"}
KEYS = ["method", "bits", "where", "k"]


def over_seeds(points: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean, lowest and highest of a column over seeds, by method, bits, where and k; of a record of
    its own, the ends of its interval."""
    found = points.groupby(KEYS)[column].agg(mean="mean", low="min", high="max", seeds="count")
    if column == "value":
        ends = points.groupby(KEYS).agg(low=("ci_low", "min"), high=("ci_high", "max"))
        found.update(ends[found["seeds"] == 1])
    found = found.reset_index()
    # The mean of three equal numbers can lie beside them by the last digit.
    return found.assign(mean=found["mean"].clip(found["low"], found["high"]))


def about(table: pd.DataFrame) -> str:
    """What a figure is about, for its title: model, data, number of images."""
    one = records.pick(table, "accuracy", variant=PARENT, condition=None).iloc[0]
    return f"{one['model']}, {one['n']:,} images of {one['dataset']}"


def legend(canvas, styles: Sequence[tuple[str, int]]) -> None:
    """What the colours and markers of some methods and bit widths mean, below all."""
    shown = [dict(zip(("color", "marker", "label"), STYLE[s], strict=True)) for s in styles]
    _below(canvas, [Line2D([], [], ms=5, **one) for one in shown], ncols=4)


def _below(canvas, handles: Sequence, **more) -> None:
    canvas.legend(handles=handles, loc="outside lower center", frameon=False, **more)


def series(axis, drawn: pd.DataFrame, method: str, bits: int, where: str) -> None:
    """One line of `over_seeds` over k, with bars from low to high."""
    line = drawn[(drawn["where"] == where)].sort_values("k")
    _bars(axis, line, method, bits, lw=1.3, elinewidth=1)


def _bars(axis, drawn: pd.DataFrame, method: str, bits: int, shift: float | None = None, **more):
    """A mean with its low and high over k; with a shift from k, along the other axis."""
    line = drawn[(drawn["method"] == method) & (drawn["bits"] == bits)]
    colour, marker, _ = STYLE[method, bits]
    error = [line["mean"] - line["low"], line["high"] - line["mean"]]
    ends = {"x": line["k"], "y": line["mean"], "yerr": error}
    if shift is not None:
        ends = {"x": line["mean"], "y": line["k"] + shift, "xerr": error}
    axis.errorbar(**ends, color=colour, marker=marker, ms=5, capsize=2, **more)


def _of_points(axes, which: str, label: str) -> None:
    """Label an axis of percentage points; make it logarithmic where it goes far below 0."""
    axis, (low, high) = getattr(axes, f"{which}axis"), getattr(axes, f"get_{which}lim")()
    if low < -10:
        getattr(axes, f"set_{which}scale")("symlog", linthresh=1, linscale=0.6)
        getattr(axes, f"set_{which}lim")(1.25 * low, max(high, 0.3))
        axis.set_ticks(ticks := [-50, -10, -5, -2, -1, 0, *(t for t in (1, 2) if t < high)], ticks)
        label += "\n(log beyond 1)"
    axis.set_label_text(label)


def accuracy_by_k(table: pd.DataFrame, profile: str, today: pd.DataFrame) -> None:
    """Accuracy minus the float parent's over k, from either end, with 95 % intervals (QAT's over
    seeds and images); `today` are points run afresh."""
    points = both_ends(points_table(table))
    drawn = over_seeds(points.assign(change=-points["loss"] * POINTS), "change")
    over = records.pick(table, "accuracy_difference_over_seeds", condition=None)
    alone = records.pick(table, "accuracy_difference", condition=None)
    ends = pd.concat([over, alone[alone["method"] == "ptq"]]).dropna(subset=["k", "ci_low"])
    ends = ends.assign(low=ends["ci_low"] * POINTS, high=ends["ci_high"] * POINTS)
    ends = both_ends(ends.astype({"bits": int, "k": int}))
    drawn = drawn.drop(columns=["low", "high"]).merge(ends[[*KEYS, "low", "high"]], on=KEYS)
    tuned = alone.loc[alone["variant"] == Point("tuned").variant, "value"] * POINTS
    fresh = both_ends(points_table(today)).query("method == 'qat'")  # ringed
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
            _of_points(axis, "y", "points minus float's")
        for axis in axes[1]:
            axis.set_xlabel("k, layers quantized")
        told = "Bars: 95 % intervals; grey: float, fine-tuned as long, all seeds"
        canvas.suptitle(f"{about(table)}\n{told}", fontsize=10)
        legend(canvas, list(STYLE))


def size_by_k(table: pd.DataFrame, profile: str) -> None:
    """Bytes of the files over k, from either end, with the bytes of the weights by arithmetic."""
    weights = records.pick(table, "size_analytic_bytes").rename(columns={"value": "analytic_bytes"})
    points = points_table(table).merge(weights[[*KEYS, "analytic_bytes"]], on=KEYS)
    drawn = both_ends(points.query("method == 'qat'")).drop_duplicates(KEYS)
    start = drawn.drop_duplicates(["where", "bits"]).assign(k=0, size_bytes=float_bytes(table))
    each = pd.concat([start.assign(analytic_bytes=np.nan), drawn])
    each = each.rename(columns={"size_bytes": "file", "analytic_bytes": "weights and scales"})
    each = each.melt(KEYS, ["file", "weights and scales"], "of", "bytes").dropna()
    look = {"x": "k", "y": "bytes", "hue": "bits", "style": "of", "markers": True}
    look["palette"] = {bits: STYLE["qat", bits][0] for bits in BITS}
    look["dashes"] = ["", (1, 1)]  # solid the file, dotted the others
    layout = {"ncols": 2, "sharey": True, "figsize": (9, 4)}
    with plot.figure("qat_size_by_k", profile, drawn, **layout) as (canvas, axes):
        for axis, (where, label) in zip(axes, SIDES.items(), strict=True):
            sns.lineplot(each[each["where"] == where], **look, ax=axis, legend=where == "last")
            axis.set(xlabel="k, layers quantized", title=label, ylim=(0, None))
        canvas.suptitle(table["model"].iloc[0], fontsize=10)


def each_layer(table: pd.DataFrame, profile: str, layers: Sequence[str], sizes: dict) -> None:
    """The loss of quantizing one layer alone, by place; its size beside it."""
    if not (table["where"] == "only").any():
        return print("Each layer alone is measured by sweep='long'; here it was not.")
    whole, points = len(layers), each_alone(points_table(table), len(layers))
    drawn = over_seeds(points.assign(change=-points["loss"] * POINTS), "change")
    drawn["layer"] = [layers[k - 1] for k in drawn["k"]]
    drawn["parameters"] = [sizes[name] for name in drawn["layer"]]
    layout = {"ncols": 3, "sharey": True, "figsize": (10, 0.9 + 0.34 * whole)}
    layout["gridspec_kw"] = {"width_ratios": [3, 3, 1.6]}
    with plot.figure("qat_each_layer", profile, drawn, **layout) as (canvas, axes):
        for axis, bits in zip(axes, BITS, strict=False):
            axis.axvline(0, color="#000000", lw=1)
            for method, shift in (("ptq", -0.14), ("qat", 0.14)):
                _bars(axis, drawn, method, bits, shift, ls="")
            _of_points(axis, "x", "points minus float's")
            axis.set_title(f"{bits}-bit weights", fontsize=10)
        axes[2].barh(range(1, whole + 1), [sizes[n] / 1e3 for n in layers], color="#999999")
        axes[2].set_xlabel("weights (10³)")
        axes[0].set_yticks(range(1, whole + 1), layers)
        axes[0].set_ylim(whole + 0.6, 0.4)
        told = "One layer quantized, all others float, from the input (top) to the output"
        canvas.suptitle(f"{about(table)}\n{told}", fontsize=10)
        legend(canvas, list(STYLE))


def fits(points: pd.DataFrame, found: Fits, profile: str, layers: int, told: str) -> None:
    """Fitted loss over k and size over the quantized share, with 95 % prediction bands."""
    curves = []
    for (where, bits), pair in found.items():
        for quantity, fit in zip(("loss", "size"), pair, strict=True):
            x = np.linspace(0, fit.highest, 60)
            curve = dict(zip(("x", "value", "low", "high"), (x, *fit.predict(x)), strict=True))
            curves.append(pd.DataFrame(curve).assign(where=where, bits=bits, quantity=quantity))
    drawn = pd.concat(curves) if curves else pd.DataFrame(columns=["x", "value", "low", "high"])
    points, layout = both_ends(points), {"ncols": 2, "figsize": (9.6, 4.2)}
    with plot.figure("qat_fits", profile, drawn, **layout) as (canvas, axes):
        sides = {"loss": (axes[0], points["k"] / layers, points["loss"], POINTS)}
        sides["size"] = (axes[1], points["share"], points["size_bytes"], 1e-3)
        for curve in curves:
            where, bits, quantity = curve[["where", "bits", "quantity"]].iloc[0]
            axis, x, y, scale = sides[quantity]
            look = {"color": STYLE["qat", bits][0], "ls": "-" if where == "last" else "--"}
            label, here = f"{SIDES[where]}, {bits} bits", (points["where"] == where)
            axis.plot(curve["x"], curve["value"] * scale, label=label, **look)
            ends = curve["x"], curve["low"] * scale, curve["high"] * scale
            axis.fill_between(*ends, color=look["color"], alpha=0.12, lw=0)
            at, mark = here & (points["bits"] == bits), "o" if where == "last" else "x"
            axis.plot(x[at], y[at] * scale, mark, ms=4, color=look["color"])
        axes[0].set(xlabel="share of the layers quantized, k / N", ylabel="accuracy lost (points)")
        axes[1].set(xlabel="share of the weights quantized", ylabel="size (10³ bytes)")
        few = "" if found else ": too few values of k in this sweep"
        canvas.suptitle(f"{told}\nFitted formulas with 95 % prediction bands{few}", fontsize=10)
        _below(canvas, axes[0].get_legend_handles_labels()[0], ncols=2)


def robustness(table: pd.DataFrame, profile: str) -> None:
    """Accuracy on corrupted examples: float's, and minus it the others', over their seeds."""
    names = ["accuracy", "accuracy_difference", over := "accuracy_difference_over_seeds"]
    drawn = records.pick(table, names)
    drawn = drawn[drawn["condition"].notna()].astype({"strength": int})
    several = drawn["variant"].isin(drawn.loc[drawn["metric"] == over, "variant"])
    drawn = drawn[~several | (drawn["metric"] == over)].replace({"metric": {over: names[1]}})
    judged, kinds = drawn[drawn["metric"] == names[1]], drawn["condition"].unique()
    broken = judged.groupby("variant")["value"].median() < -0.1  # they would set the scale
    far, judged = ", ".join(broken.index[broken]), judged[~judged["variant"].map(broken)]
    layout = {"nrows": 2, "ncols": len(kinds), "sharey": "row", "sharex": True}
    layout |= {"figsize": (2.5 * len(kinds) + 0.6, 5.6), "squeeze": False}
    with plot.figure("qat_robustness", profile, drawn, **layout) as (canvas, axes):
        for (top, bottom), kind in zip(axes.T, kinds, strict=True):
            floats = records.pick(drawn, "accuracy", variant=PARENT, condition=kind)
            floats = floats.sort_values("strength")
            top.plot(floats["strength"], floats["value"], "ko-")
            top.set(title=kind, ylim=(0, 1))
            bottom.axhline(0, color="#000000", lw=1)
            each = judged[judged["condition"] == kind].groupby("variant", sort=False)
            for at, (variant, line) in enumerate(each):
                x = line["strength"] + (at - (len(each) - 1) / 2) * 0.14
                value, low, high = (line[c] * POINTS for c in ("value", "ci_low", "ci_high"))
                style = {"color": plot.PALETTE[(at + 1) % 7], "marker": plot.MARKERS[at % 8]}
                bars = {"yerr": [value - low, high - value], "capsize": 2, "ls": "", "ms": 5}
                bottom.errorbar(x, value, label=variant, **bars, **style)
            bottom.set(xlabel="strength", xticks=floats["strength"])
        canvas.suptitle(f"{about(table)}{'; far below, not drawn: ' * bool(far)}{far}", fontsize=10)
        axes[0][0].set_ylabel("accuracy of float")
        _of_points(axes[1][0], "y", "points minus float's")
        _below(canvas, axes[1][0].get_legend_handles_labels()[0], ncols=4)


def network(table: pd.DataFrame, profile: str) -> None:
    """Bytes sent in a federated round over k, and, where they were counted, at a training step."""
    step = records.pick(table, ["network_step_bytes", "network_step_analytic_bytes"])
    step = step[step["method"].isna() | (step["method"] == "qat")]  # not with layers frozen
    step = step.assign(k=step["k"].fillna(0))
    update = records.pick(table, "update_bytes")
    panels = [
        (step, "metric", "bytes a step, two workers", "At each step of data-parallel training"),
        (update, "bits", "bytes an update, reckoned", "In a round that sends only those layers"),
    ][len(step) == 0 :]
    words = {"network_step_bytes": "counted", "network_step_analytic_bytes": "reckoned"}
    drawn, layout = pd.concat([step, update]), {"ncols": len(panels), "squeeze": False}
    layout["figsize"] = (4.8 * len(panels), 3.8)
    with plot.figure("qat_network", profile, drawn, **layout) as (canvas, axes):
        canvas.suptitle(table["model"].iloc[0], fontsize=10)
        for axis, (rows, kind, what, title) in zip(axes[0], panels, strict=True):
            rows = rows.sort_values(kind).astype({"k": int, kind: str}).replace({kind: words})
            look = {"hue": kind, "style": kind, "markers": True, "errorbar": None}
            sns.lineplot(rows, x="k", y="value", **look, ax=axis)
            axis.set(xlabel="k, last layers", ylabel=what, title=title)
            axis.set_ylim(0, 1.08 * rows["value"].max())
            axis.get_legend().set_title("" if kind == "metric" else kind)
