"""Our own experiments as further studies, from their records, by the method's rules.

A study is one model of one experiment; an evidence model is one technique, applied to the whole
network and counted once. Left out are networks quantized in part, controls, what `smoke` measured
on too few items, and the times of `mini`, which come from a single process.

The base belief is 0.50 for published models (`small`, and the sources' own, `full`), which are
controlled experiments, and 0.25 for embedded ones on generated data (`mini`), which nobody uses.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import yaml

from qlab.core import records
from qlab.core.stats import Z
from qlab.evidence import models

BASE = {"full": 0.5, "small": 0.5, "mini": 0.25}  # belief in our studies, real models first
QUALITY = 0.5  # of our experiments: only we have answered the checklist


def weigh(profile: str, named: Path) -> tuple[pd.DataFrame, dict[str, Path]]:
    """Evidence models of all our experiments with records, real ones first; their files by study.

    `named` says which records answer to which effect. Those of `full` are weighed only at `full`; a
    model found in two profiles counts once. The table, as of `models.read`, may be empty.
    """
    rows, files = [], {}
    known = yaml.safe_load(named.read_text(encoding="utf-8"))
    for tier in BASE if profile == "full" else ("small", "mini"):
        for experiment, how in known.items():
            if (file := records.csv_path(experiment, tier)).is_file():
                found = of(records.read_file(file), tier, how)
                rows += [row for row in found if row["study"] not in files]
                files |= {row["study"]: file for row in found if row["study"] not in files}
    return models.completed(rows), files


def of(table: pd.DataFrame, profile: str, how: Mapping) -> list[dict]:
    """An experiment's rows, still without belief and intensity; `how` is its part of `own.yaml`.

    QlabError: not one float parent, see `records.parent`.
    """
    sizes = records.pick(table, "size_bytes")
    named = records.parent(table, f"{how['correctness']}_difference")
    parent = sizes[sizes["variant"] == named].iloc[0]
    here = (table["model"] == parent["model"]) & (table["dataset"] == parent["dataset"])
    timed = ~table["clock"] | (profile != "mini")
    main = table[here & timed & table["condition"].isna()]
    # Quantized as a whole: all layers, where layers are counted.
    layers = sizes["k"].where(sizes["where"] == "last", 0)
    whole = sizes[sizes["k"].isna() | (layers == sizes["k"].max()).fillna(False)]
    rows, of_all = [], {"base": BASE[profile], "quality": QUALITY, "citation": "qlab"}
    for technique, columns in how["techniques"].items():
        for variant in dict.fromkeys(records.pick(whole, "size_bytes", **columns)["variant"]):
            one, other = (main[main["variant"] == v] for v in (variant, parent["variant"]))
            about = {"study": parent["model"], "configuration": variant, "technique": technique}
            rows += [of_all | about | found for found in _findings(one, other, how)]
    return rows


def _findings(one: pd.DataFrame, parent: pd.DataFrame, how: Mapping) -> Iterator[dict]:
    """Effect, metric, and mean and spread over runs, for all that was measured of a variant.

    The standard error is over items, or over items and seeds; NaN if unknown.
    """
    for effect, metric, (improvement, error) in (
        (how["effect"], how["correctness"], _correctness(one, how["correctness"])),
        ("storage_size", "size_bytes", _less(one, parent, "size_bytes")),
        ("inference_latency", how["ratio"], _latency(records.pick(one, how["ratio"]))),
        ("inference_energy", "energy_j", _less(one, parent, "energy_j")),
    ):
        if len(improvement):
            numbers = models.over_runs(improvement) | {"runs": len(improvement)}
            numbers["standard_error"] = error.iloc[0] if len(error) == 1 else float("nan")
            yield {"effect": effect, "metric": metric} | numbers


def _correctness(one: pd.DataFrame, metric: str) -> tuple[pd.Series, pd.Series]:
    """Paired difference in percent of the parent's value on the same items, by seed; its error."""
    change = records.pick(one, f"{metric}_difference")
    both = records.pick(one, metric)[["seed", "value"]].merge(change, on="seed")
    before = both["value_x"] - both["value_y"]
    over = records.pick(one, f"{metric}_difference_over_seeds")  # of seeds and items
    error = _error(over) / before.mean() if len(over) else _error(both) / before
    return 100 * both["value_y"] / before, 100 * error


def _latency(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """100 minus the ratio of times in percent; its error. A ratio of speeds is inverted first."""
    times = rows[["value", "ci_low", "ci_high"]]
    times = (1 / times).where(rows["better"] > 0, times)
    return 100 * (1 - times["value"]), 100 * _error(times)


def _less(one: pd.DataFrame, parent: pd.DataFrame, metric: str) -> tuple[pd.Series, pd.Series]:
    """How much less than the parent's, in percent; no error: bytes, or joules of one series."""
    mine, its = (records.pick(rows, metric)["value"] for rows in (one, parent))
    less = 100 * (its.iloc[0] - mine) / its.iloc[0] if len(its) else mine[:0]
    return less, less * float("nan")


def _error(rows: pd.DataFrame) -> pd.Series:
    """The standard error behind a 95 % interval."""
    return (rows["ci_high"] - rows["ci_low"]).abs() / (2 * Z)
