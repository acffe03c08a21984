"""Figures of notebook 02 that look into a model: its layers, parts of them, its outliers."""

import pandas as pd

from qlab.core import plot, records
from qlab.language.data import EMBEDDED_MODEL
from qlab.language.plots import error, in_order, look, rows_axis, told, variants_of, whole


def layers(table: pd.DataFrame, place: str) -> None:
    """The relative output error of each linear layer over the depth, a panel for each kind."""
    rows = in_order(records.pick(table, "layer_error"))
    parts = dict(iter(rows.groupby("part", sort=False)))
    layout = {"ncols": len(parts), "figsize": (1.7 * len(parts), 4), "sharey": True}
    with plot.figure("llama_layer_error", place, rows, squeeze=False, **layout) as (canvas, axes):
        for axis, (part, linear) in zip(axes[0], parts.items(), strict=True):
            for variant, line in linear.groupby("variant", sort=False):
                style = {"ms": 4, "lw": 1, "label": variant} | look(line.iloc[0])
                axis.plot(line["depth"].to_numpy(int), line["value"], **style)
            axis.set_yscale("log")
            axis.set(xlabel="block")
            axis.set_title(part, fontsize=9)
        axes[0][0].set_ylabel("relative error of the outputs (log scale)")
        handles = axes[0][0].get_legend_handles_labels()
        canvas.legend(*handles, loc="outside lower center", ncols=4, frameon=False)
        canvas.suptitle(told(rows, "How far each layer's output moves, ‖(W − Ŵ)X‖ / ‖WX‖"))


def recovery(table: pd.DataFrame, place: str, adapted: list[str]) -> None:
    """acc and log-likelihood before and after adapters were trained on a quantized model."""
    titles = {"acc": "acc", "log_likelihood": "log-likelihood of the word (nat)"}
    bases = [name.removesuffix("_lora") for name in adapted]
    rows = in_order(records.pick(whole(table), list(titles)))
    first = rows[rows["method"].isna()]["variant"].iloc[0]
    rows = rows[rows["variant"].isin([first, *adapted, *bases])]
    layout = {"ncols": 2, "figsize": (8.4, 4)}
    with plot.figure("llama_recovery", place, rows, **layout) as (canvas, axes):
        for axis, (metric, title) in zip(axes, titles.items(), strict=True):
            one = records.pick(rows, metric).set_index("variant")
            for at, pair in enumerate(zip(bases, adapted, strict=True)):
                ends = [one.loc[v, "value"] for v in pair]
                axis.plot([at - 0.12, at + 0.12], ends, color="#AAAAAA", lw=1, zorder=0)
                for x, v in zip((at - 0.12, at + 0.12), pair, strict=True):
                    style = {"ms": 7, "capsize": 3} | look(one.loc[v])
                    axis.errorbar(x, one.loc[v, "value"], yerr=error(one.loc[v]), **style)
            axis.axhline(one.loc[first, "value"], color="#000000", lw=1, ls="--", label=first)
            axis.set_xticks(range(len(bases)), [f"{b}\nbefore, after" for b in bases], fontsize=8)
            axis.set(title=title, xlim=(-0.5, len(bases) - 0.5))
        axes[0].legend(frameon=False, loc="best")
        canvas.suptitle(told(rows, "What adapters trained afterwards bring back, 95 % intervals"))


def parts(table: pd.DataFrame, place: str) -> None:
    """What some of the layers cost at few bits, two sides against each other in each panel."""
    rows = in_order(records.pick(table, "log_likelihood_difference").dropna(subset=["part"]))
    sides = list(dict.fromkeys(rows["part"]))
    pairs = [sides[i : i + 2] for i in range(0, len(sides), 2)]
    shown = variants_of(rows)
    layout = {"ncols": len(pairs), "sharey": True, "squeeze": False}
    layout["figsize"] = (3.4 * len(pairs) + 1, 1.9 + 0.42 * len(shown))
    with plot.figure("llama_parts", place, rows, **layout) as (canvas, axes):
        for axis, pair in zip(axes[0], pairs, strict=True):
            for side, part in enumerate(pair):
                some = rows[rows["part"] == part]
                style = {"color": plot.PALETTE[(1, 4)[side]], "marker": "oD"[side], "ls": "none"}
                at = [shown.index(v) + 0.2 * side - 0.1 for v in some["variant"]]
                reach = [some["value"] - some["ci_low"], some["ci_high"] - some["value"]]
                axis.errorbar(some["value"], at, xerr=reach, ms=5, capsize=2, label=part, **style)
            rows_axis(axis, shown)
            axis.axvline(0, color="#444444", lw=1)
            axis.set_xscale("symlog", linthresh=0.1)
            axis.set_xticks([-10, -1, -0.1, 0], ["-10", "-1", "-.1", "0"])
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
        canvas.supxlabel(
            "log-likelihood of the word minus float's (nat), 95 % interval", fontsize=9
        )
        canvas.suptitle(told(rows, "Which layers suffer: only these are quantized"))


def outliers(table: pd.DataFrame, place: str) -> None:
    """What few bits cost the embedded model's twins, over the kurtosis of their weights; a line
    for each other model's kurtosis."""
    spread = records.pick(table, "kurtosis", part="weights").set_index("model")["value"]
    twins = spread[spread.index.str.startswith(EMBEDDED_MODEL)]
    kept = table["part"].isna() & table["condition"].isna() & table["model"].isin(twins.index)
    rows = in_order(records.pick(table[kept], "acc_difference"))
    swept = rows.groupby("variant")["model"].transform("nunique") == rows["model"].nunique()
    rows = rows[swept].assign(kurtosis=lambda t: t["model"].map(spread))
    with plot.figure("llama_outliers", place, rows, figsize=(8.2, 4.2)) as (_, axis):
        for variant, line in rows.groupby("variant", sort=False):
            line = line.sort_values("kurtosis")
            reach = [line["value"] - line["ci_low"], line["ci_high"] - line["value"]]
            style = {"ms": 6, "lw": 1, "ls": "-", "capsize": 2} | look(line.iloc[0])
            axis.errorbar(line["kurtosis"], line["value"], yerr=reach, label=variant, **style)
        for model, value in spread.drop(twins.index).items():
            axis.axvline(value, color="#444444", lw=1, ls=":")
            axis.annotate(model, (value, 0.02), xycoords=("data", "axes fraction"), rotation=90,
                          fontsize=8, ha="right")  # fmt: skip
        axis.axhline(0, color="#444444", lw=1)
        axis.set_xscale("log")
        axis.set(xlabel="excess kurtosis of the weights, mean over the layers (log scale)")
        axis.set_ylabel("acc minus float's, 95 % interval")
        axis.set_title(
            told(rows.assign(model=EMBEDDED_MODEL), "One function, written in four ways")
        )
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
