"""The tables and sentences of notebook 01, made from records so that they cannot go stale."""

import pandas as pd

from qlab.core import records
from qlab.core.records import interval, value
from qlab.detector.measure import PARENT, SUBPIXEL
from qlab.detector.plots import clean, in_order

KERNELS = {"XNNPACK": "latency", "built-in": "latency_builtin"}


def sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Bytes of each variant, as the share of the float file, plain and gzip-compressed."""
    wide = in_order(records.pick(table, ["size_bytes", "size_gzip_bytes"]))
    wide = wide.pivot_table(index="variant", columns="metric", values="value", sort=False)
    share = (wide / wide.iloc[0]).round(3)
    return pd.DataFrame(
        {
            "bytes": wide["size_bytes"].astype(int),
            "of float": share["size_bytes"],
            "gzip bytes": wide["size_gzip_bytes"].astype(int),
            "gzip of float": share["size_gzip_bytes"],
        }
    )


def accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """AP with interval, the paired difference to float, and the objects whose answer flipped."""
    shown = {}
    for _, one in clean(table, "ap").iterrows():
        variant = one["variant"]
        line = {"AP": interval(one), "AP50": round(value(table, variant, "ap50"), 3)}
        for _, change in clean(table[table["variant"] == variant], "ap_difference").iterrows():
            line["AP minus float"] = interval(change, "+.3f")
        if (lost := value(table, variant, "flips_lost")) is not None:
            line["objects lost"] = int(lost)
            line["gained"] = int(value(table, variant, "flips_gained"))
            line["McNemar p"] = f"{value(table, variant, 'mcnemar_p'):.2g}"
            line["smallest detectable"] = round(value(table, variant, "detectable_difference"), 4)
        shown[variant] = line | {"images": int(one["n"])}
    return pd.DataFrame(shown).T.fillna("")


def times(table: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds per image (median, 90th percentile) and the ratio to float, both kernel sets."""
    shown = {}
    for variant in in_order(records.pick(table, "latency_ms_p50"))["variant"]:
        line: dict[str, object] = {}
        for kernels, name in KERNELS.items():
            for title, metric in (("ms", "ms_p50"), ("p90", "ms_p90")):
                if (found := value(table, variant, f"{name}_{metric}")) is not None:
                    line[f"{title}, {kernels}"] = round(found, 2)
            ratio = records.pick(table, f"{name}_ratio_p50", variant=variant)
            line[f"x float, {kernels}"] = interval(ratio.iloc[0], ".2f") if len(ratio) else "1"
        if (found := value(table, variant, "latency_preprocess_ms_p50")) is not None:
            line["pre-process ms"] = round(found, 2)
        if (found := value(table, variant, "peak_memory_bytes")) is not None:
            line["peak MB"] = round(found * 1e-6, 0)
        shown[variant] = line
    return pd.DataFrame(shown).T


def robustness(table: pd.DataFrame) -> list[str]:
    """For each variant: where quantization adds to the damage of a corruption, beyond clean images.

    Judged by `ap_difference_extra`: the difference to float on corrupted
    images minus the one on clean images.
    """
    said = []
    rows = in_order(records.pick(table, "ap_difference_extra"))
    for variant, one in rows.groupby("variant", sort=False):
        worse = one[one["ci_high"] < 0]
        places = ", ".join(f"{row['condition']}{row['strength']}" for _, row in worse.iterrows())
        said.append(
            f"{variant} loses more AP than on clean images in {len(worse)} of {len(one)} "
            f"corrupted conditions{f' ({places})' if places else ''}."
        )
    return said


def findings(table: pd.DataFrame) -> list[str]:
    """The experiment's answers, one sentence each, as far as its records go."""
    said = []
    base = value(table, PARENT, "size_bytes")
    for variant, expected in (("fp16", 2), ("int8_dynamic", 4), ("int8_selective", 4)):
        if base and (size := value(table, variant, "size_bytes")):
            said.append(
                f"{variant} is {base / size:.2f} times smaller than fp32 "
                f"(bits alone would give {expected})."
            )
    for _, row in clean(table, "ap_difference").iterrows():
        apart = row["ci_low"] > 0 or row["ci_high"] < 0
        said.append(
            f"{row['variant']} {'differs from' if apart else 'cannot be told from'} fp32 in AP "
            f"on {row['n']} images: {interval(row, '+.3f')}."
        )
    for variant in ("int8_dynamic", SUBPIXEL, "int8_static", "int8_selective", "int16x8"):
        for kernels, name in KERNELS.items():
            ratio = records.pick(table, f"{name}_ratio_p50", variant=variant)
            for _, row in ratio.iterrows():
                told = "the built-in kernels" if kernels == "built-in" else kernels
                said.append(
                    f"{variant} takes {interval(row, '.2f')} of fp32's time with {told} "
                    f"({row['n']} rounds)."
                )
    return said
