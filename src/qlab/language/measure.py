"""Experiment `llama_gptq` (notebook 02): what quantizing a language model costs on LAMBADA."""

import dataclasses
import logging
from collections.abc import Iterable

import numpy as np
import pandas as pd

from qlab.core import stats
from qlab.core.records import COMPARED, Metric, Record, Recorder
from qlab.core.stats import Estimate
from qlab.language import build, lambada, layer_errors, lora, outcomes, scoring, sizes, speed
from qlab.language.build import Variants
from qlab.language.data import Task
from qlab.language.outcomes import ACC, LAST_SENTENCE, MAIN

EXPERIMENT = "llama_gptq"
_TOP = [f"top_{reading}" for reading in outcomes.READINGS]
_RATES = {name: Metric("token/s", 1, clock=True) for name in speed.COUNTS}
FLIPS = COMPARED | {"flips_lost": Metric("passage", -1), "flips_gained": Metric("passage")}
METRICS = {
    **dict.fromkeys(["acc", *_TOP], Metric("1", 1)),
    **{f"{name}_difference": Metric("1", 1) for name in ["acc", *_TOP]},
    **FLIPS,
    **{f"acc_{name}": metric for name, metric in FLIPS.items()},
    "perplexity": Metric("1", -1),
    "log_likelihood": Metric("nat", 1),
    "log_likelihood_difference": Metric("nat", 1),
    "kl_divergence": Metric("nat", -1),
    "gap_growth_k1_k10": Metric("1"),
    "recovery_difference": Metric("1", 1),
    "recovered_share": Metric("1", 1),
    "train_seconds": Metric("s", -1, clock=True),
    "trained_parameters": Metric("parameter"),
    "adapter_bytes": Metric("byte", -1),
    "size_bytes": Metric("byte", -1),
    "size_kb": Metric("KB", -1),
    **{f"size_{part}_bytes": Metric("byte", -1) for part in sizes.PARTS},
    "layer_error": Metric("1", -1),
    "kurtosis": Metric("1"),
    "part_difference": Metric("nat"),
    "out_of_memory": Metric("1"),
    "peak_memory_bytes": Metric("byte", -1, clock=True),
    **_RATES,
    **{f"{name}_ratio": Metric("1", 1, clock=True) for name in _RATES},
}
DRAWS = 2000  # bootstrap resamples of a perplexity or a gap
PACKAGES = ["torch", "transformers", "tokenizers", "auto-gptq", "bitsandbytes", "auto-round"]
PACKAGES += ["peft", "safetensors", "numpy"]

log = logging.getLogger(__name__)


class _Recorder(Recorder):
    """Records that say by which method a variant was made, at how many bits."""

    def counted(self, task, variant, metric, value, n=1, **more) -> Record:
        about = variant.about._asdict()
        return super().counted(task, variant.name, metric, value, n, **about | more)


record = _Recorder(EXPERIMENT, METRICS)


def size_records(task: Task, variants: Variants) -> list[Record]:
    """Bytes of each variant's files, in all and by part; also in the report's KB (1,024 bytes)."""
    records = []
    for variant in variants.values():
        parts = sizes.split(*variant.folders)
        total = sum(parts.values())
        counts = {"size_bytes": total, "size_kb": total / sizes.KILOBYTE}
        counts |= {f"size_{part}_bytes": count for part, count in parts.items()}
        records += [record.counted(task, variant, metric, n) for metric, n in counts.items()]
    return records


def judged_records(
    task: Task, variants: Variants, judged: pd.DataFrame, seed: int, **more
) -> list[Record]:
    """Shares with Wilson intervals, perplexity with a bootstrap one, and paired comparisons.

    Of `outcomes.table`; `more` are other columns of all records. Each variant is compared with the
    parent, the first; MAIN and `acc` with flips, McNemar's test and the smallest detectable
    difference. `gap_growth_k1_k10` is the difference at k = 1 minus the one at k = 10: below zero
    where a smaller k widens the gap.
    """
    records: list[Record] = []
    before, whole = {}, np.empty(0)
    for name, rows in outcomes.by_variant(judged):
        variant, after = variants[name], outcomes.hits(rows)
        weights = stats.resamples(len(rows), DRAWS, seed)
        records += [_share(task, variant, metric, hits, **more) for metric, hits in after.items()]
        log_p = rows["log_likelihood"].to_numpy()
        e = _perplexity(log_p, weights)
        records.append(record.estimated(task, variant, "perplexity", e, seed=seed, **more))
        means = {"log_likelihood": log_p}
        if before:
            means["log_likelihood_difference"] = log_p - whole
            means["kl_divergence"] = rows["divergence"].dropna().to_numpy()
            records += _comparisons(task, variant, before, after, **more)
            e = _gap_growth(before, after, weights)
            records.append(
                record.estimated(task, variant, "gap_growth_k1_k10", e, seed=seed, **more)
            )
        for metric, values in means.items():
            if len(values) and np.isfinite(values).all():
                e = _mean(values, weights[:, : len(values)])
                records.append(record.estimated(task, variant, metric, e, seed=seed, **more))
        if not before:
            before, whole = after, log_p
    return records


def _mean(values: np.ndarray, weights: np.ndarray) -> Estimate:
    """A mean, its interval resampling passages."""
    value = float(values.mean())
    drawn = (weights @ values) / weights.sum(axis=1)
    return Estimate(value, *stats.bootstrap_interval(drawn, value), len(values))


def _share(task: Task, variant, metric: outcomes.Metric, hits: np.ndarray, **more) -> Record:
    e = stats.proportion(int(hits.sum()), len(hits))
    return record.estimated(task, variant, metric.name, e, k=metric.k, **more)


def _perplexity(log_likelihood: np.ndarray, weights: np.ndarray) -> Estimate:
    """exp of the mean negative log-likelihood a word; the interval resamples passages."""
    drawn = np.exp(-(weights @ log_likelihood) / weights.shape[1])
    value = scoring.perplexity(log_likelihood)
    return Estimate(value, *stats.bootstrap_interval(drawn, value), weights.shape[1])


def _comparisons(task: Task, variant, before: dict, after: dict, **more) -> list[Record]:
    records = []
    for metric, hits in after.items():
        flips = stats.paired(before[metric], hits)
        name = f"{metric.name}_difference"
        made = [record.estimated(task, variant, name, flips.difference, **more)]
        if metric in (MAIN, ACC):
            prefix = "acc_" if metric == ACC else ""
            made = record.compared(task, variant, metric.name, flips, prefix, **more)
        records += [dataclasses.replace(made[0], k=metric.k), *made[1:]]
    return records


def _gap_growth(before: dict, after: dict, weights: np.ndarray) -> Estimate:
    few, many = (MAIN._replace(k=k) for k in (1, 10))
    lost = [after[m].astype(float) - before[m] for m in (few, many)]
    each = lost[0] - lost[1]
    value, n = float(each.mean()), len(each)
    return Estimate(value, *stats.bootstrap_interval(weights @ each / n, value), n)


def recovery_records(
    task: Task, variants: Variants, judged: pd.DataFrame, seed: int
) -> list[Record]:
    """What training adapters after quantization brought back, and what it cost.

    `recovery_difference` is `acc` with the adapter minus `acc` without it; `recovered_share` is that
    over what quantization had lost, where it had lost anything that the passages can show.
    """
    records: list[Record] = []
    hits = {v: outcomes.hits(rows)[ACC] for v, rows in outcomes.by_variant(judged)}
    whole = next(iter(hits.values()))
    weights = stats.resamples(len(whole), DRAWS, seed)
    for name, variant in variants.items():
        base = name.removesuffix("_lora")
        if variant.adapter is None or not {name, base} <= set(hits):
            continue
        before, after = hits[base], hits[name]
        flips = stats.paired(before, after)
        records.append(record.estimated(task, variant, "recovery_difference", flips.difference))
        if stats.paired(whole, before).difference.high < 0:
            share = _recovered(whole, before, after, weights)
            records.append(record.estimated(task, variant, "recovered_share", share, seed=seed))
        cost = lora.cost(variant.adapter)
        where = {"seed": seed, "device": task.processor()}
        records += [
            record.counted(task, variant, "train_seconds", cost.train_seconds, **where),
            record.counted(task, variant, "trained_parameters", cost.parameters),
            record.counted(task, variant, "adapter_bytes", cost.adapter_bytes),
        ]
    return records


def _recovered(
    whole: np.ndarray, before: np.ndarray, after: np.ndarray, weights: np.ndarray
) -> Estimate:
    """(after - before) / (whole - before), its interval resampling passages."""
    gain, gap = after.astype(float) - before, whole.astype(float) - before
    lost = weights @ gap
    drawn = np.divide(weights @ gain, lost, out=np.full(len(lost), np.nan), where=lost > 0)
    value = gain.sum() / gap.sum()
    return Estimate(value, *stats.bootstrap_interval(drawn, value), len(gain))


def last_sentence(task: Task, variants: Variants) -> pd.DataFrame:
    """The parent's outcomes when it is shown nothing but the last sentence of each passage."""
    parent = next(iter(variants))
    alone = [lambada.last_sentence(p) for p in task.passages]
    encoded = lambada.encode(alone, task.tokenizer, task.longest)
    scores = build.scored(task, build.load(task, variants[parent]), encoded)
    return outcomes.table(task, {parent: scores}, alone, LAST_SENTENCE)


def last_sentence_records(task: Task, variants: Variants, judged: pd.DataFrame) -> list[Record]:
    """Shares of `last_sentence`; their records have the condition `last_sentence`."""
    return [
        _share(task, variants[name], metric, outcomes.hits(rows)[metric], condition=LAST_SENTENCE)
        for name, rows in outcomes.by_variant(judged)
        for metric in (MAIN._replace(k=1), MAIN, ACC)
    ]


def layer_records(task: Task, variants: Variants, progress=iter) -> list[Record]:
    """Relative output error of each linear layer of the variants that are given."""
    with build.reproducible(task):
        table = layer_errors.layer_errors(
            task.folder,
            {name: v.folder for name, v in variants.items()},
            task.calibration_tokens,
            progress=progress,
        )
    n = len(task.calibration)
    return [
        record.counted(
            task, variants[row.variant], "layer_error", row.relative_error, n,
            depth=row.layer, part=row.linear.rsplit(".", 1)[1],
        )
        for row in table.itertuples()
    ]  # fmt: skip


def kurtosis_records(task: Task, parent: build.Variant, spread: pd.DataFrame) -> list[Record]:
    """Mean excess kurtosis of weights and inputs over a model's layers, of `outliers.kurtoses`."""
    n = len(spread)
    return [
        record.counted(task, parent, "kurtosis", spread[part].mean(), n, part=part)
        for part in ("weights", "inputs")
    ]


def part_records(
    task: Task, variants: Variants, sided: dict, layers: dict, judged: pd.DataFrame, seed: int
) -> list[Record]:
    """What variants lost of which only some layers are quantized, `sided` by (variant, side).

    Their records have the side as `part` and its number of layers as `k`; of neighbouring sides
    `part_difference` is the first one's log-likelihood minus the second's, on the same passages.
    """
    rows = dict(outcomes.by_variant(judged))
    whole = next(iter(rows.values()))
    log_p = {key: rows[one.name]["log_likelihood"].to_numpy() for key, one in sided.items()}
    weights = stats.resamples(len(whole), DRAWS, seed)
    records, sides = [], list(layers)
    for (base, side), one in sided.items():
        here = {"part": side, "k": len(layers[side]), "seed": seed}
        e = _mean(log_p[base, side] - whole["log_likelihood"].to_numpy(), weights)
        records.append(
            record.estimated(task, variants[base], "log_likelihood_difference", e, **here)
        )
        flips = stats.paired(whole["acc"].to_numpy(), rows[one.name]["acc"].to_numpy())
        e = flips.difference
        records.append(record.estimated(task, variants[base], "acc_difference", e, **here))
        at = sides.index(side)
        if at % 2 == 0 and at + 1 < len(sides):
            e = _mean(log_p[base, side] - log_p[base, sides[at + 1]], weights)
            here["part"] = f"{side} minus {sides[at + 1]}"
            records.append(record.estimated(task, variants[base], "part_difference", e, **here))
    return records


def failure_records(task: Task, asked: build.Making, made: Iterable[str]) -> list[Record]:
    """One record for each variant that was asked for and ran out of memory."""
    left = {name: asked[name] for name in asked if name not in set(made)}
    about = {n: build.About(how.kind, how.bits, how.group_size) for n, how in left.items()}
    gone = [build.Variant(name, about[name], task.folder) for name in left]
    return [record.counted(task, variant, "out_of_memory", 1) for variant in gone]


def speed_records(task: Task, variants: Variants, rates: dict, device: str = "") -> list[Record]:
    """Records of `speed.measure`: medians, and ratios to the parent's, within one round."""
    device, parent = device or task.processor(f"{task.given.threads} threads"), next(iter(rates))
    records: list[Record] = []
    for name, by_metric in rates.items():
        for metric, values in by_metric.items():
            found = {metric: values}
            if name != parent:
                found[f"{metric}_ratio"] = values / rates[parent][metric]
            for of, rounds in found.items():
                e = stats.median(rounds)
                records.append(record.estimated(task, variants[name], of, e, device=device))
    return records
