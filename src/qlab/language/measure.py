"""Experiment `llama_gptq` (notebook 02): what quantizing a Llama costs on LAMBADA."""

import dataclasses
import logging
from collections.abc import Iterable

import numpy as np
import pandas as pd

from qlab.core import stats
from qlab.core.records import COMPARED, Metric, Record, Recorder
from qlab.core.stats import Estimate
from qlab.language import (
    build,
    lambada,
    layer_errors,
    lora,
    methods,
    outcomes,
    scoring,
    sizes,
    speed,
    streaming,
)
from qlab.language.build import Variants
from qlab.language.data import Task
from qlab.language.methods import ADAPTED, AUTOROUND
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
    "out_of_memory": Metric("1"),
    **_RATES,
    **{f"{name}_ratio": Metric("1", 1, clock=True) for name in _RATES},
}
TAKEN_APART = tuple(f"{m}_w{b}_g64" for b in (8, 4, 3, 2) for m in ("rtn", "gptq")) + (AUTOROUND,)
SHOWN = ("fp32", "fp16", "bf16", "gptq_w8_g64", "gptq_w4_g64", "gptq_w2_g64", "rtn_w2_g64")
SHOWN += (AUTOROUND,)  # whose predictions are printed
TWIN = ("rtn_w4_g64", "gptq_w2_g64", "rtn_w2_g64")  # built of the even twin too
TIMED = tuple(f"gptq_w{b}_g64" for b in (8, 4, 3, 2)) + ("bnb_int8", "bnb_nf4", "bnb_fp4")
TIMED_PASSAGES = {"smoke": 2, "mini": 8, "full": 100}
REPEATS = {"smoke": 6, "mini": 8, "full": 6}  # timed rounds
DRAWS = 2000  # bootstrap resamples of a perplexity or a gap
PACKAGES = ["torch", "transformers", "tokenizers", "auto-gptq", "bitsandbytes", "auto-round"]
PACKAGES += ["peft", "safetensors", "numpy"]

log = logging.getLogger(__name__)


class _Recorder(Recorder):
    """Records that say by which method a variant was made, at how many bits."""

    def counted(self, task, variant, metric, value, n=1, **more) -> Record:
        about = methods.ABOUT[variant]._asdict()
        return super().counted(task, variant, metric, value, n, **about, **more)


record = _Recorder(EXPERIMENT, METRICS)


def size_records(task: Task, variants: Variants) -> list[Record]:
    """Bytes of each variant's files, in all and by part; also in the report's KB (1,024 bytes)."""
    records = []
    for name, variant in variants.items():
        parts = sizes.split(*variant.folders)
        total = sum(parts.values())
        counts = {"size_bytes": total, "size_kb": total / sizes.KILOBYTE}
        counts |= {f"size_{part}_bytes": count for part, count in parts.items()}
        records += [record.counted(task, name, metric, n) for metric, n in counts.items()]
    return records


def judged_records(task: Task, judged: pd.DataFrame, seed: int) -> list[Record]:
    """Shares with Wilson intervals, perplexity with a bootstrap one, and paired comparisons.

    Of `outcomes.table`. Each variant is compared with the parent, the first; MAIN and `acc` with
    flips, McNemar's test and the smallest detectable difference. `gap_growth_k1_k10` is the
    difference at k = 1 minus the one at k = 10: below zero where a smaller k widens the gap.
    """
    records: list[Record] = []
    before: dict = {}
    for variant, rows in outcomes.by_variant(judged):
        weights = stats.resamples(len(rows), DRAWS, seed)
        after = outcomes.hits(rows)
        records += [_share(task, variant, metric, hits) for metric, hits in after.items()]
        log_p = rows["log_likelihood"].to_numpy()
        e = _perplexity(log_p, weights)
        records.append(record.estimated(task, variant, "perplexity", e, seed=seed))
        if before:
            records += _comparisons(task, variant, before, after)
            growth = _gap_growth(before, after, weights)
            records.append(record.estimated(task, variant, "gap_growth_k1_k10", growth, seed=seed))
        before = before or after
    return records


def _share(task: Task, variant: str, metric: outcomes.Metric, hits: np.ndarray, **more) -> Record:
    e = stats.proportion(int(hits.sum()), len(hits))
    return record.estimated(task, variant, metric.name, e, k=metric.k, **more)


def _perplexity(log_likelihood: np.ndarray, weights: np.ndarray) -> Estimate:
    """exp of the mean negative log-likelihood a word; the interval resamples passages."""
    drawn = np.exp(-(weights @ log_likelihood) / weights.shape[1])
    value = scoring.perplexity(log_likelihood)
    return Estimate(value, *stats.bootstrap_interval(drawn, value), weights.shape[1])


def _comparisons(task: Task, variant: str, before: dict, after: dict) -> list[Record]:
    records = []
    for metric, hits in after.items():
        flips = stats.paired(before[metric], hits)
        made = [record.estimated(task, variant, f"{metric.name}_difference", flips.difference)]
        if metric in (MAIN, ACC):
            prefix = "acc_" if metric == ACC else ""
            made = record.compared(task, variant, metric.name, flips, prefix)
        records += [dataclasses.replace(made[0], k=metric.k), *made[1:]]
    return records


def _gap_growth(before: dict, after: dict, weights: np.ndarray) -> Estimate:
    few, many = (MAIN._replace(k=k) for k in (1, 10))
    lost = [after[m].astype(float) - before[m] for m in (few, many)]
    each = lost[0] - lost[1]
    value, n = float(each.mean()), len(each)
    return Estimate(value, *stats.bootstrap_interval(weights @ each / n, value), n)


def recovery_records(
    task: Task, judged: pd.DataFrame, variants: Variants, seed: int
) -> list[Record]:
    """What training adapters after quantization brought back, and what it cost.

    `recovery_difference` is MAIN with the adapter minus MAIN without it; `recovered_share` is that
    over what quantization had lost, where it had lost anything that the passages can show.
    """
    records: list[Record] = []
    hits = {v: outcomes.hits(rows)[MAIN] for v, rows in outcomes.by_variant(judged)}
    whole = next(iter(hits.values()))
    weights = stats.resamples(len(whole), DRAWS, seed)
    for name, variant in variants.items():
        if variant.adapter is None or not {name, ADAPTED[name]} <= set(hits):
            continue
        before, after = hits[ADAPTED[name]], hits[name]
        flips = stats.paired(before, after)
        records.append(record.estimated(task, name, "recovery_difference", flips.difference))
        if stats.paired(whole, before).difference.high < 0:
            share = _recovered(whole, before, after, weights)
            records.append(record.estimated(task, name, "recovered_share", share, seed=seed))
        cost = lora.cost(variant.adapter)
        where = {"seed": seed, "device": task.processor()}
        records += [
            record.counted(task, name, "train_seconds", cost.train_seconds, **where),
            record.counted(task, name, "trained_parameters", cost.parameters),
            record.counted(task, name, "adapter_bytes", cost.adapter_bytes),
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


def last_sentence(task: Task, variants: Variants, progress=iter) -> pd.DataFrame:
    """The parent's outcomes when it is shown nothing but the last sentence of each passage."""
    parent = next(iter(variants))
    alone = [lambada.last_sentence(p) for p in task.passages]
    encoded = lambada.encode(alone, task.tokenizer, task.longest)
    with build.reproducible(task):
        model = build.load(task, variants[parent])
        scores = scoring.score(model, encoded, progress=progress)
    return outcomes.table(task, {parent: scores}, alone, LAST_SENTENCE)


def last_sentence_records(task: Task, judged: pd.DataFrame) -> list[Record]:
    """Shares of `last_sentence`; their records have the condition `last_sentence`."""
    return [
        _share(task, variant, metric, outcomes.hits(rows)[metric], condition=LAST_SENTENCE)
        for variant, rows in outcomes.by_variant(judged)
        for metric in (MAIN._replace(k=1), MAIN, ACC)
    ]


def layer_records(task: Task, variants: Variants, progress=iter) -> list[Record]:
    """Relative output error of each linear layer, for those of TAKEN_APART that are there."""
    folders = {name: v.folder for name, v in variants.items() if name in TAKEN_APART}
    if not folders:
        log.warning("No layer is taken apart: that is for %s.", ", ".join(TAKEN_APART))
        return []
    with build.reproducible(task):
        table = layer_errors.layer_errors(
            task.folder, folders, task.calibration_tokens, progress=progress
        )
    n = len(task.calibration)
    return [
        record.counted(
            task, row.variant, "layer_error", row.relative_error, n,
            depth=row.layer, part=row.linear.rsplit(".", 1)[1],
        )
        for row in table.itertuples()
    ]  # fmt: skip


def failure_records(task: Task, asked: Iterable[str], made: Iterable[str]) -> list[Record]:
    """One record for each variant that was asked for and ran out of memory."""
    left = [name for name in asked if name not in set(made)]
    return [record.counted(task, name, "out_of_memory", 1) for name in left]


def speed_records(task: Task, variants: Variants, profile: str, progress=iter) -> list[Record]:
    """Tokens per second of TIMED on the libraries' own kernels, and their ratio to the parent's.

    See `speed.COUNTS`. Medians over rounds in which all variants take turns; ratios within one.
    """
    parent = next(iter(variants))
    timed = [name for name in variants if name in TIMED]
    rows = [e.tokens[:-1] for e in task.encoded[: TIMED_PASSAGES[profile]]]
    device = task.processor(f"{task.given.threads} threads")
    records: list[Record] = []
    # In memory together: all of a small model's variants, else one beside the parent.
    small = sum(sizes.split(task.folder).values()) < 1e9
    for group in [timed] if small else [[name] for name in timed]:
        models = {parent: build.load(task, variants[parent])}
        for name in group:
            models[name] = streaming.load_packed(variants[name].folder, task.choice.device)
        rates = speed.measure(models, rows, repeats=REPEATS[profile], progress=progress)
        known = {(r.variant, r.metric) for r in records}
        for name, by_metric in rates.items():
            for metric, values in by_metric.items():
                if (name, metric) in known:  # the parent, timed with an earlier group
                    continue
                found = {metric: values, f"{metric}_ratio": values / rates[parent][metric]}
                for of, rounds in found.items():
                    if of in _RATES or name != parent:
                        e = stats.median(rounds)
                        records.append(record.estimated(task, name, of, e, device=device))
    return records
