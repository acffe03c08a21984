"""The tables and sentences of notebook 01, made from records so that they cannot go stale."""

import pandas as pd

from qlab.core import records
from qlab.core.words import interval, value
from qlab.detector.measure import PARENT, SUBPIXEL
from qlab.detector.plots import clean_rows, in_order


def sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Bytes of each variant, as the share of the float file, plain and gzip-compressed."""
    wide = in_order(records.pick(table, ["size_bytes", "size_gzip_bytes"]))
    wide = wide.pivot_table(index="variant", columns="metric", values="value", sort=False)
    base = wide.iloc[0]
    return pd.DataFrame(
        {
            "bytes": wide["size_bytes"].astype(int),
            "of float": (wide["size_bytes"] / base["size_bytes"]).round(3),
            "gzip bytes": wide["size_gzip_bytes"].astype(int),
            "gzip of float": (wide["size_gzip_bytes"] / base["size_gzip_bytes"]).round(3),
        }
    )


def accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """AP with interval, the paired difference to float, and the objects whose answer flipped."""
    rows = in_order(clean_rows(table))
    shown = {}
    for variant in dict.fromkeys(records.pick(rows, "ap")["variant"]):
        one = records.pick(rows, "ap", variant=variant).iloc[0]
        line = {"AP": interval(one), "AP50": round(value(rows, variant, "ap50"), 3)}
        change = records.pick(rows, "ap_difference", variant=variant)
        if len(change):
            line["AP minus float"] = interval(change.iloc[0], "+.3f")
        if (lost := value(rows, variant, "flips_lost")) is not None:
            line["objects lost"] = int(lost)
            line["gained"] = int(value(rows, variant, "flips_gained"))
            line["McNemar p"] = f"{value(rows, variant, 'mcnemar_p'):.2g}"
            line["smallest detectable"] = round(value(rows, variant, "detectable_difference"), 4)
        shown[variant] = line | {"images": int(one["n"])}
    return pd.DataFrame(shown).T.fillna("")


def times(table: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds per image (median, 90th percentile) and the ratio to float, both kernel sets."""
    rows = in_order(table)
    scale = {"peak MB": 1e-6}
    columns = {"pre-process ms": "latency_preprocess_ms_p50", "peak MB": "peak_memory_bytes"}
    shown = {}
    for variant in dict.fromkeys(records.pick(rows, "latency_ms_p50")["variant"]):
        line: dict[str, object] = {}
        for name, kernels in (("", "XNNPACK"), ("_builtin", "built-in")):
            for title, metric in (("ms", "ms_p50"), ("p90", "ms_p90")):
                if (found := value(rows, variant, f"latency{name}_{metric}")) is not None:
                    line[f"{title}, {kernels}"] = round(found, 2)
            ratio = records.pick(rows, f"latency{name}_ratio_p50", variant=variant)
            line[f"x float, {kernels}"] = interval(ratio.iloc[0], ".2f") if len(ratio) else "1"
        for title, metric in columns.items():
            if (found := value(rows, variant, metric)) is not None:
                line[title] = round(found * scale.get(title, 1), 2 - 2 * (title in scale))
        shown[variant] = line
    return pd.DataFrame(shown).T


def robustness(table: pd.DataFrame) -> list[str]:
    """For each variant: where quantization adds to the damage of a corruption, beyond clean images.

    Judged by `ap_difference_extra`: the difference to float on corrupted
    images minus the one on clean images.
    """
    rows = in_order(records.pick(table, "ap_difference_extra"))
    said = []
    for variant, one in rows.groupby("variant", sort=False):
        worse = one[one["ci_high"] < 0]["dataset"].str.rsplit("_", n=1).str[1]
        places = f" ({', '.join(worse)})" if len(worse) else ""
        said.append(
            f"{variant} loses more AP than on clean images in {len(worse)} of {len(one)} "
            f"corrupted conditions{places}."
        )
    return said


def findings(table: pd.DataFrame) -> list[str]:
    """The experiment's answers, one sentence each, as far as its records go."""
    clean = clean_rows(table)
    said = []
    if base := value(table, PARENT, "size_bytes"):
        for variant, expected in (("fp16", 2), ("int8_dynamic", 4), ("int8_selective", 4)):
            if size := value(table, variant, "size_bytes"):
                said.append(
                    f"{variant} is {base / size:.2f} times smaller than fp32 "
                    f"(bits alone would give {expected})."
                )
    for variant in dict.fromkeys(in_order(clean)["variant"]):
        change = records.pick(clean, "ap_difference", variant=variant)
        if len(change):
            row = change.iloc[0]
            apart = row["ci_low"] > 0 or row["ci_high"] < 0
            verdict = "differs from" if apart else "cannot be told from"
            said.append(
                f"{variant} {verdict} fp32 in AP on {row['n']} images: {interval(row, '+.3f')}."
            )
    for variant in ("int8_dynamic", SUBPIXEL, "int8_static", "int8_selective", "int16x8"):
        for name, kernels in (("", "XNNPACK"), ("_builtin", "the built-in kernels")):
            ratio = records.pick(table, f"latency{name}_ratio_p50", variant=variant)
            if len(ratio):
                row = ratio.iloc[0]
                said.append(
                    f"{variant} takes {interval(row, '.2f')} of fp32's time with {kernels} "
                    f"({row['n']} rounds)."
                )
    return said
