"""Experiment `llama_gptq` (notebook 02): what quantizing a language model costs on LAMBADA."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pandas as pd

from qlab.core import stats
from qlab.core.progress import bar
from qlab.core.records import Record
from qlab.core.stats import Estimate
from qlab.language import build, lambada, lora, outcomes, scoring, sizes
from qlab.language.build import Variant, Variants
from qlab.language.data import Task
from qlab.language.digits import reproducible
from qlab.language.metrics import DRAWS, mean, record, resampled
from qlab.language.outcomes import ACC, LAST_SENTENCE, MAIN

PACKAGES = ["torch", "transformers", "tokenizers", "auto-gptq", "bitsandbytes", "auto-round"]
PACKAGES += ["peft", "safetensors", "numpy"]
FEWEST, MOST = (MAIN._replace(k=k) for k in (1, 10))  # the ends of a curve over k
SOME = "some_layers"  # the condition of records that are not of whole variants


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


def judged_records(task: Task, variants: Variants, judged: pd.DataFrame, seed: int) -> list[Record]:
    """Shares with Wilson intervals, perplexity with a bootstrap one, and paired comparisons.

    Of `outcomes.table`. Each variant is compared with the parent, the first; MAIN and `acc` with
    flips, McNemar's test and the smallest detectable difference. `gap_growth_k1_k10` is the
    difference at k = 1 minus the one at k = 10: below zero where a smaller k widens the gap.
    """
    records: list[Record] = []
    before, whole = {}, np.empty(0)
    for name, rows in outcomes.by_variant(judged):
        variant, after = variants[name], outcomes.hits(rows)
        weights = stats.resamples(len(rows), DRAWS, seed)
        log_p = rows["log_likelihood"].to_numpy()
        records += [_share(task, variant, metric, hits) for metric, hits in after.items()]
        found = {"perplexity": _perplexity(log_p, weights)}
        means = {"log_likelihood": log_p}
        if before:
            records += _comparisons(task, variant, before, after)
            few, many = (after[m].astype(float) - before[m] for m in (FEWEST, MOST))
            found["gap_growth_k1_k10"] = mean(few - many, weights)
            means["log_likelihood_difference"] = log_p - whole
            means["kl_divergence"] = rows["divergence"].dropna().to_numpy()
        for metric, values in means.items():
            if len(values) and np.isfinite(values).all():
                found[metric] = mean(values, weights[:, : len(values)])
        records += [record.estimated(task, variant, m, e, seed=seed) for m, e in found.items()]
        if not before:
            before, whole = after, log_p
    return records


def _share(task: Task, variant, metric: outcomes.Metric, hits: np.ndarray, **more) -> Record:
    e = stats.proportion(int(hits.sum()), len(hits))
    return record.estimated(task, variant, metric.name, e, k=metric.k, **more)


def _perplexity(log_likelihood: np.ndarray, weights: np.ndarray) -> Estimate:
    """exp of the mean negative log-likelihood a word; the interval resamples passages."""
    drawn = np.exp(-(weights @ log_likelihood) / weights.shape[1])
    return resampled(scoring.perplexity(log_likelihood), drawn, weights.shape[1])


def _comparisons(task: Task, variant, before: dict, after: dict) -> list[Record]:
    records = []
    for metric, hits in after.items():
        flips = stats.paired(before[metric], hits)
        name = f"{metric.name}_difference"
        made = [record.estimated(task, variant, name, flips.difference)]
        if metric in (MAIN, ACC):
            prefix = "acc_" if metric == ACC else ""
            made = record.compared(task, variant, metric.name, flips, prefix)
        records += [dataclasses.replace(made[0], k=metric.k), *made[1:]]
    return records


def recovery_records(
    task: Task, variants: Variants, judged: pd.DataFrame, seed: int
) -> list[Record]:
    """What training adapters after quantization brought back, and what it cost.

    `recovery_difference` is `acc` with the adapter minus without; `recovered_share` is that over
    what quantization had lost, where it had lost anything that the passages can show.
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
    return resampled(gain.sum() / gap.sum(), drawn, len(gain))


def last_sentence(task: Task, variants: Variants) -> pd.DataFrame:
    """The parent's outcomes when it is shown nothing but the last sentence of each passage."""
    parent = next(iter(variants))
    alone = [lambada.last_sentence(p) for p in task.passages]
    encoded = lambada.encode(alone, task.tokenizer, task.longest)
    with reproducible(task):
        scores = scoring.score(build.load(task, variants[parent]), encoded, bar("batches"))
    return outcomes.table(task, {parent: scores}, alone, LAST_SENTENCE)


def last_sentence_records(task: Task, variants: Variants, judged: pd.DataFrame) -> list[Record]:
    """Shares of `last_sentence`; their records have the condition `last_sentence`."""
    return [
        _share(task, variants[name], metric, outcomes.hits(rows)[metric], condition=LAST_SENTENCE)
        for name, rows in outcomes.by_variant(judged)
        for metric in (FEWEST, MAIN, ACC)
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
    made, sides = [], list(layers)
    pairs = dict(zip(sides[::2], sides[1::2], strict=False))
    for (base, side), one in sided.items():
        flips = stats.paired(whole["acc"].to_numpy(), rows[one.name]["acc"].to_numpy())
        lost = mean(log_p[base, side] - whole["log_likelihood"].to_numpy(), weights)
        found = [("log_likelihood_difference", side, lost)]
        found += [("acc_difference", side, flips.difference)]
        if other := pairs.get(side):
            apart = mean(log_p[base, side] - log_p[base, other], weights)
            found += [("part_difference", f"{side} minus {other}", apart)]
        here = {"condition": SOME, "k": len(layers[side]), "seed": seed}
        made += [
            record.estimated(task, variants[base], metric, e, part=part, **here)
            for metric, part, e in found
        ]
    return made


def kurtosis_records(task: Task, parent: Variant, spread: pd.DataFrame) -> list[Record]:
    """Mean excess kurtosis of weights and inputs over a model's layers, of `outliers.kurtoses`."""
    return [
        record.counted(task, parent, "kurtosis", spread[part].mean(), len(spread), part=part)
        for part in ("weights", "inputs")
    ]


def failure_records(task: Task, asked: build.Making, made: Iterable[str]) -> list[Record]:
    """One record for each variant that was asked for and ran out of memory."""
    gone = [
        Variant(name, build.About(how.kind, how.bits, how.group_size), task.folder)
        for name, how in asked.items()
        if name not in set(made)
    ]
    return [record.counted(task, variant, "out_of_memory", 1) for variant in gone]
