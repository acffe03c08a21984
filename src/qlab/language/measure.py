"""Experiment `llama_gptq` (notebook 02): what quantizing a language model costs on LAMBADA."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from qlab.core import stats
from qlab.core.progress import bar
from qlab.core.records import Record
from qlab.language import build, lambada, outcomes, scoring, sizes, training
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
    """Of `outcomes.table`: shares with Wilson intervals, perplexity with a bootstrap one, paired
    comparisons with the parent, the first; of MAIN and `acc` with flips and McNemar's test.

    `gap_growth_k1_k10` is the difference at k = 1 minus the one at k = 10.
    """
    records: list[Record] = []
    before, whole = {}, np.empty(0)
    for name, rows in outcomes.by_variant(judged):
        variant, after = variants[name], outcomes.hits(rows)
        weights = stats.resamples(len(rows), DRAWS, seed)
        log_p = rows["log_likelihood"].to_numpy()
        records += [_share(task, variant, metric, hits) for metric, hits in after.items()]
        # exp of the mean negative log-likelihood of a word.
        drawn = np.exp(-(weights @ log_p) / len(rows))
        found = {"perplexity": resampled(scoring.perplexity(log_p), drawn, len(rows))}
        means = {"log_likelihood": log_p}
        if before:
            for metric, hits in after.items():
                records += _comparison(task, variant, metric, stats.paired(before[metric], hits))
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


def _comparison(task: Task, variant, metric: outcomes.Metric, flips: stats.Flips) -> list[Record]:
    name = f"{metric.name}_difference"
    made = [record.estimated(task, variant, name, flips.difference, k=metric.k)]
    if metric in (MAIN, ACC):
        prefix = "acc_" if metric == ACC else ""
        made += record.compared(task, variant, metric.name, flips, prefix)[1:]
    return made


def recovery_records(task: Task, variants: Variants, judged, seed: int) -> list[Record]:
    """What adapters brought back, and what they cost: `acc` with minus without, and that over what
    quantization had lost, where it had lost anything that the passages can show."""
    records: list[Record] = []
    hits = {v: outcomes.hits(rows)[ACC] for v, rows in outcomes.by_variant(judged)}
    parent, whole = next(iter(hits.items()))
    weights = stats.resamples(len(whole), DRAWS, seed)
    for name, variant in variants.items():
        base = name.removesuffix("_lora")
        if variant.adapter is None or not {name, base} <= set(hits):
            continue
        flips = stats.paired(hits[base], hits[name])
        records.append(record.estimated(task, variant, "recovery_difference", flips.difference))
        if stats.paired(whole, hits[base]).difference.high < 0:
            gain, gap = (hits[v].astype(float) - hits[base] for v in (name, parent))
            lost = weights @ gap
            drawn = np.full(len(lost), np.nan)
            np.divide(weights @ gain, lost, out=drawn, where=lost > 0)
            share = resampled(gain.sum() / gap.sum(), drawn, len(gain))
            records.append(record.estimated(task, variant, "recovered_share", share, seed=seed))
        for metric, value in training.cost(variant.adapter).items():
            timed = {"seed": seed, "device": task.processor()} if "seconds" in metric else {}
            records.append(record.counted(task, variant, metric, value, **timed))
    return records


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


def part_records(task, variants, sided: dict, layers: dict, judged, seed: int) -> list[Record]:
    """What variants lost of which only some layers are quantized, `sided` by (variant, side): the
    side is `part`, its number of layers `k`; `part_difference` is the log-likelihood of one side
    minus its neighbour's, on the same passages."""
    rows = dict(outcomes.by_variant(judged))
    whole = next(iter(rows.values()))
    log_p = {key: rows[one.name]["log_likelihood"].to_numpy() for key, one in sided.items()}
    weights = stats.resamples(len(whole), DRAWS, seed)
    made, sides = [], list(layers)
    pairs = dict(zip(sides[::2], sides[1::2], strict=False))
    for (base, side), one in sided.items():
        here = {"condition": SOME, "k": len(layers[side]), "seed": seed}
        of = partial(record.estimated, task, variants[base], **here)
        lost = mean(log_p[base, side] - whole["log_likelihood"].to_numpy(), weights)
        flips = stats.paired(whole["acc"].to_numpy(), rows[one.name]["acc"].to_numpy())
        made.append(of("log_likelihood_difference", lost, part=side))
        made.append(of("acc_difference", flips.difference, part=side))
        if other := pairs.get(side):
            apart = mean(log_p[base, side] - log_p[base, other], weights)
            made.append(of("part_difference", apart, part=f"{side} minus {other}"))
    return made


def kurtosis_records(task: Task, parent: Variant, spread: pd.DataFrame) -> list[Record]:
    """Mean excess kurtosis of weights and inputs over a model's layers, of `outliers.kurtoses`."""
    return [
        record.counted(task, parent, "kurtosis", spread[part].mean(), len(spread), part=part)
        for part in ("weights", "inputs")
    ]


def failure_records(task: Task, asked: build.Making, made: Iterable[str]) -> list[Record]:
    """One record for each variant that was asked for and ran out of memory."""
    gone = {name: asked[name] for name in asked if name not in set(made)}
    variants = [build.described(name, how, Path()) for name, how in gone.items()]
    return [record.counted(task, variant, "out_of_memory", 1) for variant in variants]
