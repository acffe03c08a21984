"""The figures of notebook 02, each drawn from records and kept with the numbers drawn."""

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from qlab.core import plot, records
from qlab.language.data import EMBEDDED_MODEL
from qlab.language.outcomes import TOPS
from qlab.language.sizes import PARTS
from qlab.language.wrong_answers import KINDS

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
CURVES = ("gptq_w4_g64", "gptq_w3_g64", "rtn_w3_g64", "gptq_w2_g64", "autoround_w2_g64")


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


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of whole variants of the model itself on the passages themselves: no twin, no last
    sentences, no part of the layers."""
    twin = table["model"].str.startswith(f"{EMBEDDED_MODEL}_")
    kept = ~twin & table["condition"].isna() & (table["part"].isna() | table["depth"].notna())
    return table[kept & table["where"].isna()]


def told(rows: pd.DataFrame, title: str) -> str:
    """A title that says which model, on what, with how many passages."""
    models, n = ", ".join(dict.fromkeys(rows["model"])), int(rows["n"].max())
    counted = f", n = {n:,}" if n > 1 else ""
    return f"{title}\n{models} on {rows['dataset'].iloc[0]}{counted}"


def rows_axis(axis, variants: list[str]) -> None:
    """One row a variant, the first on top."""
    axis.set_yticks(range(len(variants)), variants)
    axis.set_ylim(len(variants) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)


def points(axis, rows: pd.DataFrame, variants: list[str]) -> None:
    """A point with its interval in each variant's row."""
    for _, row in rows.iterrows():
        at = variants.index(row["variant"])
        axis.errorbar(row["value"], at, xerr=error(row), ms=6, capsize=2, **look(row))
    rows_axis(axis, variants)


def error(row: pd.Series) -> list[list[float]]:
    """How far a record's interval, if it has one, reaches below and above its value."""
    low, high = (row["value" if pd.isna(row[c]) else c] for c in ("ci_low", "ci_high"))
    return [[row["value"] - low], [high - row["value"]]]


def size(table: pd.DataFrame, place: str) -> None:
    """Bytes of each variant's files by what they are."""
    rows = in_order(records.pick(whole(table), [f"size_{part}_bytes" for part in PARTS]))
    wide = rows.pivot_table(index="variant", columns="metric", values="value", sort=False)
    unit, label = (1e6, "10⁶ bytes") if rows["value"].max() < 1e9 else (1e9, "10⁹ bytes")
    layout = {"figsize": (8.2, 0.9 + 0.3 * len(wide))}
    with plot.figure("llama_size", place, rows, **layout) as (_, axis):
        left = np.zeros(len(wide))
        for part, colour in zip(PARTS, PART_COLOURS, strict=True):
            width = wide[f"size_{part}_bytes"].to_numpy() / unit
            axis.barh(range(len(wide)), width, 0.66, left, color=colour, label=part)
            left += width
        where = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "fontsize": 9}
        for at, total in enumerate(left):
            axis.annotate(f"{total:.3g}", (total, at), **where)
        rows_axis(axis, list(wide.index))
        axis.margins(x=0.1)
        axis.set_xlabel(f"size of the files ({label}), tokenizer left out")
        axis.set_title(told(rows, "Where the bytes are"))
        axis.legend(loc="lower right", frameon=True)


def differences(table: pd.DataFrame, place: str) -> None:
    """What each variant lost on the same passages: acc, log-likelihood, divergence from float."""
    labels = {
        "acc_difference": "acc minus float's",
        "log_likelihood_difference": "log-likelihood of the word\nminus float's (nat)",
        "kl_divergence": "divergence from float's\nfirst token (nat, log scale)",
    }
    rows = in_order(records.pick(whole(table), list(labels)))
    shown = variants_of(rows)
    layout = {"ncols": 3, "sharey": True, "figsize": (10.5, 1.3 + 0.27 * len(shown))}
    with plot.figure("llama_difference", place, rows, **layout) as (canvas, axes):
        for axis, (metric, label) in zip(axes, labels.items(), strict=True):
            points(axis, records.pick(rows, metric), shown)
            axis.set_xlabel(label)
        axes[0].axvline(0, color="#444444", lw=1)
        axes[1].axvline(0, color="#444444", lw=1)
        axes[1].set_xscale("symlog", linthresh=0.1)
        axes[1].set_xticks([-10, -1, -0.1, 0, 0.1], ["-10", "-1", "-.1", "0", ".1"])
        axes[2].set_xscale("log")
        canvas.suptitle(told(rows, "What each variant lost, paired, 95 % intervals"))


def curve_rows(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric of top-k for every variant, by k; of differences, float itself has none."""
    return in_order(records.pick(whole(table), metric)).sort_values("k", kind="stable")


def topk(table: pd.DataFrame, place: str) -> None:
    """Top-k of the first token minus float's, a panel for each of CURVES (or all) over k."""
    rows = curve_rows(table, "top_first_token_difference")
    some = rows["variant"].isin(CURVES)
    rows = rows[some] if some.any() else rows
    lines = dict(iter(in_order(rows).groupby("variant", sort=False)))
    layout = {"ncols": len(lines), "figsize": (2 * len(lines) + 0.8, 3.6), "squeeze": False}
    with plot.figure("llama_topk", place, rows, **layout) as (canvas, axes):
        for axis, (variant, line) in zip(axes[0], lines.items(), strict=True):
            reach = [line["value"] - line["ci_low"], line["ci_high"] - line["value"]]
            style = {"ms": 4, "lw": 1, "ls": "-", "elinewidth": 0.8} | look(line.iloc[0])
            axis.errorbar(line["k"].to_numpy(int), line["value"], yerr=reach, **style)
            axis.axhline(0, color="#444444", lw=1)
            axis.set(xlabel="k", xticks=[1, 5, 10])
            axis.set_title(variant, fontsize=9)
        axes[0][0].set_ylabel("top-k minus float's, 95 % interval")
        canvas.suptitle(told(rows, "Does the gap grow as k shrinks? (each panel its own scale)"))


def topk_lines(axis, rows: pd.DataFrame) -> None:
    """A line with its 95 % band a variant, of `curve_rows`."""
    for variant, line in in_order(rows).groupby("variant", sort=False):
        colour = COLOUR[_kind(line.iloc[0])]
        k = line["k"].to_numpy(int)
        axis.plot(k, line["value"], ms=5, lw=1.3, label=variant, **look(line.iloc[0]))
        axis.fill_between(k, line["ci_low"], line["ci_high"], alpha=0.15, lw=0, color=colour)
    axis.set(xlabel="k", xticks=TOPS)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def wrong_kinds(kinds: pd.DataFrame, table: pd.DataFrame, place: str) -> None:
    """What the wrong answers are, of `wrong_answers.kinds`; `table` are records of the variants."""
    columns = ["variant", "model", "dataset", "n", "method", "bits", "group_size"]
    heads = records.pick(whole(table), "acc")[columns]
    rows = in_order(heads.merge(kinds, on="variant"))
    counts = rows.pivot_table(index="variant", columns="kind", values="count", sort=False)
    wrong = rows.groupby("variant", sort=False)["wrong"].first()
    layout = {"figsize": (8.6, 1.5 + 0.28 * len(wrong))}
    with plot.figure("llama_wrong_kinds", place, rows, **layout) as (canvas, axis):
        left = np.zeros(len(wrong))
        for kind, colour in zip(KINDS, KIND_COLOURS, strict=True):
            share = (counts[kind] / wrong.clip(lower=1)).to_numpy()
            axis.barh(range(len(wrong)), share, 0.7, left, color=colour, label=kind)
            left += share
        rows_axis(axis, [f"{v} ({wrong[v]:,} wrong)" for v in wrong.index])
        axis.set(xlabel="share of the wrong answers", xlim=(0, 1))
        canvas.suptitle(told(rows, "What the wrong answers are (the most probable token)"))
        canvas.legend(loc="outside lower center", ncols=3, frameon=False)


def speed(table: pd.DataFrame, place: str, labels: dict[str, str]) -> None:
    """Tokens a second, a panel for each metric."""
    rows = in_order(records.pick(whole(table), list(labels)))
    timed = variants_of(rows)
    layout = {"ncols": len(labels), "sharey": True, "figsize": (10, 1.2 + 0.3 * len(timed))}
    with plot.figure("llama_speed", place, rows, squeeze=False, **layout) as (canvas, axes):
        for axis, (metric, label) in zip(axes[0], labels.items(), strict=True):
            points(axis, records.pick(rows, metric), timed)
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xlabel(f"tokens/s, {label} (log scale)")
        model, where = rows["model"].iloc[0], rows["device"].iloc[0]
        canvas.suptitle(f"Tokens a second on the libraries' own kernels\n{model} on {where}")


def pareto(table: pd.DataFrame, place: str) -> None:
    """Size against accuracy; up and left is better."""
    rows = in_order(records.pick(whole(table), ["size_bytes", "acc"]))
    bytes_of = records.pick(rows, "size_bytes").set_index("variant")["value"]
    both = records.pick(rows, "acc").assign(size_bytes=lambda t: t["variant"].map(bytes_of))
    with plot.figure("llama_pareto", place, both, figsize=(8.4, 4.8)) as (_, axis):
        for _, row in both.iterrows():
            wide = pd.notna(row["group_size"]) and row["group_size"] == 128
            face = "none" if wide else COLOUR[_kind(row)]
            axis.errorbar(row["size_bytes"], row["value"], yerr=error(row), ms=8, mfc=face,
                          elinewidth=0.8, **look(row))  # fmt: skip
        there = {_kind(row) for _, row in both.iterrows()}
        for kind in METHODS:
            if kind in there:
                label = "gptq + LoRA" if kind == "gptq_lora" else kind
                axis.plot([], [], "o", color=COLOUR[kind], label=label)
        for bits, marker in BITS_MARKER.items():
            axis.plot([], [], marker, color="#777777", label=f"{bits} bit")
        if (both["group_size"] == 128).any():
            axis.plot([], [], "o", color="#777777", mfc="none", label="groups of 128 (else 64)")
        axis.set_xscale("log")
        axis.set(xlabel="size of the files (bytes, log scale)")
        axis.set_ylabel("acc: the whole word right, 95 % interval")
        axis.set_ylim(bottom=-0.03)
        axis.set_title(told(both, "Up and left is better"))
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
