"""Figures and tables of notebook 01, drawn from records; figures are kept with what they show."""

import numpy as np
import pandas as pd
from matplotlib.ticker import LogFormatter

from qlab.core import corruptions, plot, records
from qlab.detector.average_precision import OVERLAPS, SIZES
from qlab.detector.measure import FEW, PARENT
from qlab.detector.robustness import CLEAN

ORDER = [PARENT, "fp16", "int8_dynamic", "int8_dynamic_deconv_fp32", "int8_dynamic_depthwise_fp32"]
ORDER += ["int8_dynamic_subpixel", "int8_static", "int8_selective", "int16x8", *FEW, "as_is"]
_TWICE = (
    "int8_dynamic_depthwise_fp32"  # looks as int8_dynamic_deconv_fp32, beside which it never is
)
_MAIN = [v for v in ORDER if v not in (_TWICE, *FEW, "as_is")]
LOOKS = dict(zip(_MAIN, zip(plot.PALETTE, plot.MARKERS, strict=True), strict=True))
LOOKS |= {v: ("#882255", marker) for v, marker in zip(FEW, plot.MARKERS, strict=False)}
LOOKS |= {_TWICE: LOOKS["int8_dynamic_deconv_fp32"], "as_is": LOOKS[PARENT]}
PART_COLOURS = ["#A6761D", "#C7B299", "#332288", "#88CCEE", "#999933", "#DDDDDD"]  # of one variant
OVERLAP_LABELS = {metric: f"{iou:.2f}" for metric, iou in OVERLAPS.items()}
_SIZED = ("small (< 32² px)", "medium", "large (> 96² px)")
AREA_LABELS = {k: dict(zip((f"{k}_{s}" for s in SIZES), _SIZED, strict=True)) for k in ("ap", "ar")}
NOISE = {  # by metric: label, marker, colour, filled
    "snr_db": ("what arrives in the whole-graph int8 file", "o", "#9A9A9A", True),
    "snr_end_db": ("one operator alone, at the network's ends", "X", "#D55E00", True),
    "snr_end_mended_db": ("the same, biases mended", "o", "#0072B2", False),
}
_ENDS = ["ci_low", "ci_high"]
# LiteRT's two sets of kernels: title, the time of the whole graph, of single operators.
KERNELS = {
    "Default kernels (XNNPACK)": ("latency_ms_p50", "operator_ms"),
    "Older built-in kernels": ("latency_builtin_ms_p50", "operator_builtin_ms"),
}


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by the fixed order of variants."""
    rank = {variant: i for i, variant in enumerate(ORDER)}
    return table.sort_values("variant", key=lambda v: v.map(rank), kind="stable")


def look(variant: str) -> tuple[str, str]:
    """Colour and marker of a variant; those that a reader adds to the notebook are brown."""
    return LOOKS.get(variant, ("#A6761D", plot.MARKERS[sum(map(ord, variant)) % 8]))


def clean(table: pd.DataFrame, metric: str | list[str]) -> pd.DataFrame:
    """Rows of metrics on the evaluation set itself, neither corrupted copies nor their subset."""
    return in_order(records.pick(table, metric, condition=None))


def wide(table: pd.DataFrame, titles: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Metrics on the evaluation set, a row a variant: `titles` has a column's title and format."""
    rows = clean(table, list(titles))
    rows["told"] = [records.interval(row, titles[row["metric"]][1]) for _, row in rows.iterrows()]
    told = rows.pivot(index="variant", columns="metric", values="told")
    told = told.reindex(rows["variant"].unique())[[m for m in titles if m in told]]
    return told.rename(columns={m: title for m, (title, _) in titles.items()}).fillna("")


def _same_images(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows measured on all images: a variant that saw fewer has no place beside the others."""
    return rows[rows["n"] == rows["n"].max()]


def error(rows: pd.DataFrame | pd.Series) -> np.ndarray:
    """How far the intervals reach below and above their values, [2, rows]."""
    below, above = rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]
    return np.array([below, above], float).reshape(2, -1)


def _legend_below(canvas, axis, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def differences(
    table: pd.DataFrame, profile: str, name: str, places: dict[str, str], told: str
) -> None:
    """AP or AR minus the float parent's, same images, by overlap or object size.

    `places` has the label of each metric, such as OVERLAP_LABELS. Variants that saw fewer images,
    and those with less than half of the parent's AP, are left out.
    """
    rows = _same_images(clean(table, [f"{metric}_difference" for metric in places]))
    ap = clean(table, "ap").set_index("variant")["value"]
    rows = rows[rows["variant"].map(ap) > ap.iloc[0] / 2] if len(rows) else rows
    if rows.empty:
        return print("Nothing to draw: there is no variant beside a float parent.")
    x = {f"{metric}_difference": i for i, metric in enumerate(places)}
    groups = rows.groupby("variant", sort=False)
    with plot.figure(name, profile, rows, figsize=(9.6, 4.2)) as (_, axis):
        for i, (variant, one) in enumerate(groups):
            shift = 0.8 * ((i + 0.5) / len(groups) - 0.5)
            colour, marker = look(variant)
            dots = (one["metric"].map(x) + shift, 100 * one["value"], 100 * error(one))
            axis.errorbar(*dots, fmt=marker, ms=5, color=colour, elinewidth=0.9, label=variant)
        axis.axhline(0, color="#444444", lw=1)
        axis.set_xticks(range(len(places)), places.values())
        axis.grid(axis="x", visible=False)
        kind = "AR" if next(iter(places)).startswith("ar") else "AP"
        by = "overlap (IoU) that counts as found" if len(places) > 3 else "size of the object"
        axis.set_xlabel(by)
        axis.set_ylabel(f"{kind} minus float's, points, 95 % interval")
        axis.set_title(told)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def noise(table: pd.DataFrame, profile: str) -> None:
    """Decibels by operator: what arrives, what each adds at the network's ends, and that mended."""
    rows = records.pick(table, list(NOISE))
    names = f"{table['model'].iloc[0]}, {rows['n'].min()} to {rows['n'].max()} calibration images"
    with plot.figure("centernet_tensor_snr", profile, rows, figsize=(9.6, 4.8)) as (canvas, axis):
        for metric, (label, marker, colour, fill) in NOISE.items():
            one = records.pick(rows, metric)
            if metric == "snr_end_mended_db":  # only where mending changed something
                before = records.pick(rows, "snr_end_db").set_index("depth")["value"]
                one = one[(one["value"] - one["depth"].map(before)).abs() > 0.5]
            if one.empty:
                continue
            axis.plot(one["depth"], one["value"].clip(-20, 80), marker, color=colour, label=label,
                      ms=6, mfc=colour if fill else "none")  # fmt: skip
        axis.axhline(0, color="#444444", lw=1)
        axis.axhline(20, color="#444444", lw=0.8, ls="--")
        axis.annotate("20 dB: noise has a hundredth of the power", (1, 20), (0, 3),
                      xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
                      fontsize=8)  # fmt: skip
        axis.set(xlabel="operator, in the order of execution", ylim=(-22, 82))
        axis.set(ylabel="signal / noise, dB (clipped to -20..80)", title=f"int8 in {names}")
        _legend_below(canvas, axis, 2)


def times(axis, rows: pd.DataFrame, title: str) -> None:
    """Seconds per image of each variant: points, for a log axis has no zero to start bars from."""
    for at, (_, row) in enumerate(rows.iterrows()):
        value, high, (colour, marker) = (
            row["value"] / 1e3,
            row["ci_high"] / 1e3,
            look(row["variant"]),
        )
        bar = {"fmt": marker, "color": colour, "capsize": 3, "ms": 7}
        axis.errorbar(value, at, xerr=error(row) / 1e3, **bar)
        told = {"textcoords": "offset points", "va": "center", "fontsize": 9}
        axis.annotate(f"{value:.3g} s", (high, at), (6, 0), **told)
    axis.set_xscale("log")
    axis.set_yticks(range(len(rows)), rows["variant"])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set(xlabel="seconds per image (graph only)", title=title)
    axis.margins(x=0.25)


def ap_difference(table: pd.DataFrame, profile: str, told: str) -> None:
    """AP minus the float parent's, on the same images, with interval."""
    rows = clean(table, "ap_difference")
    if rows.empty:
        return print("Nothing to draw: the detector has no float parent here.")
    with plot.figure("centernet_ap_difference", profile, rows) as (canvas, axis):
        for at, (_, row) in enumerate(rows.iterrows()):
            axis.errorbar(row["value"], at, xerr=error(row), fmt=look(row["variant"])[1], capsize=4,
                          color=look(row["variant"])[0], ms=7)  # fmt: skip
            axis.annotate(f"{row['value']:+.3f}", (row["value"], at), (0, 7),
                          textcoords="offset points", ha="center", fontsize=9,
                          bbox={"facecolor": "#FFFFFF", "lw": 0, "pad": 0.5})  # fmt: skip
        axis.axvline(0, color="#444444", lw=1)
        axis.set_yticks(
            range(len(rows)), [f"{row['variant']} (n={row['n']})" for _, row in rows.iterrows()]
        )
        axis.set_ylim(len(rows) - 0.5, -0.7)
        axis.margins(x=0.15)
        axis.locator_params(axis="x", nbins=6)
        axis.set_xlabel("AP minus fp32's, same n images, 95 % interval")
        canvas.suptitle(f"{told}: intervals off zero show a difference", fontsize=10)


def pareto(table: pd.DataFrame, profile: str, told: str) -> None:
    """Size, time and AP minus float's; the line joins what nothing beats on both axes."""
    costs = {
        "size_bytes": "file size (10⁶ bytes)",
        "latency_ms_p50": "ms per image, graph only, XNNPACK",
    }
    wide = clean(table, list(costs)).pivot(index="variant", columns="metric", values="value")
    wide["size_bytes"] /= 1e6
    lost = clean(table, "ap_difference").set_index("variant")[["value", *_ENDS, "n"]]
    lost[["value", *_ENDS]] *= 100
    if lost.empty:
        return print("Nothing to draw: there is no variant beside a float parent.")
    lost.loc[PARENT] = [0.0, 0.0, 0.0, lost["n"].max()]
    rows = in_order(wide.join(lost, how="inner").reset_index())
    broken = rows["value"] < -50 * clean(table, "ap")["value"].iloc[0]
    out = ", ".join(f"{r.variant} ({r.value:+.1f})" for r in rows[broken].itertuples())
    layout = {"ncols": 2, "figsize": (9.6, 4.6), "sharey": True}
    with plot.figure("centernet_pareto", profile, rows, **layout) as (canvas, axes):
        for axis, (cost, label) in zip(axes, costs.items(), strict=True):
            here = rows[~broken & rows[cost].notna()]
            for _, row in here.iterrows():
                colour, marker = look(row["variant"])
                bar = {"fmt": marker, "color": colour, "ms": 8, "elinewidth": 0.8}
                point = (row[cost], row["value"])
                name = row["variant"]
                name += "" if row["n"] == rows["n"].max() else f" (n={row['n']:.0f})"
                axis.errorbar(*point, yerr=error(row), label=name, alpha=0.9, **bar)
            front = here.sort_values([cost, "value"], ascending=[True, False])
            front = front[front["value"] > front["value"].cummax().shift(fill_value=-np.inf)]
            axis.plot(front[cost], front["value"], color="#999999", lw=1, zorder=0)
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(LogFormatter())
            axis.xaxis.set_minor_formatter(LogFormatter())  # its default's 4 × 10⁰ collide
            axis.set_xlabel(f"{label}, log scale")
        axes[0].set(ylabel="AP minus float's, points, 95 % interval")
        _legend_below(canvas, axes[0], 4)
        far = f"\nFar below, not drawn: {out}" if out else ""
        canvas.suptitle(f"{told}. Up and left is better; grey joins the unbeaten{far}", fontsize=9)


def operators(table: pd.DataFrame, profile: str, top: int = 5) -> None:
    """Time by operator type with both sets of kernels."""
    rows = in_order(records.pick(table, [alone for _, alone in KERNELS.values()]))
    if rows.empty:
        return print("Nothing to draw: a ready .tflite file is not taken apart.")
    kept = rows.groupby("part")["value"].max().nlargest(top).index
    rows = rows.assign(kind=rows["part"].where(rows["part"].isin(kept), "other"))
    drawn = rows.groupby(["metric", "variant", "kind"], sort=False, as_index=False)["value"].sum()
    kinds = [k for k in [*kept, "other"] if k in set(drawn["kind"])]
    shades = {k: PART_COLOURS[i % len(PART_COLOURS)] for i, k in enumerate(kinds)}
    layout = {"ncols": 2, "figsize": (9.6, 4.3), "sharey": True}
    with plot.figure("centernet_operators", profile, drawn, **layout) as (canvas, axes):
        for axis, (title, (whole, alone)) in zip(axes, KERNELS.items(), strict=True):
            one = records.pick(drawn, alone).pivot(index="variant", columns="kind", values="value")
            one = in_order(one.reset_index()).set_index("variant").reindex(columns=kinds).fillna(0)
            left = np.zeros(len(one))
            for kind in kinds:
                axis.barh(
                    one.index, one[kind], left=left, color=shades[kind], label=kind, height=0.6
                )
                left += one[kind].to_numpy()
            for at, (variant, total) in enumerate(zip(one.index, left, strict=True)):
                measured = records.pick(table, whole, variant=variant)["value"].tolist()
                axis.plot(measured, [at] * len(measured), "k|", ms=22, mew=1.6)
                axis.annotate(f"{total:.3g} ms", (max([total, *measured]), at), (5, 0),
                              textcoords="offset points", va="center", fontsize=9)  # fmt: skip
            axis.margins(x=0.2)
            axis.set(xlabel="ms per image; black tick: the whole graph", title=title)
            axis.grid(axis="y", visible=False)
        axes[0].invert_yaxis()
        canvas.suptitle(f"{table['model'].iloc[0]}: where the time goes", fontsize=10)
        _legend_below(canvas, axes[0], 3)


def robustness(table: pd.DataFrame, profile: str) -> None:
    """AP of each variant as the images get worse, and its difference to the float parent."""
    rows = in_order(records.pick(table, ["ap", "ap_difference"]))
    rows = rows[rows["condition"].notna()]
    usual = records.pick(rows, "ap", condition=CLEAN[0]).set_index("variant")["value"]
    broken = usual[usual < usual.iloc[0] / 2].index.tolist()  # which would set the scale
    rows = rows[~rows["variant"].isin(broken)]
    variants = list(dict.fromkeys(rows["variant"]))
    layout = {
        "nrows": 2,
        "ncols": len(corruptions.KINDS),
        "figsize": (10.4, 5.6),
        "sharex": True,
        "sharey": "row",
    }
    with plot.figure("centernet_robustness", profile, rows, **layout) as (canvas, axes):
        for column, kind in enumerate(corruptions.KINDS):
            for line, metric in enumerate(["ap", "ap_difference"]):
                for i, variant in enumerate(variants):
                    one = records.pick(rows, metric, variant=variant, condition=[CLEAN[0], kind])
                    one = one.sort_values("strength")
                    shift = (i - (len(variants) - 1) / 2) * 0.13 * line  # intervals side by side
                    axes[line, column].errorbar(
                        one["strength"].astype(float) + shift, one["value"],
                        yerr=error(one) if line else None,
                        marker=look(variant)[1], ms=5, lw=0 if line else 1.2, elinewidth=0.9,
                        color=look(variant)[0], label=variant,
                    )  # fmt: skip
            axes[0, column].set_title(kind)
            axes[1, column].axhline(0, color="#444444", lw=1)
            axes[1, column].set(xlabel="strength (0: clean)", xticks=[0, 1, 2, 3])
        images = f"{rows['n'].max()} images of {table['dataset'].iloc[0]}"
        far = f" (not drawn, broken on clean images: {', '.join(broken)})" if broken else ""
        canvas.suptitle(f"{table['model'].iloc[0]}, {images}{far}", fontsize=10)
        axes[0, 0].set(ylabel="AP")
        axes[0, 0].set_ylim(bottom=0)
        axes[1, 0].set(ylabel="AP minus fp32's,\n95 % interval")
        _legend_below(canvas, axes[0, 0], 5)
