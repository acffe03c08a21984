"""The figures of notebook 01, each drawn from records and kept with the numbers drawn."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogFormatter

from qlab.core import corruptions, plot, records
from qlab.core.images import read_image
from qlab.detector.data import Task
from qlab.detector.measure import FOUND_SCORE, PARENT, SUBPIXEL
from qlab.detector.quantize import VARIANTS

ORDER = [PARENT, "fp16", "int8_dynamic", "int8_dynamic_deconv_fp32", SUBPIXEL]
ORDER += [v for v in VARIANTS if v not in ORDER] + ["as_is"]
COLOUR = {**plot.colours(ORDER[:8]), "as_is": plot.PALETTE[0]}
PART_COLOURS = ["#A6761D", "#C7B299", "#332288", "#88CCEE", "#999933", "#DDDDDD"]  # of one variant
AREAS = ["small", "medium", "large"]  # objects, by COCO's bounds
MARKER = dict(zip(ORDER, [*plot.MARKERS, "o"], strict=True))


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by the fixed order of variants."""
    rank = table["variant"].map({v: i for i, v in enumerate(ORDER)})
    return table.assign(_rank=rank).sort_values("_rank", kind="stable").drop(columns="_rank")


def _nothing(why: str) -> None:
    print(f"Nothing to draw: {why}.")


def clean_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows on the evaluation set itself: neither corrupted copies nor their clean subset."""
    corrupted = rf"_(?:clean|(?:{'|'.join(corruptions.KINDS)})\d)$"
    return table[~table["dataset"].str.contains(corrupted)]


def _same_images(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows measured on all images: a variant that saw fewer has no place beside the others."""
    return rows[rows["n"] == rows["n"].max()]


def _bars(axis, rows: pd.DataFrame, scale: float, form: str, height: float = 0.62) -> None:
    """Horizontal bars with intervals and the value written at the end."""
    y = np.arange(len(rows))
    value = rows["value"].to_numpy() * scale
    axis.barh(y, value, height, color=[COLOUR[v] for v in rows["variant"]])
    low, high = rows["ci_low"].to_numpy() * scale, rows["ci_high"].to_numpy() * scale
    if not np.isnan(low.astype(float)).all():
        axis.errorbar(value, y, xerr=[value - low, high - value], fmt="none", ecolor="#444444")
    ends = np.fmax(value, np.nan_to_num(high.astype(float), nan=-np.inf))
    for at, end, shown in zip(y, ends, value, strict=True):
        axis.annotate(
            form.format(shown), (end, at), (5, 0), textcoords="offset points", va="center"
        )
    axis.set_yticks(y, rows["variant"])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.16)


def size(table: pd.DataFrame, profile: str) -> None:
    """Bytes of each file, plain and gzip-compressed."""
    rows = in_order(records.pick(table, ["size_bytes", "size_gzip_bytes"]))
    with plot.figure("centernet_size", profile, rows) as (_, axis):
        _bars(axis, records.pick(rows, "size_bytes"), 1e-6, "{:.3g} MB")
        packed = records.pick(rows, "size_gzip_bytes")["value"].to_numpy() * 1e-6
        axis.plot(packed, np.arange(len(packed)), "|", color="#000000", ms=16, mew=1)
        axis.plot(packed, np.arange(len(packed)), "|", color="#FFFFFF", ms=13, mew=2.2)
        axis.set_xlabel("file size (10⁶ bytes); white tick: gzip-compressed")
        axis.set_title("Size of each file")


def seconds(table: pd.DataFrame, profile: str) -> None:
    """Seconds per image of the graph, with XNNPACK and with the older built-in kernels."""
    names = ["latency_ms_p50", "latency_builtin_ms_p50"]
    rows = in_order(records.pick(table, names))
    layout = {"ncols": 2, "figsize": (10.4, 4.2), "sharex": True, "sharey": True}
    with plot.figure("centernet_seconds", profile, rows, **layout) as (_, axes):
        titles = ["Default kernels (XNNPACK)", "Older built-in kernels"]
        for axis, name, title in zip(axes, names, titles, strict=True):
            one = records.pick(rows, name)
            for at, (_, row) in enumerate(one.iterrows()):
                value, low, high = (row[c] / 1e3 for c in ("value", "ci_low", "ci_high"))
                axis.errorbar(value, at, xerr=[[value - low], [high - value]], capsize=3, ms=7,
                              fmt=MARKER[row["variant"]], color=COLOUR[row["variant"]])  # fmt: skip
                axis.annotate(f"{value:.3g} s", (high, at), (6, 0), textcoords="offset points",
                              va="center", fontsize=9)  # fmt: skip
            axis.set_xscale("log")  # points, not bars: a log axis has no zero to start from
            axis.set_yticks(range(len(one)), one["variant"])
            axis.set_ylim(len(one) - 0.5, -0.5)
            axis.set(xlabel="seconds per image (graph only)", title=title)
            axis.margins(x=0.25)


def ap_by_iou(table: pd.DataFrame, profile: str) -> None:
    """AP of each variant at every overlap threshold."""
    rows = iou_rows(table)
    with plot.figure("centernet_ap_by_iou", profile, rows) as (_, axis):
        iou_lines(axis, rows)
        axis.set_title("AP by the overlap that counts as found")
        axis.legend(loc="lower left", frameon=False, fontsize=9)


def iou_rows(table: pd.DataFrame) -> pd.DataFrame:
    """AP at each overlap on the clean images, the overlap in the column `iou`."""
    names = [f"ap{t}" for t in range(50, 100, 5)]
    rows = in_order(_same_images(records.pick(clean_rows(table), names)))
    return rows.assign(iou=rows["metric"].str[2:].astype(int) / 100)


def iou_lines(axis, rows: pd.DataFrame) -> None:
    """A line a variant, of `iou_rows`, with the float parent's interval as a band."""
    for variant, line in rows.groupby("variant", sort=False):
        line = line.sort_values("iou")
        axis.plot(line["iou"], line["value"], marker=MARKER[variant], ms=5, lw=1.4,
                  color=COLOUR[variant], label=variant)  # fmt: skip
        if variant == PARENT:
            band = (line["iou"], line["ci_low"], line["ci_high"])
            axis.fill_between(
                *band, alpha=0.15, color=COLOUR[variant], lw=0, label="fp32, 95 % interval"
            )
    axis.set(xlabel="overlap (IoU) a detection must reach", ylabel="AP", ylim=(0, 1))


def _by_area(table: pd.DataFrame, profile: str, kind: str, title: str) -> None:
    rows = area_rows(table, kind)
    layout = {"figsize": (8.2, 4.2)}
    with plot.figure(f"centernet_{kind}_by_area", profile, rows, **layout) as (_, axis):
        area_bars(axis, rows, kind)
        axis.set_title(title)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def area_rows(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """AP or AR (`kind`) by the size of the object on the clean images."""
    return in_order(_same_images(records.pick(clean_rows(table), [f"{kind}_{a}" for a in AREAS])))


def area_bars(axis, rows: pd.DataFrame, kind: str) -> None:
    """A group of bars for each size of object, a bar a variant, of `area_rows`."""
    variants = list(dict.fromkeys(rows["variant"]))
    width = 0.8 / max(len(variants), 1)
    for i, variant in enumerate(variants):
        one = records.pick(rows, [f"{kind}_{a}" for a in AREAS], variant=variant)
        place = np.array([AREAS.index(m.split("_")[1]) for m in one["metric"]])
        x = place + (i - (len(variants) - 1) / 2) * width
        error = [one["value"] - one["ci_low"], one["ci_high"] - one["value"]]
        axis.bar(x, one["value"], width * 0.92, color=COLOUR[variant], label=variant)
        axis.errorbar(x, one["value"], yerr=error, fmt="none", ecolor="#444444", elinewidth=0.9)
    axis.set_xticks(range(3), ["small (< 32² px)", "medium", "large (> 96² px)"])
    axis.set(ylabel=kind.upper() + ", IoU 0.50 to 0.95", ylim=(0, 1))
    axis.grid(axis="x", visible=False)


def ap_by_area(table: pd.DataFrame, profile: str) -> None:
    """AP by the size of the object."""
    _by_area(table, profile, "ap", "Precision by object size, 95 % intervals")


def ar_by_area(table: pd.DataFrame, profile: str) -> None:
    """Recall (at most 100 detections an image) by the size of the object."""
    _by_area(table, profile, "ar", "Recall by object size, 95 % intervals")


def ap_difference(table: pd.DataFrame, profile: str) -> None:
    """AP minus the float parent's, on the same images, with interval."""
    rows = in_order(records.pick(clean_rows(table), "ap_difference"))
    if rows.empty:
        return _nothing("the detector has no float parent here")
    with plot.figure("centernet_ap_difference", profile, rows) as (_, axis):
        y = np.arange(len(rows))
        for at, (_, row) in zip(y, rows.iterrows(), strict=True):
            error = [[row["value"] - row["ci_low"]], [row["ci_high"] - row["value"]]]
            axis.errorbar(row["value"], at, xerr=error, fmt=MARKER[row["variant"]], capsize=4,
                          color=COLOUR[row["variant"]], ms=7)  # fmt: skip
            axis.annotate(f"{row['value']:+.3f}", (row["value"], at), (0, 7),
                          textcoords="offset points", ha="center", fontsize=9,
                          bbox={"facecolor": "#FFFFFF", "lw": 0, "pad": 0.5})  # fmt: skip
        axis.axvline(0, color="#444444", lw=1)
        labels = [f"{v} (n={n})" for v, n in zip(rows["variant"], rows["n"], strict=True)]
        axis.set_yticks(y, labels)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.margins(x=0.15)
        axis.locator_params(axis="x", nbins=6)
        axis.set_xlabel("AP minus fp32's, same n images, 95 % interval")
        axis.set_title("Intervals that leave zero show a difference")


def pareto(table: pd.DataFrame, profile: str) -> None:
    """Size, time and AP in one picture; the line joins what nothing beats on both axes."""
    wide = clean_rows(table).pivot_table(index="variant", columns="metric", values="value")
    rows = wide[["size_bytes", "latency_ms_p50", "ap"]].dropna().reset_index()
    bounds = _same_images(records.pick(clean_rows(table), "ap"))
    bounds = bounds[["variant", "ci_low", "ci_high"]]
    rows = in_order(rows.merge(bounds, on="variant"))
    layout = {"ncols": 2, "figsize": (9.6, 4.6), "sharey": True}
    with plot.figure("centernet_pareto", profile, rows, **layout) as (canvas, axes):
        for axis, column, label in zip(
            axes,
            ["size_bytes", "latency_ms_p50"],
            ["file size (bytes)", "ms per image, graph only, XNNPACK"],
            strict=True,
        ):
            for _, row in rows.iterrows():
                error = [[row["ap"] - row["ci_low"]], [row["ci_high"] - row["ap"]]]
                axis.errorbar(row[column], row["ap"], yerr=error, fmt=MARKER[row["variant"]], ms=8,
                              color=COLOUR[row["variant"]], label=row["variant"],
                              elinewidth=0.8, alpha=0.9)  # fmt: skip
            front = rows[[_unbeaten(row, rows, column) for _, row in rows.iterrows()]]
            front = front.sort_values(column)
            axis.plot(front[column], front["ap"], color="#999999", lw=1, zorder=0)
            axis.set_xscale("log")
            axis.set_xlabel(f"{label}, log scale")
        for place in (axes[1].xaxis.set_major_formatter, axes[1].xaxis.set_minor_formatter):
            place(LogFormatter())  # 4 and 5, where the default's 4 × 10⁰ and 5 × 10⁰ collide
        axes[0].set(ylabel="AP, 95 % interval (axis does not start at 0)")
        handles, labels = axes[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        canvas.suptitle("Up and left is better; the grey line joins the unbeaten variants")


def _unbeaten(row: pd.Series, rows: pd.DataFrame, cost: str) -> bool:
    better = (rows[cost] <= row[cost]) & (rows["ap"] >= row["ap"])
    strictly = (rows[cost] < row[cost]) | (rows["ap"] > row["ap"])
    return not (better & strictly).any()


def boxes(task: Task, found: dict[str, list[dict]], profile: str, count: int = 2) -> None:
    """The same images with the boxes each variant draws, and the truth."""
    shown = [v for v in (PARENT, "fp16", "int8_dynamic", "int8_static", "int8_selective")
             if v in found] or list(found)[:1]  # fmt: skip
    # Images with about five objects: enough to see, not too many to tell apart.
    ids = sorted(task.images, key=lambda i: (abs(len(task.coco.getAnnIds([i])) - 5), i))[:count]
    rows = [{"variant": "truth", "score": 1.0, **box(a)} for a in truth(task, ids)]
    rows += [
        {"variant": v, "score": r["score"], **box(r)}
        for v in shown
        for r in found[v]
        if r["image_id"] in ids and r["score"] >= FOUND_SCORE
    ]
    drawn = pd.DataFrame(rows)
    columns = ["truth", *shown]
    layout = {"nrows": count, "ncols": len(columns), "squeeze": False}
    layout["figsize"] = (1.7 * len(columns), 1.85 * count + 0.3)
    with plot.figure("centernet_boxes", profile, drawn, **layout) as (canvas, axes):
        for axis, variant in zip(axes[0], columns, strict=True):
            axis.set_title(variant, fontsize=9)
        for line, image_id in zip(axes, ids, strict=True):
            picture = read_image(task.images[image_id])
            for axis, variant in zip(line, columns, strict=True):
                axis.imshow(picture, interpolation="none")  # in the SVG: the pixels themselves
                axis.set_axis_off()
                chosen = drawn[(drawn["variant"] == variant) & (drawn["image_id"] == image_id)]
                for _, b in chosen.iterrows():
                    draw_box(axis, b, category(task, b))
        canvas.suptitle(f"Boxes with score ≥ {FOUND_SCORE} (truth: all)", fontsize=11)


def truth(task: Task, ids: list[int]) -> list[dict]:
    """The annotated objects of some images."""
    return task.coco.loadAnns(task.coco.getAnnIds(ids))


def category(task: Task, entry: Mapping) -> str:
    """The name of an annotation's or a detection's category; a broken variant's may have none."""
    return task.coco.cats.get(entry["category_id"], {"name": "?"})["name"]


def box(entry: dict) -> dict:
    """Image, category and place in pixels of an annotation or a detection."""
    x, y, w, h = entry["bbox"]
    return {"image_id": entry["image_id"], "category_id": entry["category_id"],
            "x": x, "y": y, "width": w, "height": h}  # fmt: skip


def draw_box(
    axis, b: Mapping[str, float], name: str, fontsize: float = 6, colour: str = "#FFFFFF"
) -> None:
    """A `box` with its name, in black and a light colour, to be seen on any image."""
    place = ((b["x"], b["y"]), b["width"], b["height"])
    axis.add_patch(Rectangle(*place, fill=False, ec="#000000", lw=2.4))
    axis.add_patch(Rectangle(*place, fill=False, ec=colour, lw=1.1))
    axis.annotate(name, (b["x"], b["y"]), (1, 1), textcoords="offset points", fontsize=fontsize,
                  color="#FFFFFF", clip_on=True, va="bottom",
                  bbox={"facecolor": "#000000", "pad": 0.8, "lw": 0, "alpha": 0.75})  # fmt: skip


def operators(table: pd.DataFrame, profile: str, top: int = 5) -> None:
    """Time by operator type with both sets of kernels."""
    rows = table[table["metric"].str.startswith("operator_ms_")]
    if rows.empty:
        return _nothing("the detector came as a .tflite file and was not taken apart")
    rows = rows.assign(
        kernels=rows["metric"].str.split("_", n=3).str[2],
        kind=rows["metric"].str.split("_", n=3).str[3],
    )
    rows = in_order(rows)[["variant", "kernels", "kind", "value"]]
    kept = rows.groupby("kind")["value"].max().nlargest(top).index
    rows = rows.assign(kind=rows["kind"].where(rows["kind"].isin(kept), "other"))
    rows = rows.groupby(["kernels", "variant", "kind"], sort=False, as_index=False)["value"].sum()
    kinds = [k for k in [*kept, "other"] if k in set(rows["kind"])]
    shades = {k: PART_COLOURS[i % len(PART_COLOURS)] for i, k in enumerate(kinds)}
    whole = records.pick(table, ["latency_ms_p50", "latency_builtin_ms_p50"])
    layout = {"ncols": 2, "figsize": (9.6, 4.3), "sharey": True}
    with plot.figure("centernet_operators", profile, rows, **layout) as (canvas, axes):
        titles = {"xnnpack": "Default kernels (XNNPACK)", "builtin": "Older built-in kernels"}
        for axis, (kernels, title) in zip(axes, titles.items(), strict=True):
            one = rows[rows["kernels"] == kernels].pivot_table(
                index="variant", columns="kind", values="value", aggfunc="sum", fill_value=0.0
            )
            one = one.reindex(index=[v for v in ORDER if v in one.index], columns=kinds).fillna(0.0)
            left = np.zeros(len(one))
            for kind in kinds:
                axis.barh(
                    one.index, one[kind], left=left, color=shades[kind], label=kind, height=0.6
                )
                left += one[kind].to_numpy()
            metric = "latency_ms_p50" if kernels == "xnnpack" else "latency_builtin_ms_p50"
            for at, (variant, total) in enumerate(zip(one.index, left, strict=True)):
                measured = records.pick(whole, metric, variant=variant)["value"].tolist()
                axis.plot(measured, [at] * len(measured), "k|", ms=22, mew=1.6)
                axis.annotate(f"{total:.3g} ms", (max([total, *measured]), at), (5, 0),
                              textcoords="offset points", va="center", fontsize=9)  # fmt: skip
            axis.margins(x=0.2)
            axis.set(xlabel="ms per image; black tick: the whole graph", title=title)
            axis.grid(axis="y", visible=False)
        axes[0].invert_yaxis()
        handles, labels = axes[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)


def tensor_snr(table: pd.DataFrame, profile: str) -> None:
    """Signal-to-quantization-noise of each operator of the whole-graph int8 file, in order."""
    rows = table[table["metric"].str.startswith("snr_db_")]
    if rows.empty:
        return _nothing("the detector came as a .tflite file, without its float parent")
    parts = rows["metric"].str.extract(r"snr_db_(network|decoding)_(\d+)_(.+)")
    rows = pd.DataFrame(
        {"part": parts[0], "place": parts[1].astype(int), "kind": parts[2], "snr_db": rows["value"]}
    ).sort_values("place")
    with plot.figure("centernet_tensor_snr", profile, rows) as (_, axis):
        styles = {"network": ("o", "#7F7F7F"), "decoding": ("X", "#CC79A7")}
        for part, (marker, colour) in styles.items():
            one = rows[rows["part"] == part]
            axis.plot(one["place"], one["snr_db"].clip(-15, 60), marker, color=colour, label=part)
        axis.axhline(0, color="#444444", lw=1)
        axis.annotate("noise as strong as the signal", (0, 0), (0, 4), textcoords="offset points")
        axis.set(xlabel="operator, in the order of execution", ylabel="signal / noise (dB)")
        axis.set_ylim(-16, 62)
        axis.set_title("int8_static: where eight bits are too few (clipped to -15..60 dB)")
        axis.legend(frameon=False)


def robustness(table: pd.DataFrame, profile: str) -> None:
    """AP of each variant as the images get worse, and its difference to the float parent."""
    rows = in_order(records.pick(table, ["ap", "ap_difference"]))
    parts = rows["dataset"].str.extract(r"_(clean|noise|blur|contrast|jpeg)(\d?)$")
    rows = rows.assign(kind=parts[0], strength=pd.to_numeric(parts[1]).fillna(0))
    rows = rows[rows["kind"].notna()]
    variants = list(dict.fromkeys(rows["variant"]))
    layout = {"nrows": 2, "ncols": 4, "figsize": (10.4, 5.6), "sharex": True, "sharey": "row"}
    with plot.figure("centernet_robustness", profile, rows, **layout) as (canvas, axes):
        for column, kind in enumerate(corruptions.KINDS):
            both = rows[rows["kind"].isin(["clean", kind])]
            for line, metric in enumerate(["ap", "ap_difference"]):
                for i, variant in enumerate(variants):
                    one = records.pick(both, metric, variant=variant).sort_values("strength")
                    shift = (i - (len(variants) - 1) / 2) * 0.13 * line  # intervals side by side
                    error = [one["value"] - one["ci_low"], one["ci_high"] - one["value"]]
                    axes[line, column].errorbar(
                        one["strength"] + shift, one["value"], yerr=error if line else None,
                        marker=MARKER[variant], ms=5, lw=0 if line else 1.2, elinewidth=0.9,
                        color=COLOUR[variant], label=variant,
                    )  # fmt: skip
            axes[0, column].set_title(kind)
            axes[1, column].axhline(0, color="#444444", lw=1)
            axes[1, column].set(xlabel="strength (0: clean)", xticks=[0, 1, 2, 3])
        axes[0, 0].set(ylabel="AP")
        axes[0, 0].set_ylim(bottom=0)
        axes[1, 0].set(ylabel="AP minus fp32's,\n95 % interval")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
