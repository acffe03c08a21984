"""The figures of notebook 03, each drawn from records and kept with the numbers drawn."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from qlab.classifier.formulas import Fits
from qlab.classifier.partial_qat import BITS
from qlab.classifier.points import PARENT, Point
from qlab.classifier.sweep import POINTS, both_ends, float_bytes, same_settings
from qlab.core import plot, records
from qlab.core.places import each_alone, points_table

STYLE = {  # (method, bits of the weights): colour, marker, label
    ("qat", 8): (plot.PALETTE[1], "s", "QAT, 8-bit weights"),
    ("qat", 4): (plot.PALETTE[3], "D", "QAT, 4-bit weights"),
    ("ptq", 8): (plot.PALETTE[2], "o", "PTQ, 8-bit weights"),
    ("ptq", 4): (plot.PALETTE[6], "^", "PTQ, 4-bit weights"),
}
BROKEN = 0.2  # share of the images lost: of such a variant too little is left to compare
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


def _kinds(drawn: pd.DataFrame) -> list[tuple[str, int]]:
    return [s for s in STYLE if s in set(zip(drawn["method"], drawn["bits"], strict=True))]


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


def compressed(axes, which: str) -> str:
    """Make an axis of points logarithmic where it goes far below 0; says so for its label."""
    axis = getattr(axes, f"{which}axis")
    low, _ = axis.get_view_interval()
    if low > -10:
        return ""
    getattr(axes, f"set_{which}scale")("symlog", linthresh=1, linscale=0.6)
    high = getattr(axes.dataLim, f"interval{which}")[1]
    getattr(axes, f"set_{which}lim")(1.25 * low, max(high, 0) + 0.3)
    axis.set_ticks([-50, -10, -5, -2, -1, 0])
    axis.set_major_formatter("{x:g}")
    return ", log beyond -1"


def accuracy_by_k(table: pd.DataFrame, profile: str, today: pd.DataFrame) -> None:
    """Accuracy minus the float parent's over k, from either end; `today` are points run afresh.

    Bars are 95 % intervals, of QAT over seeds and images, of PTQ over images, where they are known.
    """
    points = both_ends(points_table(table))
    drawn = over_seeds(points.assign(change=-points["loss"] * POINTS), "change")
    over = records.pick(table, "accuracy_difference_over_seeds", condition=None)
    alone = records.pick(table, "accuracy_difference", condition=None)
    if judged := len(over) > 0:
        ends = pd.concat([over, alone[alone["method"] == "ptq"]]).astype({"bits": int})
        ends = both_ends(ends[[*KEYS, "ci_low", "ci_high"]].dropna())
        ends["low"], ends["high"] = ends.pop("ci_low") * POINTS, ends.pop("ci_high") * POINTS
        drawn = drawn.drop(columns=["low", "high"]).merge(ends, on=KEYS)
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
            axis.set_ylabel(f"accuracy minus float's\n(points{compressed(axis, 'y')})")
        for axis in axes[1]:
            axis.set_xlabel("k, layers quantized")
        bars = "95 % intervals" if judged else "lowest to highest of the seeds"
        told = f"{about(table)}\nBars: {bars}; grey: float, fine-tuned as long, all seeds"
        canvas.suptitle(told, fontsize=10)
        legend(canvas, _kinds(drawn))


def size_by_k(table: pd.DataFrame, profile: str) -> None:
    """Bytes of the files over k, from either end, with the bytes of the weights by arithmetic."""
    weights = records.pick(table, "size_analytic_bytes").rename(columns={"value": "analytic_bytes"})
    points = points_table(table).merge(weights[[*KEYS, "analytic_bytes"]], on=KEYS)
    points = both_ends(points[points["method"] == "qat"])
    drawn = points.drop_duplicates(["where", "k", "bits"])
    layout = {"ncols": 2, "sharey": True, "figsize": (9, 4)}
    with plot.figure("qat_size_by_k", profile, drawn, **layout) as (canvas, axes):
        for axis, (where, label) in zip(axes, SIDES.items(), strict=True):
            for bits in BITS:
                line = drawn[(drawn["where"] == where) & (drawn["bits"] == bits)].sort_values("k")
                colour, marker, _ = STYLE["qat", bits]
                sizes = np.array([float_bytes(table), *line["size_bytes"]]) / 1e3
                file, alone = f"file, {bits}-bit weights", f"weights and scales alone, {bits} bits"
                axis.plot([0, *line["k"]], sizes, color=colour, marker=marker, ms=5, label=file)
                axis.plot(
                    line["k"], line["analytic_bytes"] / 1e3, color=colour, ls=":", label=alone
                )
            axis.set(xlabel="k, layers quantized", title=label, ylim=(0, None))
        axes[0].set_ylabel("size (10³ bytes)")
        canvas.suptitle(table["model"].iloc[0], fontsize=10)
        _below(canvas, axes[0].lines, ncols=2)


def each_layer(table: pd.DataFrame, profile: str, layers: Sequence[str], sizes: dict) -> None:
    """The loss of quantizing one layer alone, by place; its size beside it."""
    if not (table["where"] == "only").any():
        return print("Each layer alone is measured by sweep='long'; here it was not.")
    whole, points = len(layers), points_table(table)
    drawn = over_seeds(each_alone(points.assign(change=-points["loss"] * POINTS), whole), "change")
    drawn["layer"] = [layers[k - 1] for k in drawn["k"]]
    drawn["parameters"] = [sizes[name] for name in drawn["layer"]]
    layout = {"ncols": 3, "sharey": True, "figsize": (10, 0.9 + 0.34 * whole)}
    layout["gridspec_kw"] = {"width_ratios": [3, 3, 1.6]}
    with plot.figure("qat_each_layer", profile, drawn, **layout) as (canvas, axes):
        for axis, bits in zip(axes, BITS, strict=False):
            axis.axvline(0, color="#000000", lw=1)
            for method, shift in (("ptq", -0.14), ("qat", 0.14)):
                _bars(axis, drawn, method, bits, shift, ls="")
            axis.set_xlabel(f"accuracy minus float's (points{compressed(axis, 'x')})")
            axis.set_title(f"{bits}-bit weights", fontsize=10)
        axes[2].barh(range(1, whole + 1), [sizes[n] / 1e3 for n in layers], color="#999999")
        axes[2].set_xlabel("weights (10³)")
        axes[0].set_yticks(range(1, whole + 1), layers)
        axes[0].set_ylim(whole + 0.6, 0.4)
        told = "One layer quantized, all others float, from the input (top) to the output"
        canvas.suptitle(f"{about(table)}\n{told}", fontsize=10)
        legend(canvas, _kinds(drawn))


def fits(points: pd.DataFrame, found: Fits, profile: str, layers: int, told: str) -> None:
    """Fitted loss over k and size over the quantized share, with 95 % prediction bands."""
    drawn = [pd.DataFrame(columns=["x", "value", "low", "high", "where", "bits", "quantity"])]
    for (where, bits), pair in found.items():
        for name, fit, start in zip(("loss", "size"), pair, (pair[0].lowest, 0.0), strict=True):
            x = np.linspace(start, fit.highest, 60)
            curve = dict(zip(("value", "low", "high"), fit.predict(x), strict=True))
            drawn.append(
                pd.DataFrame({"x": x, **curve}).assign(where=where, bits=bits, quantity=name)
            )
    drawn, layout = pd.concat(drawn[1:] or drawn), {"ncols": 2, "figsize": (9.6, 4.2)}
    with plot.figure("qat_fits", profile, drawn, **layout) as (canvas, axes):
        for (where, bits, name), curve in drawn.groupby(["where", "bits", "quantity"], sort=False):
            axis, scale = (axes[0], POINTS) if name == "loss" else (axes[1], 1e-3)
            colour, solid = STYLE["qat", bits][0], where == "last"
            label = f"{SIDES[where]}, {bits} bits"
            curve, at = curve.set_index("x")[["value", "low", "high"]] * scale, both_ends(points)
            axis.plot(curve["value"], "-" if solid else "--", color=colour, label=label)
            axis.fill_between(
                curve.index, curve["low"], curve["high"], color=colour, alpha=0.12, lw=0
            )
            at = at[(at["where"] == where) & (at["bits"] == bits)]
            x, y = (
                (at["k"] / layers, at["loss"])
                if name == "loss"
                else (at["share"], at["size_bytes"])
            )
            axis.plot(x, y * scale, "o", ms=4, mec=colour, mfc=colour if solid else "white")
        axes[0].set(xlabel="share of the layers quantized, k / N", ylabel="accuracy lost (points)")
        axes[1].set(xlabel="share of the weights quantized", ylabel="size (10³ bytes)")
        axes[1].set_ylim(0, None)
        few = "" if found else ": too few values of k in this sweep"
        canvas.suptitle(f"{told}\nFitted formulas with 95 % prediction bands{few}", fontsize=10)
        _below(canvas, axes[0].get_legend_handles_labels()[0], ncols=2)


def robustness(table: pd.DataFrame, profile: str) -> None:
    """Accuracy on corrupted examples: of float, and the difference of the quantized ones, over
    seeds where there are several."""
    names = ["accuracy", "accuracy_difference", over := "accuracy_difference_over_seeds"]
    drawn = records.pick(table, names)
    drawn = drawn[drawn["condition"].notna()].astype({"strength": int})
    several = drawn["variant"].isin(drawn.loc[drawn["metric"] == over, "variant"])
    drawn = drawn[~several | (drawn["metric"] == over)].replace({"metric": {over: names[1]}})
    usual = records.pick(table, names[1], condition=None).groupby("variant")["value"].mean()
    broken = [v for v in usual[usual < -BROKEN].index if v in set(drawn["variant"])]
    drawn = drawn[~drawn["variant"].isin(broken)]  # they would set the scale
    variants = list(dict.fromkeys(drawn.loc[drawn["metric"] == names[1], "variant"]))
    kinds = list(dict.fromkeys(drawn["condition"]))
    layout = {"nrows": 2, "ncols": len(kinds), "sharey": "row", "sharex": True}
    layout |= {"figsize": (2.5 * len(kinds) + 0.6, 5.6), "squeeze": False}
    with plot.figure("qat_robustness", profile, drawn, **layout) as (canvas, axes):
        for (top, bottom), kind in zip(axes.T, kinds, strict=True):
            one = drawn[drawn["condition"] == kind]
            floats = records.pick(one, "accuracy", variant=PARENT).sort_values("strength")
            top.plot(floats["strength"], floats["value"], marker="o", color="#000000")
            top.set(title=kind, ylim=(0, 1))
            bottom.axhline(0, color="#000000", lw=1)
            for at, variant in enumerate(variants):
                line = records.pick(one, "accuracy_difference", variant=variant)
                x = line["strength"] + (at - (len(variants) - 1) / 2) * 0.14
                value, low, high = (line[c] * POINTS for c in ("value", "ci_low", "ci_high"))
                style = {"color": plot.PALETTE[(at + 1) % 7], "marker": plot.MARKERS[at % 8]}
                bars = {"yerr": [value - low, high - value], "capsize": 2, "ls": "", "ms": 5}
                bottom.errorbar(x, value, label=variant, **bars, **style)
            bottom.set(xlabel="strength", xticks=sorted(set(one["strength"])))
        far = f"\nNot drawn, broken on clean images: {', '.join(broken)}" if broken else ""
        canvas.suptitle(f"{about(table)}{far}", fontsize=10)
        axes[0][0].set_ylabel("accuracy of float")
        axes[1][0].set_ylabel("accuracy minus float's\n(points, 95 % interval)")
        _below(canvas, axes[1][0].get_legend_handles_labels()[0], ncols=4)


def network(table: pd.DataFrame, profile: str) -> None:
    """Bytes sent in a federated round over k, and, where they were counted, at a training step."""
    step = records.pick(table, ["network_step_bytes", "network_step_analytic_bytes"])
    step = step[step["method"].isna() | (step["method"] == "qat")]  # not with layers frozen
    step = step.assign(k=step["k"].fillna(0).astype(int)).sort_values("k")
    update = records.pick(table, "update_bytes")
    update = update.astype({"bits": int, "k": int}).sort_values("k")
    panels = 2 if len(step) else 1
    layout = {"ncols": panels, "figsize": (4.8 * panels, 3.8), "squeeze": False}
    with plot.figure("qat_network", profile, pd.concat([step, update]), **layout) as (canvas, axes):
        canvas.suptitle(table["model"].iloc[0], fontsize=10)
        *left, right = axes[0]
        for axis in left:
            kinds = {"network_step_analytic_bytes": ("k:", "gradients and ranges, by the formula")}
            kinds["network_step_bytes"] = ("o", "counted")
            for metric, (style, label) in kinds.items():
                line = step[step["metric"] == metric]
                axis.plot(line["k"], line["value"] / 1e3, style, label=label)
            axis.set(xlabel="k, last layers quantized", ylabel="10³ bytes a step, two workers")
            axis.set_title("At each step of data-parallel training")
        for bits, at in ((32, 0), (8, 1), (4, 3)):
            line = update[update["bits"] == bits]
            style = {"color": plot.PALETTE[at], "marker": plot.MARKERS[at], "ms": 4}
            right.plot(line["k"], line["value"] / 1e3, label=f"{bits} bits", **style)
        right.set(xlabel="k, last layers trained and sent", ylabel="10³ bytes an update, reckoned")
        right.set_title("In a round that sends only those layers")
        for axis in axes[0]:
            axis.set_ylim(0, None)
            axis.legend(frameon=False)


def wrappers(tables: dict[str, pd.DataFrame], profile: str, model: str) -> None:
    """Which quantizers each layer carries, for each choice of layers, from the first that has one:
    a picture of a table."""
    rows = pd.concat([t.assign(chosen=name) for name, t in tables.items()])
    # The longest: tfmot adds a layer behind the input where a first layer is quantized.
    names = list(max(tables.values(), key=len)["layer"])
    marks = {"weights": (-0.27, plot.PALETTE[3], "s"), "inputs": (0.0, plot.PALETTE[2], "<"),
             "outputs": (0.27, plot.PALETTE[1], ">")}  # fmt: skip
    marked = set(rows.loc[rows[list(marks)].any(axis=1), "layer"])
    names = names[next(i for i, name in enumerate(names) if name in marked) :]
    rows, columns = rows[rows["layer"].isin(names)], list(tables)
    layout = {"figsize": (2.6 + 0.95 * len(tables), 1.8 + 0.24 * len(names))}
    with plot.figure("qat_wrappers", profile, rows, **layout) as (canvas, axis):
        for what, (shift, colour, marker) in marks.items():
            there = rows[rows[what]]
            x = [columns.index(name) + shift for name in there["chosen"]]
            y = [names.index(name) for name in there["layer"]]
            axis.plot(x, y, ls="", marker=marker, ms=6, color=colour, label=what)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xticks(range(len(columns)), columns)
        axis.set(xlim=(-0.6, len(columns) - 0.4), ylim=(len(names) - 0.4, -0.6))
        axis.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
        axis.grid(axis="x", visible=False)
        canvas.suptitle(f"{model}, the end of the network", fontsize=10)
        _below(canvas, axis.lines, ncols=3, title="quantizers at")
