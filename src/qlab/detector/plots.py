"""Figures and tables of notebook 01, drawn from records; figures are kept with their data."""

import numpy as np
import pandas as pd
from matplotlib.ticker import LogFormatter

from qlab.core import plot, records
from qlab.detector.average_precision import OVERLAPS, SIZES
from qlab.detector.measure import BITS, FEW, PARENT
from qlab.detector.robustness import CLEAN
from qlab.images import corruptions

ORDER = {variant: i for i, variant in enumerate([*BITS, "as_is"])}
_AT = (0, 1, 2, 3, 3, 4, 5, 6, 7)  # no graph has both kinds of layers that stay float
LOOKS = {v: (plot.PALETTE[i], plot.MARKERS[i]) for v, i in zip(BITS, _AT, strict=False)}
LOOKS |= {v: ("#882255", marker) for v, marker in zip(FEW, plot.MARKERS, strict=False)}
PART_COLOURS = ["#A6761D", "#C7B299", "#332288", "#88CCEE", "#999933", "#DDDDDD"]  # of one variant
OVERLAP_LABELS = {metric: f"{iou:.2f}" for metric, iou in OVERLAPS.items()}
_SIZED = ("small (< 32² px)", "medium", "large (> 96² px)")
AREA_LABELS = {k: dict(zip((f"{k}_{s}" for s in SIZES), _SIZED, strict=True)) for k in ("ap", "ar")}
# LiteRT's two sets of kernels: title, metrics of the whole graph and of single operators.
KERNELS = {
    "Default kernels (XNNPACK)": ("latency_ms_p50", "operator_ms"),
    "Older built-in kernels": ("latency_builtin_ms_p50", "operator_builtin_ms"),
}
_INTERVAL = ["value", "ci_low", "ci_high"]
_BELOW = {"loc": "outside lower center", "frameon": False}  # where a legend lies
_NEAR = {"textcoords": "offset points", "fontsize": 9}  # a number beside its mark


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by the fixed order of variants."""
    return table.sort_values("variant", key=lambda v: v.map(ORDER), kind="stable")


def look(variant: str) -> tuple[str, str]:
    """Colour and marker of a variant; those that a reader adds to the notebook are brown."""
    return LOOKS.get(variant, ("#A6761D", plot.MARKERS[sum(map(ord, variant)) % 8]))


def clean(table: pd.DataFrame, metric: str | list[str]) -> pd.DataFrame:
    """Rows of metrics on the evaluation set itself, not corrupted copies or their clean subset."""
    return in_order(records.pick(table, metric, condition=None))


def wide(table: pd.DataFrame, titles: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Metrics on the evaluation set, a row per variant: `titles` has column titles and formats."""
    rows = clean(table, list(titles))
    rows["told"] = [records.interval(row, titles[row["metric"]][1]) for _, row in rows.iterrows()]
    told = rows.pivot(index="variant", columns="metric", values="told")
    told = told.reindex(rows["variant"].unique())[[m for m in titles if m in told]]
    return told.rename(columns={m: title for m, (title, _) in titles.items()}).fillna("")


def points(axis, rows: pd.DataFrame, x: str, y: str = "value", along: str = "y", **more) -> None:
    """Plot y over x of each variant, labelled, in its look, with its intervals `along` x or y."""
    for (variant, n), one in rows.groupby(["variant", "n"], sort=False):
        colour, marker = look(variant)
        ends = np.abs(one[["ci_low", "ci_high"]].sub(one["value"], axis=0)).to_numpy(float).T
        label = variant if n == rows["n"].max() else f"{variant} (n={n:.0f})"
        usual = {"fmt": marker, "color": colour, "elinewidth": 0.9, f"{along}err": ends}
        axis.errorbar(one[x], one[y], label=label, **usual | more)


def ladder(axis, rows: pd.DataFrame, form: str, **more) -> None:
    """Plot each variant's value with its interval, one row each, the number above it in `form`."""
    rows = rows.assign(at=range(len(rows)))
    points(axis, rows, "value", "at", "x", capsize=3, ms=7)
    form = form.replace("+", "+z")  # no -0.000
    for value, at in zip(rows["value"], rows["at"], strict=True):
        axis.annotate(f"{value:{form}}", (value, at), (0, 7), ha="center", **_NEAR)
    names = axis.get_legend_handles_labels()[1]
    axis.set(yticks=rows["at"], yticklabels=names, ylim=(len(rows) - 0.5, -0.7), **more)
    axis.margins(x=0.15)


def differences(table: pd.DataFrame, profile: str, name: str, places: dict, told: str) -> None:
    """Draw AP or AR minus the float parent's by overlap or object size; `places` maps metrics to
    their labels. Variants that saw fewer images or have less than half of its AP are left out."""
    rows = clean(table, [f"{metric}_difference" for metric in places])
    ap = clean(table, "ap").set_index("variant")["value"]
    rows = rows[(rows["variant"].map(ap) > ap.iloc[0] / 2) & (rows["n"] == rows["n"].max())]
    if rows.empty:
        return print("Nothing to draw: there is no variant beside a float parent.")
    at = rows["metric"].map({f"{metric}_difference": i for i, metric in enumerate(places)})
    shown = rows.assign(**100 * rows[_INTERVAL], at=at + _beside(rows, 0.8))
    with plot.figure(name, profile, rows, figsize=(9.6, 4.2)) as (_, axis):
        points(axis, shown, "at", ms=5)
        axis.axhline(0, color="#444444", lw=1)
        axis.set_xticks(range(len(places)), places.values())
        axis.grid(axis="x", visible=False)
        kind = "AR" if next(iter(places)).startswith("ar") else "AP"
        by = "overlap (IoU) that counts as found" if len(places) > 3 else "size of the object"
        axis.set(xlabel=by, ylabel=f"{kind} minus float's, points, 95 % interval", title=told)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def _beside(rows: pd.DataFrame, room: float) -> pd.Series:
    """Shifts that put the variants' intervals side by side in `room` around 0."""
    variants = [*rows["variant"].unique()]
    return rows["variant"].map(lambda v: room * ((variants.index(v) + 0.5) / len(variants) - 0.5))


def pareto(table: pd.DataFrame, profile: str, told: str) -> None:
    """Draw AP minus float's over size and over time; a line joins what nothing beats on both."""
    costs = {"size_bytes": "file size (10⁶ bytes)"}
    costs["latency_ms_p50"] = "ms per image, graph only, XNNPACK"
    wide = clean(table, list(costs)).pivot(index="variant", columns="metric", values="value")
    wide["size_bytes"] /= 1e6
    lost = clean(table, "ap_difference").set_index("variant")[[*_INTERVAL, "n"]]
    if lost.empty:
        return print("Nothing to draw: there is no variant beside a float parent.")
    lost[_INTERVAL] *= 100
    lost.loc[PARENT] = [0.0, 0.0, 0.0, lost["n"].max()]
    rows = in_order(wide.join(lost, how="inner").reset_index())
    broken = rows["value"] < -50 * clean(table, "ap")["value"].iloc[0]
    out = ", ".join(f"{r.variant} ({r.value:+.1f})" for r in rows[broken].itertuples())
    layout = {"ncols": 2, "figsize": (9.6, 4.6), "sharey": True}
    with plot.figure("centernet_pareto", profile, rows, **layout) as (canvas, axes):
        for axis, (cost, label) in zip(axes, costs.items(), strict=True):
            here = rows[~broken & rows[cost].notna()]
            points(axis, here, cost, ms=8, alpha=0.9)
            front = here.sort_values([cost, "value"], ascending=[True, False])
            front = front[front["value"] > front["value"].cummax().shift(fill_value=-np.inf)]
            axis.plot(front[cost], front["value"], color="#999999", lw=1, zorder=0)
            axis.set(xscale="log", xlabel=f"{label}, log scale")
            axis.xaxis.set_major_formatter(LogFormatter())
            axis.xaxis.set_minor_formatter(LogFormatter())  # its default's 4 × 10⁰ collide
        axes[0].set(ylabel="AP minus float's, points, 95 % interval")
        canvas.legend(*axes[0].get_legend_handles_labels(), ncols=4, **_BELOW)
        far = f"\nFar below, not drawn: {out}" if out else ""
        canvas.suptitle(f"{told}. Up and left is better; grey joins the unbeaten{far}", fontsize=9)


def operators(table: pd.DataFrame, profile: str) -> None:
    """Draw time by operator type with both sets of kernels."""
    rows = in_order(records.pick(table, [alone for _, alone in KERNELS.values()]))
    if rows.empty:
        return print("Nothing to draw: a ready .tflite file is not taken apart.")
    largest = rows.groupby("part")["value"].max().nlargest(len(PART_COLOURS) - 1).index
    shades = dict(zip([*largest, "other"], PART_COLOURS, strict=False))
    rows["kind"] = rows["part"].where(rows["part"].isin(largest), "other")
    drawn = rows.groupby(["metric", "variant", "kind"], sort=False, as_index=False)["value"].sum()
    layout = {"ncols": 2, "figsize": (9.6, 4.3), "sharey": True}
    with plot.figure("centernet_operators", profile, drawn, **layout) as (canvas, axes):
        for axis, (title, (whole, alone)) in zip(axes, KERNELS.items(), strict=True):
            one = records.pick(drawn, alone).pivot(index="variant", columns="kind", values="value")
            one = one.reindex(rows["variant"].unique())[[k for k in shades if k in one]]
            one.plot.barh(stacked=True, ax=axis, color=shades, width=0.6, legend=False)
            for at, (variant, total) in enumerate(one.sum(axis=1).items()):
                measured = records.pick(table, whole, variant=variant)["value"].tolist()
                axis.plot(measured, [at] * len(measured), "k|", ms=22, mew=1.6)
                end = max([total, *measured]), at
                took = "".join(f"{ms:.3g} ms" for ms in measured)
                axis.annotate(took, end, (5, 0), va="center", **_NEAR)
            axis.margins(x=0.2)
            axis.set(xlabel="ms per image; black tick: the whole graph", ylabel="", title=title)
            axis.grid(axis="y", visible=False)
        axes[0].invert_yaxis()
        told = f"{table['model'].iloc[0]}, {rows['device'].iloc[0]}: where the time goes"
        canvas.suptitle(f"{told}; pieces: operators alone, median of 5", fontsize=10)
        canvas.legend(*axes[0].get_legend_handles_labels(), ncols=3, **_BELOW)


def robustness(table: pd.DataFrame, profile: str) -> None:
    """Draw AP of each variant as the images get worse, and its difference to the float parent's."""
    rows = in_order(records.pick(table, ["ap", "ap_difference"])).dropna(subset="condition")
    usual = records.pick(rows, "ap", condition=CLEAN[0]).set_index("variant")["value"]
    broken = usual[usual < usual.iloc[0] / 2].index.tolist()  # which would set the scale
    rows = rows[~rows["variant"].isin(broken)]
    room = 0.13 * (usual.size - len(broken))
    shown = rows.assign(at=rows["strength"] + _beside(rows, room)).sort_values("strength")
    layout = {"nrows": 2, "ncols": len(corruptions.KINDS), "sharex": True, "sharey": "row"}
    layout["figsize"] = (10.4, 5.6)
    with plot.figure("centernet_robustness", profile, rows, **layout) as (canvas, axes):
        for (above, below), kind in zip(axes.T, corruptions.KINDS, strict=True):
            here = in_order(shown[shown["condition"].isin([CLEAN[0], kind])])
            points(above, records.pick(here, "ap"), "strength", yerr=None, ms=5, ls="-", lw=1.2)
            points(below, records.pick(here, "ap_difference"), "at", ms=5)
            above.set(title=kind)
            below.axhline(0, color="#444444", lw=1)
            below.set(xlabel="strength (0: clean)", xticks=[0, 1, 2, 3])
        images = f"{rows['n'].max()} images of {table['dataset'].iloc[0]}"
        far = f" (not drawn, broken on clean images: {', '.join(broken)})" if broken else ""
        canvas.suptitle(f"{table['model'].iloc[0]}, {images}{far}", fontsize=10)
        axes[0, 0].set(ylabel="AP", ylim=(0, None))
        axes[1, 0].set(ylabel="AP minus fp32's,\n95 % interval")
        canvas.legend(*axes[0, 0].get_legend_handles_labels(), ncols=5, **_BELOW)
