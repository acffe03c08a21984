"""The figures of notebook 02, each drawn from records and kept with the numbers drawn."""

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from qlab.core import plot, records
from qlab.language import sizes as llama_sizes
from qlab.language import wrong_answers
from qlab.language.data import EVEN_MODEL
from qlab.language.methods import ABOUT, ADAPTED
from qlab.language.outcomes import MAIN, TOPS

METHODS = ["float", "gptq", "rtn", "bnb", "autoround", "gptq_lora", "other"]
COLOUR = dict(zip(METHODS, (plot.PALETTE[i] for i in (0, 1, 6, 4, 3, 5, 2)), strict=True))
BITS_MARKER = {32: "o", 16: "h", 8: "s", 4: "D", 3: "^", 2: "X"}
PART_COLOURS = ("#332288", "#88CCEE", "#CC6677", "#BBBBBB")
KIND_COLOURS = ("#009E73", "#0072B2", "#56B4E9", "#E69F00", "#CC79A7", "#000000")
READINGS = {
    "top_first_token": "first token",
    "top_all_tokens": "all tokens",
    "top_decoded_word": "decoded word",
}
WHOLE = (-0.03, 1.03)  # an axis for shares, with room for markers at 0 and at 1
CURVES = ("gptq_w8_g64", "gptq_w4_g64", "gptq_w3_g64", "gptq_w2_g64", "rtn_w2_g64")
CURVES += ("autoround_w2_g64",)


def _kind(row: pd.Series) -> str:
    """Which of METHODS a row is of."""
    if pd.isna(row["method"]):
        return "float"
    return row["method"] if row["method"] in METHODS else "other"


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by bits, most first, then by method and variant."""
    heads = table.drop_duplicates("variant")
    keys = {row["variant"]: (-row["bits"], METHODS.index(_kind(row)), row["variant"])
            for _, row in heads.iterrows()}  # fmt: skip
    rank = {variant: place for place, variant in enumerate(sorted(keys, key=keys.get))}
    return table.iloc[np.argsort(table["variant"].map(rank).to_numpy(), kind="stable")]


def variants_of(rows: pd.DataFrame) -> list[str]:
    """Names in the order of the rows."""
    return list(dict.fromkeys(rows["variant"]))


def look(row: pd.Series) -> dict:
    """Colour and marker of a row's variant."""
    return {"color": COLOUR[_kind(row)], "marker": BITS_MARKER.get(row["bits"], "P")}


def on_whole_passages(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the model itself on the passages themselves: no even twin, no last sentences."""
    return table[(table["model"] != EVEN_MODEL) & table["condition"].isna()]


def _rows_axis(axis, variants: list[str]) -> None:
    """One row a variant, the first on top."""
    axis.set_yticks(range(len(variants)), variants)
    axis.set_ylim(len(variants) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)


def size(table: pd.DataFrame, profile: str) -> None:
    """Bytes of each variant's files by part."""
    names = [f"size_{part}_bytes" for part in llama_sizes.PARTS]
    rows = in_order(records.pick(table, names))
    variants = variants_of(rows)
    layout = {"figsize": (8.2, 0.6 + 0.3 * len(variants))}
    with plot.figure("llama_size", profile, rows, **layout) as (_, axis):
        unit, label = (1e6, "10⁶ bytes") if rows["value"].max() < 1e9 else (1e9, "10⁹ bytes")
        left = np.zeros(len(variants))
        for part, colour in zip(llama_sizes.PARTS, PART_COLOURS, strict=True):
            one = records.pick(rows, f"size_{part}_bytes").set_index("variant")["value"]
            width = one.reindex(variants).fillna(0).to_numpy() / unit
            axis.barh(range(len(variants)), width, 0.66, left, color=colour, label=part)
            left += width
        for at, total in enumerate(left):
            axis.annotate(f"{total:.3g}", (total, at), (5, 0), textcoords="offset points",
                          va="center", fontsize=9)  # fmt: skip
        _rows_axis(axis, variants)
        axis.margins(x=0.1)
        axis.set_xlabel(f"size of the files ({label}), tokenizer left out")
        axis.set_title("Where the bytes are")
        axis.legend(loc="lower right", frameon=True)


def points(axis, rows: pd.DataFrame, variants: list[str]) -> None:
    """A point with its interval in each variant's row."""
    for _, row in rows.iterrows():
        at = variants.index(row["variant"])
        axis.errorbar(row["value"], at, xerr=_error(row), ms=6, capsize=2, **look(row))
    _rows_axis(axis, variants)


def _error(row: pd.Series) -> list[list[float]]:
    """How far a record's interval, if it has one, reaches below and above its value."""
    low, high = (row["value" if pd.isna(row[c]) else c] for c in ("ci_low", "ci_high"))
    return [[row["value"] - low], [high - row["value"]]]


def curve_rows(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric of top-k for every variant, by k; of differences, float itself has none."""
    rows = records.pick(on_whole_passages(table), metric)
    return in_order(rows).sort_values("k", kind="stable")


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Of float, and of CURVES or all where a run has none of these."""
    some = rows["variant"].isin(CURVES)
    return rows[some | rows["method"].isna()] if some.any() else rows


def topk_lines(axis, rows: pd.DataFrame) -> None:
    """A line with its 95 % band a variant, of `curve_rows`."""
    for variant, line in in_order(rows).groupby("variant", sort=False):
        colour = COLOUR[_kind(line.iloc[0])]
        k = line["k"].to_numpy(int)
        axis.plot(k, line["value"], ms=5, lw=1.3, label=variant, **look(line.iloc[0]))
        axis.fill_between(k, line["ci_low"], line["ci_high"], alpha=0.15, lw=0, color=colour)
    axis.set(xlabel="k", xticks=TOPS)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def wrong_kinds(kinds: pd.DataFrame, profile: str) -> None:
    """What kind of thing the most probable token is where it is wrong."""
    about = pd.DataFrame([ABOUT[v]._asdict() for v in kinds["variant"]], index=kinds.index)
    rows = in_order(kinds.join(about))
    variants = variants_of(rows)
    layout = {"figsize": (8.6, 1.1 + 0.28 * len(variants))}
    with plot.figure("llama_wrong_kinds", profile, rows, **layout) as (canvas, axis):
        left = np.zeros(len(variants))
        wrong = rows.groupby("variant", sort=False)["wrong"].first()
        for name, colour in zip(wrong_answers.KINDS, KIND_COLOURS, strict=True):
            one = rows[rows["kind"] == name].set_index("variant")["count"].reindex(variants)
            share = (one / wrong.clip(lower=1)).to_numpy()
            axis.barh(range(len(variants)), share, 0.7, left, color=colour, label=name)
            left += share
        _rows_axis(axis, [f"{v} ({wrong[v]} wrong)" for v in variants])
        axis.set(xlabel="share of the wrong answers", xlim=(0, 1))
        canvas.suptitle("What the wrong answers are (the most probable token)")
        canvas.legend(loc="outside lower center", ncols=3, frameon=False)


def layer_errors(table: pd.DataFrame, profile: str) -> None:
    """Relative output error of each linear layer, by bits; no figure where none was measured."""
    rows = in_order(records.pick(table, "layer_error"))
    if rows.empty:
        return
    kinds = list(dict.fromkeys(rows["part"]))
    layout = {"ncols": len(kinds), "figsize": (1.7 * len(kinds), 3.8), "sharey": True}
    with plot.figure("llama_layer_error", profile, rows, **layout) as (canvas, axes):
        for axis, linear in zip(axes, kinds, strict=True):
            for variant, line in rows[rows["part"] == linear].groupby("variant", sort=False):
                depth = line["depth"].to_numpy(int)
                axis.plot(depth, line["value"], ms=4, lw=1, label=variant, **look(line.iloc[0]))
            axis.set_yscale("log")
            axis.set(xlabel="layer")
            axis.set_title(linear, fontsize=9)
        axes[0].set_ylabel("relative error of the outputs")
        handles, labels = axes[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        canvas.suptitle("How far each layer's output moves, ‖(W − Ŵ)X‖ / ‖WX‖")


def speed(table: pd.DataFrame, profile: str) -> None:
    """Tokens per second on the packed kernels: prefill, decode, one passage at a time."""
    labels = {
        "tokens_per_s_prefill": "prefill",
        "tokens_per_s_decode": "decode",
        "tokens_per_s": "one passage at a time",
    }
    rows = in_order(records.pick(table, list(labels)))
    variants = variants_of(rows)
    layout = {"ncols": 3, "sharey": True, "figsize": (10, 0.9 + 0.3 * len(variants))}
    with plot.figure("llama_speed", profile, rows, **layout) as (canvas, axes):
        for axis, (metric, label) in zip(axes, labels.items(), strict=True):
            points(axis, records.pick(rows, metric), variants)
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xlabel(f"tokens/s, {label}")
        canvas.suptitle("Tokens per second on the libraries' own kernels (log scale)")


def recovery(table: pd.DataFrame, profile: str) -> None:
    """Accuracy before and after LoRA training on top of the quantized weights."""
    rows = on_whole_passages(table)
    rows = in_order(pd.concat([records.pick(rows, "acc"), records.pick(rows, MAIN.name, k=MAIN.k)]))
    trained = [v for v in variants_of(rows) if v in ADAPTED]
    base = [ADAPTED[v] for v in trained]
    parent = rows["variant"].iloc[0]
    rows = rows[rows["variant"].isin([parent, *trained, *base])]
    layout = {"ncols": 2, "figsize": (8.4, 3.8), "sharey": True}
    with plot.figure("llama_recovery", profile, rows, **layout) as (canvas, axes):
        titles = {MAIN.name: "top5 first token", "acc": "acc"}
        for axis, (metric, title) in zip(axes, titles.items(), strict=True):
            one = records.pick(rows, metric).set_index("variant")
            for at, (before, after) in enumerate(zip(base, trained, strict=True)):
                ends = [one.loc[before, "value"], one.loc[after, "value"]]
                axis.plot([at - 0.12, at + 0.12], ends, color="#AAAAAA", lw=1, zorder=0)
                for x, v in ((at - 0.12, before), (at + 0.12, after)):
                    row = one.loc[v]
                    axis.errorbar(x, row["value"], yerr=_error(row), ms=7, capsize=3, **look(row))
            axis.axhline(one.loc[parent, "value"], color="#000000", lw=1, ls="--", label=parent)
            axis.set_xticks(range(len(base)), [f"{b}\nbefore, after" for b in base], fontsize=8)
            axis.set(title=title, ylim=WHOLE)
        axes[0].legend(frameon=False, loc="lower left")
        canvas.suptitle("What training adapters after quantization brings back, 95 % intervals")


def pareto(table: pd.DataFrame, profile: str) -> None:
    """Size against accuracy; up and left is better."""
    rows = in_order(records.pick(on_whole_passages(table), ["size_bytes", "acc"]))
    sizes = records.pick(rows, "size_bytes").set_index("variant")["value"]
    points = records.pick(rows, "acc").assign(size_bytes=lambda t: t["variant"].map(sizes))
    with plot.figure("llama_pareto", profile, points, figsize=(8.4, 4.8)) as (_, axis):
        for _, row in points.iterrows():
            wide = pd.notna(row["group_size"]) and row["group_size"] == 128
            face = "none" if wide else COLOUR[_kind(row)]
            axis.errorbar(row["size_bytes"], row["value"], yerr=_error(row), ms=8, mfc=face,
                          elinewidth=0.8, **look(row))  # fmt: skip
        there = {_kind(row) for _, row in points.iterrows()}
        for kind in METHODS:
            if kind in there:
                label = "gptq + LoRA" if kind == "gptq_lora" else kind
                axis.plot([], [], "o", color=COLOUR[kind], label=label)
        for bits, marker in BITS_MARKER.items():
            axis.plot([], [], marker, color="#777777", label=f"{bits} bit")
        axis.plot([], [], "o", color="#777777", mfc="none", label="groups of 128 (else 64)")
        axis.set_xscale("log")
        axis.set(xlabel="size of the files (bytes, log scale)")
        axis.set_ylabel("acc: the whole word right, 95 % interval")
        axis.set_ylim(bottom=-0.03)
        axis.set_title("Up and left is better")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
