"""The figures of notebook 02, each drawn from records and kept with the numbers drawn."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from qlab.core import plot, records
from qlab.language import sizes as llama_sizes
from qlab.language import wrong_answers
from qlab.language.build import EVEN
from qlab.language.scoring import TOP

METHODS = ["float", "gptq", "rtn", "bnb", "autoround", "gptq + LoRA", "other"]
COLOUR = dict(zip(METHODS, (plot.PALETTE[i] for i in (0, 1, 6, 4, 3, 5, 2)), strict=True))
BITS_MARKER = {32: "o", 16: "h", 8: "s", 4: "D", 3: "^", 2: "X"}
PART_COLOUR = dict(
    zip(llama_sizes.PARTS, ["#332288", "#88CCEE", "#CC6677", "#BBBBBB"], strict=True)
)
KIND_COLOUR = dict(
    zip(
        wrong_answers.KINDS,
        ["#009E73", "#0072B2", "#56B4E9", "#E69F00", "#CC79A7", "#000000"],
        strict=True,
    )
)
READINGS = {
    "top5_first_token": "first token",
    "top5_all_tokens": "all tokens",
    "top5_decoded_word": "decoded word",
}
WHOLE = (-0.03, 1.03)  # an axis for shares, with room for markers at 0 and at 1
CURVES = ("gptq_w8_g64", "gptq_w4_g64", "gptq_w3_g64", "gptq_w2_g64", "rtn_w2_g64")
CURVES += ("autoround_w2_g64",)


class Name(NamedTuple):
    """What a variant's name says."""

    method: str  # one of METHODS
    bits: int  # of a weight
    group: int  # 0: none


def decode(variant: str) -> Name:
    """Method, bits and group size of a variant's name."""
    if found := re.fullmatch(r"([a-z]+)_w(\d)_g(\d+)(_lora)?", variant):
        method, bits, group, lora = found.groups()
        method = f"{method} + LoRA" if lora else method
        return Name(method if method in METHODS else "other", int(bits), int(group))
    known = {"bnb_int8": 8, "bnb_nf4": 4, "bnb_fp4": 4, "fp32": 32, "fp16": 16, "bf16": 16}
    return Name("bnb" if variant.startswith("bnb") else "float", known[variant], 0)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by bits, most first, then by method and group size."""
    names = {v: decode(v) for v in table["variant"].unique()}
    rank = sorted(names, key=lambda v: (-names[v].bits, METHODS.index(names[v].method), v))
    place = table["variant"].map({v: i for i, v in enumerate(rank)})
    return table.assign(_rank=place).sort_values("_rank", kind="stable").drop(columns="_rank")


def _colour(variant: str) -> str:
    return COLOUR[decode(variant).method]


def _marker(variant: str) -> str:
    return BITS_MARKER.get(decode(variant).bits, "P")


def on_whole_passages(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the model itself on the passages themselves: no even twin, no last sentences."""
    twin = table["model"].str.endswith(EVEN)
    return table[~twin & ~table["dataset"].str.endswith("_last_sentence")]


def _curves(variants: Iterable[str]) -> list[str]:
    """The quantized variants that get a curve: CURVES, or all where a run has none of these."""
    there = list(variants)
    usual = [v for v in CURVES if v in there]
    return usual or [v for v in there if decode(v).method != "float"]


def _rows_axis(axis, variants: list[str]) -> None:
    """One row a variant, the first on top."""
    axis.set_yticks(range(len(variants)), variants)
    axis.set_ylim(len(variants) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)


def size(table: pd.DataFrame, profile: str) -> None:
    """Bytes of each variant's files by part."""
    names = [f"size_{part}_bytes" for part in llama_sizes.PARTS]
    rows = in_order(records.pick(table, names))
    variants = list(dict.fromkeys(rows["variant"]))
    layout = {"figsize": (8.2, 0.6 + 0.3 * len(variants))}
    with plot.figure("llama_size", profile, rows, **layout) as (_, axis):
        unit, label = (1e6, "10⁶ bytes") if rows["value"].max() < 1e9 else (1e9, "10⁹ bytes")
        left = np.zeros(len(variants))
        for part in llama_sizes.PARTS:
            one = records.pick(rows, f"size_{part}_bytes").set_index("variant")["value"]
            width = one.reindex(variants).fillna(0).to_numpy() / unit
            axis.barh(range(len(variants)), width, 0.66, left, color=PART_COLOUR[part], label=part)
            left += width
        for at, total in enumerate(left):
            axis.annotate(f"{total:.3g}", (total, at), (5, 0), textcoords="offset points",
                          va="center", fontsize=9)  # fmt: skip
        _rows_axis(axis, variants)
        axis.margins(x=0.1)
        axis.set_xlabel(f"size of the files ({label}), tokenizer left out")
        axis.set_title("Where the bytes are")
        axis.legend(loc="lower right", frameon=True)


def top5(table: pd.DataFrame, profile: str) -> None:
    """The three readings of top-5, with intervals."""
    rows = in_order(records.pick(on_whole_passages(table), list(READINGS)))
    variants = list(dict.fromkeys(rows["variant"]))
    layout = {"ncols": 3, "sharey": True, "figsize": (10, 0.9 + 0.27 * len(variants))}
    with plot.figure("llama_top5", profile, rows, **layout) as (canvas, axes):
        for axis, (metric, label) in zip(axes, READINGS.items(), strict=True):
            _points(axis, records.pick(rows, metric), variants)
            axis.set(xlabel=f"top-5, {label}", xlim=WHOLE)
        canvas.suptitle("Three readings of top-5 accuracy, 95 % intervals")


def _points(axis, rows: pd.DataFrame, variants: list[str]) -> None:
    """A point with its interval in each variant's row."""
    for _, row in rows.iterrows():
        at = variants.index(row["variant"])
        error = [[row["value"] - row["ci_low"]], [row["ci_high"] - row["value"]]]
        axis.errorbar(row["value"], at, xerr=error, fmt=_marker(row["variant"]), ms=6,
                      color=_colour(row["variant"]), capsize=2)  # fmt: skip
    _rows_axis(axis, variants)


def difference(table: pd.DataFrame, profile: str) -> None:
    """Accuracy minus the float parent's, on the same passages."""
    labels = {"top5_first_token_difference": "top-5, first token", "acc_difference": "acc"}
    rows = in_order(records.pick(on_whole_passages(table), list(labels)))
    variants = list(dict.fromkeys(rows["variant"]))
    layout = {"ncols": 2, "sharey": True, "figsize": (9, 0.9 + 0.27 * len(variants))}
    with plot.figure("llama_difference", profile, rows, **layout) as (canvas, axes):
        for axis, (metric, label) in zip(axes, labels.items(), strict=True):
            _points(axis, records.pick(rows, metric), variants)
            axis.axvline(0, color="#444444", lw=1)
            axis.set_xscale("symlog", linthresh=0.01)
            axis.set_xticks([-1, -0.1, -0.01, 0, 0.01], ["-1", "-.1", "-.01", "0", ".01"])
            axis.set_xlim(left=-1.3)  # room for a marker at -1
            axis.set_xlabel(f"{label}: minus float's (log beyond ±.01)")
        canvas.suptitle("Paired differences to the float parent, 95 % intervals")


def curve_rows(table: pd.DataFrame, reading: str, ending: str = "") -> pd.DataFrame:
    """Top-k of a reading of every variant, by k in the column `k`.

    `ending` is `_difference` for the difference to float, which float itself has none of.
    """
    rows = on_whole_passages(table)
    rows = rows[rows["metric"].str.fullmatch(rf"top\d+_{reading}{ending}")]
    rows = rows.assign(k=rows["metric"].str.extract(r"top(\d+)_")[0].astype(int))
    return in_order(rows).sort_values("k", kind="stable")


def _curve_rows(table: pd.DataFrame, ending: str) -> pd.DataFrame:
    """Of the first token, and of the variants that the figures show."""
    rows = curve_rows(table, "first_token", ending)
    there = rows["variant"].unique()
    shown = [v for v in there if v in _curves(there) or decode(v).method == "float"]
    return rows[rows["variant"].isin(shown)]


def topk(table: pd.DataFrame, profile: str) -> None:
    """Share of passages whose first token is among the k most probable, over k."""
    rows = _curve_rows(table, "")
    with plot.figure("llama_topk", profile, rows) as (_, axis):
        topk_lines(axis, rows)
        axis.set(ylabel="first token among the k most probable", ylim=WHOLE)
        axis.set_title("Top-k of the word's first token, 95 % bands")


def topk_lines(axis, rows: pd.DataFrame) -> None:
    """A line with its 95 % band a variant, of `curve_rows`."""
    for variant, line in in_order(rows).groupby("variant", sort=False):
        axis.plot(line["k"], line["value"], marker=_marker(variant), ms=5, lw=1.3,
                  color=_colour(variant), label=variant)  # fmt: skip
        axis.fill_between(line["k"], line["ci_low"], line["ci_high"], alpha=0.15, lw=0,
                          color=_colour(variant))  # fmt: skip
    axis.set(xlabel="k", xticks=range(1, TOP + 1))
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def topk_gap(table: pd.DataFrame, profile: str) -> None:
    """The gap to the float parent over k: does it grow as k shrinks?"""
    rows = _curve_rows(table, "_difference")
    variants = _curves(rows["variant"].unique())
    layout = {"ncols": len(variants), "figsize": (2.1 * len(variants), 3.4), "squeeze": False}
    with plot.figure("llama_topk_gap", profile, rows, **layout) as (canvas, axes):
        for axis, variant in zip(axes[0], variants, strict=True):
            line = rows[rows["variant"] == variant].sort_values("k")
            error = [line["value"] - line["ci_low"], line["ci_high"] - line["value"]]
            axis.errorbar(line["k"], line["value"], yerr=error, fmt=_marker(variant), ms=4,
                          color=_colour(variant), lw=1, ls="-", elinewidth=0.8)  # fmt: skip
            axis.axhline(0, color="#444444", lw=1)
            axis.set(xlabel="k", xticks=[1, 5, 10])
            axis.set_title(variant, fontsize=9)
        axes[0][0].set_ylabel("top-k minus float's, 95 % interval")
        canvas.suptitle("Does the gap grow as k shrinks? (each panel has its own scale)")


def wrong_kinds(kinds: pd.DataFrame, profile: str) -> None:
    """What kind of thing the most probable token is where it is wrong."""
    rows = in_order(kinds)
    variants = list(dict.fromkeys(rows["variant"]))
    layout = {"figsize": (8.6, 1.1 + 0.28 * len(variants))}
    with plot.figure("llama_wrong_kinds", profile, rows, **layout) as (canvas, axis):
        left = np.zeros(len(variants))
        wrong = rows.groupby("variant", sort=False)["wrong"].first()
        for name in wrong_answers.KINDS:
            one = rows[rows["kind"] == name].set_index("variant")["count"].reindex(variants)
            share = (one / wrong.clip(lower=1)).to_numpy()
            axis.barh(range(len(variants)), share, 0.7, left, color=KIND_COLOUR[name], label=name)
            left += share
        _rows_axis(axis, [f"{v} ({wrong[v]} wrong)" for v in variants])
        axis.set(xlabel="share of the wrong answers", xlim=(0, 1))
        canvas.suptitle("What the wrong answers are (the most probable token)")
        canvas.legend(loc="outside lower center", ncols=3, frameon=False)


def layer_errors(table: pd.DataFrame, profile: str) -> None:
    """Relative output error of each linear layer, by bits; no figure where none was measured."""
    rows = table[table["metric"].str.startswith("layer_error_")]
    if rows.empty:
        return
    parts = rows["metric"].str.extract(r"layer_error_(\d+)_(.+)")
    rows = in_order(rows.assign(layer=parts[0].astype(int), linear=parts[1]))
    kinds = list(dict.fromkeys(rows["linear"]))
    layout = {"ncols": len(kinds), "figsize": (1.7 * len(kinds), 3.8), "sharey": True}
    with plot.figure("llama_layer_error", profile, rows, **layout) as (canvas, axes):
        for axis, linear in zip(axes, kinds, strict=True):
            for variant, line in rows[rows["linear"] == linear].groupby("variant", sort=False):
                axis.plot(line["layer"], line["value"], marker=_marker(variant), ms=4, lw=1,
                          color=_colour(variant), label=variant)  # fmt: skip
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
    variants = list(dict.fromkeys(rows["variant"]))
    layout = {"ncols": 3, "sharey": True, "figsize": (10, 0.9 + 0.3 * len(variants))}
    with plot.figure("llama_speed", profile, rows, **layout) as (canvas, axes):
        for axis, (metric, label) in zip(axes, labels.items(), strict=True):
            one = records.pick(rows, metric)
            _points(
                axis,
                one.assign(**{c: one[c].fillna(one["value"]) for c in ("ci_low", "ci_high")}),
                variants,
            )
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xlabel(f"tokens/s, {label}")
        canvas.suptitle("Tokens per second on the libraries' own kernels (log scale)")


def recovery(table: pd.DataFrame, profile: str) -> None:
    """Accuracy before and after LoRA training on top of the quantized weights."""
    rows = in_order(records.pick(on_whole_passages(table), ["acc", "top5_first_token"]))
    trained = [v for v in rows["variant"].unique() if v.endswith("_lora")]
    base = [v.removesuffix("_lora") for v in trained]
    parent = rows["variant"].iloc[0]
    rows = rows[rows["variant"].isin([parent, *trained, *base])]
    layout = {"ncols": 2, "figsize": (8.4, 3.8), "sharey": True}
    with plot.figure("llama_recovery", profile, rows, **layout) as (canvas, axes):
        for axis, metric in zip(axes, ["top5_first_token", "acc"], strict=True):
            one = records.pick(rows, metric).set_index("variant")
            for at, (before, after) in enumerate(zip(base, trained, strict=True)):
                ends = [one.loc[before, "value"], one.loc[after, "value"]]
                axis.plot([at - 0.12, at + 0.12], ends, color="#AAAAAA", lw=1, zorder=0)
                for x, v in ((at - 0.12, before), (at + 0.12, after)):
                    row = one.loc[v]
                    error = [[row["value"] - row["ci_low"]], [row["ci_high"] - row["value"]]]
                    axis.errorbar(x, row["value"], yerr=error, fmt=_marker(v), ms=7, capsize=3,
                                  color=_colour(v))  # fmt: skip
            axis.axhline(one.loc[parent, "value"], color="#000000", lw=1, ls="--", label=parent)
            axis.set_xticks(range(len(base)), [f"{b}\nbefore, after" for b in base], fontsize=8)
            axis.set(title=metric.replace("_", " "), ylim=WHOLE)
        axes[0].legend(frameon=False, loc="lower left")
        canvas.suptitle("What training adapters after quantization brings back, 95 % intervals")


def pareto(table: pd.DataFrame, profile: str) -> None:
    """Size against accuracy; up and left is better."""
    rows = in_order(records.pick(on_whole_passages(table), ["size_bytes", "acc"]))
    sizes = records.pick(rows, "size_bytes").set_index("variant")["value"]
    points = records.pick(rows, "acc").assign(size_bytes=lambda t: t["variant"].map(sizes))
    with plot.figure("llama_pareto", profile, points, figsize=(8.4, 4.8)) as (_, axis):
        for _, row in points.iterrows():
            name = decode(row["variant"])
            error = [[row["value"] - row["ci_low"]], [row["ci_high"] - row["value"]]]
            face = "none" if name.group == 128 else COLOUR[name.method]
            axis.errorbar(row["size_bytes"], row["value"], yerr=error, fmt=_marker(row["variant"]),
                          ms=8, color=COLOUR[name.method], mfc=face, elinewidth=0.8)  # fmt: skip
        for method in METHODS:
            if method in {decode(v).method for v in points["variant"]}:
                axis.plot([], [], "o", color=COLOUR[method], label=method)
        for bits, marker in BITS_MARKER.items():
            axis.plot([], [], marker, color="#777777", label=f"{bits} bit")
        axis.plot([], [], "o", color="#777777", mfc="none", label="groups of 128 (else 64)")
        axis.set_xscale("log")
        axis.set(xlabel="size of the files (bytes, log scale)")
        axis.set_ylabel("acc: the whole word right, 95 % interval")
        axis.set_ylim(bottom=-0.03)
        axis.set_title("Up and left is better")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
