"""The figures of notebook 02, each drawn from records and kept with the numbers drawn."""

import numpy as np
import pandas as pd

from qlab.core import plot, records
from qlab.language.data import EVEN_MODEL
from qlab.language.methods import ABOUT
from qlab.language.outcomes import TOPS

METHODS = ["float", "gptq", "rtn", "bnb", "autoround", "gptq_lora", "other"]
COLOUR = dict(zip(METHODS, (plot.PALETTE[i] for i in (0, 1, 6, 4, 3, 5, 2)), strict=True))
BITS_MARKER = {32: "o", 16: "h", 8: "s", 4: "D", 3: "^", 2: "X"}
# Of `sizes.PARTS` and `wrong_answers.KINDS`.
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


def about(variants: pd.Series) -> pd.DataFrame:
    """What records say of variants by columns (method, bits, group_size), for a table without."""
    return pd.DataFrame([ABOUT[v]._asdict() for v in variants], index=variants.index)


def variants_of(rows: pd.DataFrame) -> list[str]:
    """Names in the order of the rows."""
    return list(dict.fromkeys(rows["variant"]))


def look(row: pd.Series) -> dict:
    """Colour and marker of a row's variant."""
    return {"color": COLOUR[_kind(row)], "marker": BITS_MARKER.get(row["bits"], "P")}


def on_whole_passages(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the model itself on the passages themselves: no even twin, no last sentences."""
    return table[(table["model"] != EVEN_MODEL) & table["condition"].isna()]


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


def pareto(table: pd.DataFrame, profile: str) -> None:
    """Size against accuracy; up and left is better."""
    rows = in_order(records.pick(on_whole_passages(table), ["size_bytes", "acc"]))
    sizes = records.pick(rows, "size_bytes").set_index("variant")["value"]
    points = records.pick(rows, "acc").assign(size_bytes=lambda t: t["variant"].map(sizes))
    with plot.figure("llama_pareto", profile, points, figsize=(8.4, 4.8)) as (_, axis):
        for _, row in points.iterrows():
            wide = pd.notna(row["group_size"]) and row["group_size"] == 128
            face = "none" if wide else COLOUR[_kind(row)]
            axis.errorbar(row["size_bytes"], row["value"], yerr=error(row), ms=8, mfc=face,
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
