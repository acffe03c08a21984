"""Our own experiments as further evidence models, from their records, by the method's rules.

An evidence model is one technique applied to one experiment's whole network. Left out are parts of
a network, controls, and a technique's further settings on the same network: they would count one
finding several times.

Belief: the base is 0.25 for embedded models on generated data (`mini`), which are under control but
which nobody uses, and 0.50 for the sources' own models (`full`). Q is 0.5: nobody but us has
answered the checklist for us. Records of `smoke` are too few items to be evidence, so that a run at
`smoke` weighs those of `mini`.
"""

from typing import NamedTuple

import pandas as pd

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.evidence import models as evidence_models
from qlab.evidence.intensity import relative_improvement

BASE = {"mini": 0.25, "full": 0.5}  # belief in our experiments, per profile
QUALITY = 0.5  # of our experiments: nobody but us has answered the checklist
_Z = 1.959964


class Experiment(NamedTuple):
    """Where an experiment's records answer to which effect."""

    notebook: str  # its number
    effect: str  # that its correctness metric counts as
    correctness: str  # metric, of variant and parent
    ratio: str  # of time, or of speed, to the float parent's
    ratio_is_speed: bool  # then its inverse is a ratio of times
    techniques: dict[str, dict]  # and the columns of its variants' records


EXPERIMENTS = {
    "centernet_ptq": Experiment(
        "01", "average_precision", "ap", "latency_ratio_p50", False,
        {name: {"variant": name} for name in ("fp16", "int8_dynamic", "int8_static", "int16x8")},
    ),
    "llama_gptq": Experiment(
        "02", "accuracy", "acc", "tokens_per_s_ratio", True,
        {name: {"variant": name} for name in ("fp16", "bnb_int8", "bnb_nf4")}
        | {f"gptq_w{bits}": {"method": "gptq", "bits": bits, "group_size": 64}
           for bits in (8, 4, 3, 2)}
        | {"autoround_w2": {"method": "autoround", "bits": 2, "group_size": 64}},
    ),
    "resnet_qat": Experiment(
        "03", "accuracy", "accuracy", "latency_ratio", False,
        {"qat": {"method": "qat"}, "int8_static": {"method": "ptq", "bits": 8},
         "int4_static": {"method": "ptq", "bits": 4}},
    ),
}  # fmt: skip


def records_of(experiment: str, profile: str) -> tuple[str, pd.DataFrame] | None:
    """The profile whose records are weighed, and the records; None where there are none.

    `full` weighs its own where they exist; everything else weighs `mini`.
    """
    for candidate in dict.fromkeys(["full", "mini"] if profile == "full" else ["mini"]):
        if records.csv_path(experiment, candidate).is_file():
            return candidate, records.read(experiment, candidate)
    return None


def weigh(profile: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Evidence models of all our experiments that have records, and the profile of each one's.

    The table is as `evidence_models.read` gives it, and empty where there are no records.
    """
    rows, origins = [], {}
    for experiment in EXPERIMENTS:
        if found := records_of(experiment, profile):
            origins[experiment], table = found
            rows += models(experiment, table, BASE[origins[experiment]])
    return evidence_models.completed(rows), origins


def rebased(ours: pd.DataFrame, base: float) -> pd.DataFrame:
    """Our evidence models with another base belief: the choice above is ours, so it is tried."""
    return evidence_models.completed(ours.assign(base=base).to_dict("records"))


def models(experiment: str, table: pd.DataFrame, base: float) -> list[dict]:
    """Rows of one experiment, without belief and intensity."""
    how = EXPERIMENTS[experiment]
    main, parent = _main(table, experiment, how.correctness)
    whole = _whole(records.pick(main, [how.correctness, "size_bytes"]))
    rows = []
    for technique, columns in how.techniques.items():
        made = records.pick(whole, [how.correctness, "size_bytes"], **columns)
        for variant in sorted(set(made["variant"]) - {parent}):
            for effect, metric, found in _findings(main, variant, parent, how):
                rows.append({
                    "study": experiment, "configuration": variant, "technique": technique,
                    "effect": effect, "metric": metric, **found, "base": base,
                    "quality": QUALITY, "citation": f"qlab, notebook {how.notebook}",
                })  # fmt: skip
    return rows


def _whole(rows: pd.DataFrame) -> pd.DataFrame:
    """Records of variants that are quantized as a whole: all layers, where layers are counted."""
    counted = rows["k"].notna()
    every = (rows["where"] == "last") & (rows["k"] == rows["k"].max()).fillna(False)
    return rows[~counted | every]


def _main(table: pd.DataFrame, experiment: str, metric: str) -> tuple[pd.DataFrame, str]:
    """Records of the model and data set that the experiment is about, and its float parent."""
    sizes = records.pick(table, "size_bytes")
    compared = set(records.pick(table, f"{metric}_difference")["variant"])
    parents = [v for v in dict.fromkeys(sizes["variant"]) if v not in compared]
    if len(parents) != 1:
        raise QlabError(
            f"The records of '{experiment}' have no single float parent, the one variant with a "
            f"size and without '{metric}_difference'; found {parents}. Run its notebook again."
        )
    of = sizes[sizes["variant"] == parents[0]].iloc[0]
    here = (table["model"] == of["model"]) & (table["dataset"] == of["dataset"])
    return table[here & table["condition"].isna()], parents[0]


def _findings(main: pd.DataFrame, variant: str, parent: str, how: Experiment):
    """Effect, metric and numbers of all that was measured of a variant."""
    one, other = main[main["variant"] == variant], main[main["variant"] == parent]
    parts = [
        (how.effect, how.correctness, _correctness(one, how.correctness)),
        ("storage_size", "size_bytes", _against_parent(one, other, "size_bytes")),
        ("inference_latency", how.ratio, _latency(one, how)),
        ("inference_energy", "energy_j", _against_parent(one, other, "energy_j")),
    ]
    return [part for part in parts if part[2] is not None]


def _correctness(one: pd.DataFrame, metric: str) -> dict | None:
    """The paired difference over the parent's value on the same items; a run is a seed."""
    both = records.pick(one, metric).merge(
        records.pick(one, f"{metric}_difference"), on="seed", suffixes=("", "_change")
    )
    before = both["value"] - both["value_change"]
    change = 100 * both["value_change"] / before
    error = 100 * (both["ci_high_change"] - both["ci_low_change"]) / (2 * _Z) / before
    return _numbers(change, error)


def _latency(one: pd.DataFrame, how: Experiment) -> dict | None:
    """1 minus the ratio of times; a ratio of speeds is its inverse."""
    rows = records.pick(one, how.ratio)[["value", "ci_low", "ci_high"]]
    times = 1 / rows if how.ratio_is_speed else rows
    error = 100 * (times["ci_high"] - times["ci_low"]).abs() / (2 * _Z)
    return _numbers(100 * (1 - times["value"]), error)


def _against_parent(one: pd.DataFrame, other: pd.DataFrame, metric: str) -> dict | None:
    """Less than the parent's, without an error: counted bytes, or joules of one series."""
    mine, its = (records.pick(rows, metric)["value"] for rows in (one, other))
    if mine.empty or its.empty:
        return None
    return _numbers(mine.map(lambda v: relative_improvement(v, its.iloc[0], False)), None)


def _numbers(improvement: pd.Series, error: pd.Series | None) -> dict | None:
    """Mean and spread over the runs; a single run brings the error of its items, if known."""
    if improvement.empty:
        return None
    alone = len(improvement) == 1
    return {
        "improvement": float(improvement.mean()),
        "iqr": float(improvement.quantile(0.75) - improvement.quantile(0.25)),
        "std": 0.0 if alone else float(improvement.std()),
        "standard_error": float(error.iloc[0]) if alone and error is not None else float("nan"),
        "runs": len(improvement),
    }
