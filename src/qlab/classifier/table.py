"""Points of a sweep over quantized layers back from its records, without any framework."""

import numpy as np
import pandas as pd

from qlab.core import records


def on_clean_images(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the data set itself, none of its corrupted copies."""
    return table[table["dataset"].isin(set(table.loc[table["metric"] == "size_bytes", "dataset"]))]


def points_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row per quantized point of the records, for the formulas and the verdicts.

    Columns: method, where, k, bits, seed, share (of the weights), loss (of accuracy, to the float
    parent), loss_se, size_bytes.
    """
    parts = table["variant"].str.extract(r"^(qat|ptq)_w(\d)a8_(last|first|only)(\d+)$")
    rows = table.assign(method=parts[0], bits=parts[1], where=parts[2], k=parts[3])
    rows = rows[rows["method"].notna()]
    clean = on_clean_images(rows)
    found = records.pick(clean, "accuracy_difference").copy()
    found["loss"] = -found["value"]
    found["loss_se"] = (found["ci_high"] - found["ci_low"]) / (2 * 1.959964)
    for metric, column in (("size_bytes", "size_bytes"), ("quantized_share", "share")):
        by_variant = records.pick(clean, metric).set_index("variant")["value"]
        found[column] = found["variant"].map(by_variant)
    found = found.astype({"bits": int, "k": int}).assign(seed=found["seed"].fillna(0).astype(int))
    columns = ["method", "where", "k", "bits", "seed", "share", "loss", "loss_se", "size_bytes"]
    return found[columns].reset_index(drop=True)


def each_alone(points: pd.DataFrame, layers: int) -> pd.DataFrame:
    """Points of one layer each, numbered from the input: `first1` is layer 1, `last1` the last."""
    ends = points[(points["k"] == 1) & points["where"].isin(["first", "last"])]
    ends = ends.assign(k=np.where(ends["where"] == "first", 1, layers), where="only")
    return pd.concat([points[points["where"] == "only"], ends], ignore_index=True)
