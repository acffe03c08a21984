"""The tables and sentences of notebook 02, made from records so that they cannot go stale."""

import pandas as pd

from qlab.core import records
from qlab.core.records import interval, value
from qlab.language import sizes as llama_sizes
from qlab.language.data import EVEN_MODEL
from qlab.language.outcomes import LAST_SENTENCE, MAIN
from qlab.language.plots import in_order, on_whole_passages

MAIN_DIFFERENCE = {"metric": f"{MAIN.name}_difference", "k": MAIN.k}


def _parent(table: pd.DataFrame) -> str:
    """The float variant that the others are compared with: it alone has no differences."""
    compared = set(records.pick(table, "acc_difference")["variant"])
    return next(v for v in records.pick(table, "acc")["variant"] if v not in compared)


def sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Bytes of each variant by part, in all, in KB (1,024 bytes), and as a share of the first."""
    titles = {f"size_{part}_bytes": part for part in llama_sizes.PARTS}
    titles |= {"size_bytes": "all bytes", "size_kb": "KB"}
    wide = in_order(records.pick(table, list(titles)))
    wide = wide.pivot_table(index="variant", columns="metric", values="value", sort=False)
    wide = wide[list(titles)]
    shown = wide.astype({name: int for name in titles if name != "size_kb"}).round(1)
    shown = shown.rename(columns=titles).rename_axis(columns=None)
    return shown.assign(**{"of float": (wide["size_bytes"] / wide["size_bytes"].iloc[0]).round(3)})


def accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """acc, perplexity and the readings of top-5, each with its interval."""
    rows = in_order(on_whole_passages(table))
    columns = {
        "acc": ("acc", None),
        "perplexity": ("perplexity", None),
        "top-1 first token": ("top_first_token", 1),
        "top-5 first token": ("top_first_token", 5),
        "top-5 all tokens": ("top_all_tokens", 5),
        "top-5 decoded word": ("top_decoded_word", 5),
    }
    shown = {}
    for variant in dict.fromkeys(records.pick(rows, "acc")["variant"]):
        line = {}
        for title, (metric, k) in columns.items():
            row = records.pick(rows, metric, variant=variant, k=k).iloc[0]
            line[title] = interval(row, ".3g" if metric == "perplexity" else ".3f")
        shown[variant] = line
    return pd.DataFrame(shown).T


def comparisons(table: pd.DataFrame) -> pd.DataFrame:
    """The first token's top-5 beside the float parent's: paired difference, flips, test."""
    rows = in_order(on_whole_passages(table))
    shown = {}
    for _, row in records.pick(rows, **MAIN_DIFFERENCE).iterrows():
        variant = row["variant"]
        shown[variant] = {
            "top-5 minus float": interval(row, "+.4f"),
            "lost": int(value(rows, variant, "flips_lost")),
            "gained": int(value(rows, variant, "flips_gained")),
            "McNemar p": f"{value(rows, variant, 'mcnemar_p'):.2g}",
            "smallest detectable": round(value(rows, variant, "detectable_difference"), 4),
            "passages": int(row["n"]),
        }
    return pd.DataFrame(shown).T


def gap(table: pd.DataFrame) -> list[str]:
    """For each variant: is the gap to float wider at k = 1 than at k = 10?"""
    said = []
    for _, row in in_order(records.pick(on_whole_passages(table), "gap_growth_k1_k10")).iterrows():
        if row["ci_high"] < 0:
            verdict = "is wider at k = 1 than at k = 10"
        elif row["ci_low"] > 0:
            verdict = "is narrower at k = 1 than at k = 10"
        else:
            verdict = "cannot be told apart between k = 1 and k = 10"
        said.append(f"{row['variant']}: the gap {verdict} ({interval(row, '+.3f')}).")
    return said


def speed(table: pd.DataFrame) -> pd.DataFrame:
    """Tokens per second and the ratio to float in the same rounds."""
    rows = in_order(records.pick(table, ["tokens_per_s", "tokens_per_s_prefill",
                                         "tokens_per_s_decode", "tokens_per_s_ratio"]))  # fmt: skip
    shown: dict[str, dict[str, str]] = {}
    for _, row in rows.iterrows():
        form = ".2f" if row["metric"] == "tokens_per_s_ratio" else ".0f"
        shown.setdefault(row["variant"], {})[row["metric"]] = interval(row, form)
    return pd.DataFrame(shown).T.fillna("")


def findings(table: pd.DataFrame) -> list[str]:
    """The experiment's answers, one sentence each, as far as its records go."""
    rows = on_whole_passages(table)
    parent = _parent(rows)
    said = []
    base = value(rows, parent, "size_bytes")
    for variant in dict.fromkeys(in_order(records.pick(rows, "acc_difference"))["variant"]):
        smaller = base / value(rows, variant, "size_bytes")
        row = records.pick(rows, **MAIN_DIFFERENCE, variant=variant).iloc[0]
        apart = row["ci_low"] > 0 or row["ci_high"] < 0
        verdict = "differs from" if apart else "cannot be told from"
        said.append(
            f"{variant} is {smaller:.2f} times smaller and {verdict} {parent} in top-5 on "
            f"{row['n']} passages: {interval(row, '+.4f')}."
        )
    alone = records.pick(table, MAIN.name, k=MAIN.k, condition=LAST_SENTENCE)
    for _, row in alone.iterrows():
        said.append(f"Shown only the last sentence, {row['variant']} scores {interval(row)}.")
    return said


def recovery(table: pd.DataFrame) -> pd.DataFrame:
    """What training adapters brought back, and its price in seconds and bytes."""
    rows = in_order(on_whole_passages(table))
    shown: dict[str, dict[str, object]] = {}
    for _, gain in records.pick(rows, "recovery_difference").iterrows():
        variant = gain["variant"]
        share = records.pick(rows, "recovered_share", variant=variant)
        shown[variant] = {
            "top-5, with minus without": interval(gain, "+.3f"),
            "share of the loss": interval(share.iloc[0], ".2f") if len(share) else "nothing lost",
            "seconds": round(value(rows, variant, "train_seconds"), 1),
            "adapter bytes": int(value(rows, variant, "adapter_bytes")),
        }
    return pd.DataFrame(shown).T


def twins(table: pd.DataFrame) -> pd.DataFrame:
    """The model and its even twin side by side: top-5 and acc where both have a variant."""
    rows = records.pick(table, ["top_first_token", "acc"], condition=None)
    rows = rows[rows["k"].isna() | rows["k"].eq(MAIN.k)]
    both = records.pick(rows, "acc", model=EVEN_MODEL)["variant"]
    rows = in_order(rows[rows["variant"].isin(both)]).replace(
        {"metric": {MAIN.name: "top5_first_token"}}
    )
    cells = rows.assign(shown=[interval(row) for _, row in rows.iterrows()])
    wide = cells.pivot_table(
        index="variant", columns=["metric", "model"], values="shown", aggfunc="first", sort=False
    )
    return wide.sort_index(axis=1)
