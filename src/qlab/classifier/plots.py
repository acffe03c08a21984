"""The figures of notebook 03, each drawn from records and kept with the numbers drawn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qlab.classifier.formulas import Fit, Fits
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


def over_seeds(points: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean, lowest and highest of a column over seeds, by method, bits, where and k; of a record of
    its own, the ends of its interval."""
    keys = ["method", "bits", "where", "k"]
    found = points.groupby(keys)[column].agg(mean="mean", low="min", high="max", seeds="count")
    if column == "value":
        ends = points.groupby(keys).agg(low=("ci_low", "min"), high=("ci_high", "max"))
        found.update(ends[found["seeds"] == 1])
    found = found.reset_index()
    # The mean of three equal numbers can lie beside them by the last digit.
    return found.assign(mean=found["mean"].clip(found["low"], found["high"]))


def about(table: pd.DataFrame) -> str:
    """What a figure is about, for its title: model, data, number of images."""
    one = records.pick(table, "accuracy", variant=PARENT, condition=None).iloc[0]
    return f"{one['model']}, {one['n']:,} images of {one['dataset']}"


def _with_intervals(drawn: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Ends of the mean by 95 % intervals: of QAT over seeds and images, of PTQ over images."""
    keys, ends = ["method", "bits", "where", "k"], {"ci_low": "low", "ci_high": "high"}
    over = records.pick(table, "accuracy_difference_over_seeds", condition=None)
    ptq = records.pick(table, "accuracy_difference", method="ptq", condition=None)
    known = both_ends(pd.concat([over, ptq]).astype({"bits": int})[[*keys, *ends]].dropna())
    known[[*ends]] *= POINTS
    return drawn.drop(columns=["low", "high"]).merge(known.rename(columns=ends), on=keys)


def accuracy_by_k(table: pd.DataFrame, profile: str, today: pd.DataFrame) -> None:
    """Accuracy minus the float parent's over k, from either end; `today` are points run afresh."""
    points = both_ends(points_table(table))
    drawn = over_seeds(points.assign(change=-points["loss"] * POINTS), "change")
    judged = (table["metric"] == "accuracy_difference_over_seeds").any()
    drawn = _with_intervals(drawn, table) if judged else drawn
    tuned = records.pick(
        table, "accuracy_difference", variant=Point("tuned").variant, condition=None
    )["value"] * POINTS  # fmt: skip
    layout = {"ncols": 2, "nrows": 2, "sharex": True, "sharey": "row", "figsize": (9, 6.4)}
    with plot.figure("qat_accuracy_by_k", profile, drawn, **layout) as (canvas, axes):
        for row, bits in zip(axes, BITS, strict=True):
            for axis, (where, label) in zip(row, SIDES.items(), strict=True):
                axis.axhline(0, color="#000000", lw=1)
                if len(tuned):
                    axis.axhspan(tuned.min(), tuned.max(), color="#CCCCCC", lw=0)
                for method in ("ptq", "qat"):
                    series(axis, drawn, method, bits, where)
                if today is not table and same_settings(table, today):
                    _rings(axis, today, bits, where)
                axis.set_title(f"{label}, {bits}-bit weights", fontsize=10)
        for axis in axes[1]:
            axis.set_xlabel("k, layers quantized")
        for axis in axes[:, 0]:
            more = compressed(axis, "y")
            axis.set_ylabel(f"accuracy minus float's\n(points{more})")
        bars = "95 % intervals" if judged else "lowest to highest of the seeds"
        told = f"{about(table)}\nBars: {bars}; grey: float, fine-tuned as long, all seeds"
        canvas.suptitle(told, fontsize=10)
        legend(canvas, [s for s in STYLE if s in _kinds(drawn)])


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


def _kinds(drawn: pd.DataFrame) -> set[tuple[str, int]]:
    return set(zip(drawn["method"], drawn["bits"], strict=True))


def series(axis, drawn: pd.DataFrame, method: str, bits: int, where: str, ls: str = "-") -> None:
    """One line with bars from the lowest to the highest seed."""
    line = drawn[
        (drawn["method"] == method) & (drawn["bits"] == bits) & (drawn["where"] == where)
    ].sort_values("k")
    colour, marker, _ = STYLE[method, bits]
    error = [line["mean"] - line["low"], line["high"] - line["mean"]]
    axis.errorbar(line["k"], line["mean"], yerr=error, color=colour, marker=marker, ms=5, lw=1.3,
                  ls=ls, elinewidth=1, capsize=2)  # fmt: skip


def _rings(axis, today: pd.DataFrame, bits: int, where: str) -> None:
    """Points that this run measured itself."""
    one = points_table(today)
    one = both_ends(one)[lambda t: (t["bits"] == bits) & (t["where"] == where)]
    one = one[one["method"] == "qat"]
    axis.plot(one["k"], -one["loss"] * POINTS, ls="", marker="o", ms=11, mfc="none", mec="#000000")


def legend(canvas, styles: Sequence[tuple[str, int]]) -> None:
    """What the colours and markers of some methods and bit widths mean, below all."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=STYLE[s][0], marker=STYLE[s][1], ms=5, label=STYLE[s][2])
        for s in styles
    ]
    canvas.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)


def size_by_k(table: pd.DataFrame, profile: str) -> None:
    """Bytes of the files over k, from either end, with the bytes of the weights by arithmetic."""
    weights = records.pick(table, "size_analytic_bytes").rename(columns={"value": "analytic_bytes"})
    keys = ["method", "where", "k", "bits"]
    points = points_table(table).merge(weights[[*keys, "analytic_bytes"]], on=keys)
    points = both_ends(points[points["method"] == "qat"])
    drawn = points.drop_duplicates(["where", "k", "bits"])
    floats = float_bytes(table)
    layout = {"ncols": 2, "sharey": True, "figsize": (9, 4)}
    with plot.figure("qat_size_by_k", profile, drawn, **layout) as (canvas, axes):
        for axis, (where, label) in zip(axes, SIDES.items(), strict=True):
            for bits in BITS:
                line = drawn[(drawn["where"] == where) & (drawn["bits"] == bits)].sort_values("k")
                colour, marker, _ = STYLE["qat", bits]
                sizes = np.array([floats, *line["size_bytes"]]) / 1e3
                axis.plot([0, *line["k"]], sizes, color=colour, marker=marker, ms=5,
                          label=f"file, {bits}-bit weights")  # fmt: skip
                axis.plot(line["k"], line["analytic_bytes"] / 1e3, color=colour, ls=":", lw=1.2,
                          label=f"weights and scales alone, {bits} bits")  # fmt: skip
            axis.set(xlabel="k, layers quantized", title=label, ylim=(0, None))
        axes[0].set_ylabel("size (10³ bytes)")
        canvas.suptitle(table["model"].iloc[0], fontsize=10)
        canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2,
                      frameon=False)  # fmt: skip


def each_layer(table: pd.DataFrame, profile: str, layers: Sequence[str], sizes: dict) -> None:
    """The loss of quantizing one layer alone, by place; its size beside it."""
    if not (table["where"] == "only").any():
        return print("Each layer alone is measured by sweep='long'; here it was not.")
    whole = len(layers)
    drawn = over_seeds(each_alone(points_table(table), whole), "loss")
    drawn[["mean", "low", "high"]] *= -POINTS
    drawn = drawn.rename(columns={"low": "high", "high": "low"})
    drawn["layer"] = [layers[k - 1] for k in drawn["k"]]
    drawn["parameters"] = [sizes[name] for name in drawn["layer"]]
    layout = {"ncols": 3, "sharey": True, "figsize": (10, 0.9 + 0.34 * whole)}
    layout["gridspec_kw"] = {"width_ratios": [3, 3, 1.6]}
    with plot.figure("qat_each_layer", profile, drawn, **layout) as (canvas, axes):
        for axis, bits in zip(axes, BITS, strict=False):
            axis.axvline(0, color="#000000", lw=1)
            for method, shift in (("ptq", -0.14), ("qat", 0.14)):
                one = drawn[(drawn["method"] == method) & (drawn["bits"] == bits)]
                colour, marker, _ = STYLE[method, bits]
                error = [one["mean"] - one["low"], one["high"] - one["mean"]]
                axis.errorbar(one["mean"], one["k"] + shift, xerr=error, color=colour, ls="",
                              marker=marker, ms=5, capsize=2)  # fmt: skip
            axis.set_xlabel(f"accuracy minus float's (points{compressed(axis, 'x')})")
            axis.set_title(f"{bits}-bit weights", fontsize=10)
        axes[2].barh(range(1, whole + 1), [sizes[n] / 1e3 for n in layers], color="#999999")
        axes[2].set_xlabel("weights (10³)")
        axes[0].set_yticks(range(1, whole + 1), layers)
        axes[0].set_ylim(whole + 0.6, 0.4)
        told = "One layer quantized, all others float, from the input (top) to the output"
        canvas.suptitle(f"{about(table)}\n{told}", fontsize=10)
        legend(canvas, [s for s in STYLE if s in _kinds(drawn)])


def fits(points: pd.DataFrame, found: Fits, profile: str, layers: int, told: str) -> None:
    """Fitted loss over k and size over the quantized share, with 95 % prediction bands."""
    rows = []
    layout = {"ncols": 2, "figsize": (9.6, 4.2)}
    curves = {key: (_curve(loss, 1), _curve(size, 0)) for key, (loss, size) in found.items()}
    for (where, bits), pair in curves.items():
        for name, curve in zip(("loss", "size"), pair, strict=True):
            rows.append(curve.assign(where=where, bits=bits, quantity=name))
    drawn = pd.concat(rows) if rows else pd.DataFrame(columns=["x", "value", "low", "high"])
    with plot.figure("qat_fits", profile, drawn, **layout) as (canvas, axes):
        for (where, bits), (loss, size) in curves.items():
            colour = STYLE["qat", bits][0]
            style = "-" if where == "last" else "--"
            label = f"{SIDES[where]}, {bits} bits"
            one = both_ends(points)[lambda t, w=where, b=bits: (t["where"] == w) & (t["bits"] == b)]
            for axis, curve, scale in ((axes[0], loss, POINTS), (axes[1], size, 1e-3)):
                axis.plot(curve["x"], curve["value"] * scale, style, color=colour, label=label)
                axis.fill_between(curve["x"], curve["low"] * scale, curve["high"] * scale,
                                  color=colour, alpha=0.12, lw=0)  # fmt: skip
            marker = {"mfc": colour if where == "last" else "white", "mec": colour, "ms": 4}
            axes[0].plot(one["k"] / layers, one["loss"] * POINTS, ls="", marker="o", **marker)
            axes[1].plot(one["share"], one["size_bytes"] / 1e3, ls="", marker="o", **marker)
        axes[0].set(xlabel="share of the layers quantized, k / N", ylabel="accuracy lost (points)")
        axes[1].set(
            xlabel="share of the weights quantized", ylabel="size (10³ bytes)", ylim=(0, None)
        )
        few = "" if rows else ": too few values of k in this sweep"
        canvas.suptitle(f"{told}\nFitted formulas with 95 % prediction bands{few}", fontsize=10)
        canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2,
                      frameon=False)  # fmt: skip


def _curve(fit: Fit, lowest: float) -> pd.DataFrame:
    x = np.linspace(fit.lowest if lowest else 0.0, fit.highest, 60)
    value, low, high = fit.predict(x)
    return pd.DataFrame({"x": x, "value": value, "low": low, "high": high})


def robustness(table: pd.DataFrame, profile: str) -> None:
    """Accuracy on corrupted examples: of float, and the difference of the quantized ones, over
    seeds where there are several."""
    names = ["accuracy", "accuracy_difference", over := "accuracy_difference_over_seeds"]
    drawn = records.pick(table, names)
    drawn = drawn[drawn["condition"].notna()].astype({"strength": int})
    several = drawn["variant"].isin(drawn.loc[drawn["metric"] == over, "variant"])
    drawn = drawn[~several | (drawn["metric"] == over)].replace({"metric": {over: names[1]}})
    usual = records.pick(table, names[1], condition=None).groupby("variant")["value"].mean()
    broken = usual[usual < -BROKEN].index.tolist()  # which would set the scale
    drawn = drawn[~drawn["variant"].isin(broken)]
    variants = list(dict.fromkeys(drawn.loc[drawn["metric"] == names[1], "variant"]))
    colours = {v: plot.PALETTE[(i + 1) % 7] for i, v in enumerate(variants)}
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
                shift = (at - (len(variants) - 1) / 2) * 0.14
                error = [line["value"] - line["ci_low"], line["ci_high"] - line["value"]]
                bottom.errorbar(line["strength"] + shift, line["value"] * POINTS,
                                yerr=np.array(error) * POINTS, ls="", capsize=2, ms=5,
                                marker=plot.MARKERS[at % 8], color=colours[variant],
                                label=variant)  # fmt: skip
            bottom.set(xlabel="strength", xticks=sorted(set(one["strength"])))
        far = [v for v in broken if v in set(table.loc[table["condition"].notna(), "variant"])]
        far = f"\nNot drawn, broken on clean images: {', '.join(far)}" if far else ""
        canvas.suptitle(f"{about(table)}{far}", fontsize=10)
        axes[0][0].set_ylabel("accuracy of float")
        axes[1][0].set_ylabel("accuracy minus float's\n(points, 95 % interval)")
        canvas.legend(*axes[1][0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
                      frameon=False)  # fmt: skip


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
            _step_bytes(axis, step)
        for bits, at in ((32, 0), (8, 1), (4, 3)):
            line = update[update["bits"] == bits]
            right.plot(line["k"], line["value"] / 1e3, color=plot.PALETTE[at],
                       marker=plot.MARKERS[at], ms=4, label=f"{bits} bits")  # fmt: skip
        right.set(xlabel="k, last layers trained and sent", ylabel="10³ bytes an update, reckoned",
                  ylim=(0, None), title="In a round that sends only those layers")  # fmt: skip
        right.legend(frameon=False)


def _step_bytes(axis, step: pd.DataFrame) -> None:
    """Bytes at a step of two workers, counted and by the ring's formula."""
    reckoned, counted = (
        records.pick(step, f"network_step_{kind}bytes") for kind in ("analytic_", "")
    )
    axis.plot(reckoned["k"], reckoned["value"] / 1e3, ls=":", color="#000000",
              label="gradients and ranges, by the ring's formula")  # fmt: skip
    axis.plot(counted["k"], counted["value"] / 1e3, ls="", marker="o", label="counted",
              color=plot.PALETTE[1])  # fmt: skip
    axis.set(xlabel="k, last layers quantized", ylabel="10³ bytes a step, two workers",
             ylim=(0, 1.08 * counted["value"].max() / 1e3),
             title="At each step of data-parallel training")  # fmt: skip
    axis.legend(loc="lower right", frameon=False)


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
    rows = rows[rows["layer"].isin(names)]
    layout = {"figsize": (2.6 + 0.95 * len(tables), 1.8 + 0.24 * len(names))}
    with plot.figure("qat_wrappers", profile, rows, **layout) as (canvas, axis):
        for column, table in enumerate(tables.values()):
            for what, (shift, colour, marker) in marks.items():
                at = [names.index(layer) for layer in table.loc[table[what], "layer"]]
                axis.plot(np.full(len(at), column + shift), at, ls="", marker=marker, ms=6,
                          color=colour, label=what if column == 0 else None)  # fmt: skip
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xticks(range(len(tables)), list(tables))
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlim(-0.6, len(tables) - 0.4)
        axis.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
        axis.grid(axis="x", visible=False)
        canvas.suptitle(f"{model}, the end of the network", fontsize=10)
        canvas.legend(loc="outside lower center", ncols=3, frameon=False, title="quantizers at")
