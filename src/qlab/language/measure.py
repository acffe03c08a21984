"""Experiment `llama_gptq` (notebook 02): what quantizing a language model costs on LAMBADA.

For a linear layer with weights W [out, in], their change D and inputs x in the float model, the
relative output error is sqrt(sum |D x|^2 / sum |W x|^2) = sqrt(tr(D H D^T) / tr(W H W^T)) with
H = sum x x^T, computed once for all variants. The inputs are the float model's, so errors of
earlier layers are not included.
"""

import itertools
import json
import math
from collections import Counter
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy.stats import kurtosis

from qlab.core import stats
from qlab.core.records import COMPARED, Record, Recorder, metrics
from qlab.core.stats import Estimate
from qlab.language import decoder, scoring, streaming, training
from qlab.language.build import Variant, Variants
from qlab.language.checkpoint import PARTS, split_bytes
from qlab.language.data import Task
from qlab.language.scoring import ACC, LAST_SENTENCE, MAIN

EXPERIMENT = "llama_gptq"
COUNTS = ("tokens_per_s", "tokens_per_s_prefill", "tokens_per_s_decode")  # tokens per second
FLIPS = (*COMPARED, "flips_lost", "flips_gained")
DRAWS = 2000  # bootstrap resamples of a perplexity or a gap
PACKAGES = ["torch", "transformers", "tokenizers", "auto-gptq", "bitsandbytes", "auto-round"]
PACKAGES += ["peft", "safetensors", "numpy"]
FEWEST, MOST = (MAIN._replace(k=k) for k in (1, 10))  # the ends of a curve over k
SOME = "some_layers"  # the condition of records of variants quantized in some layers only


class _Recorder(Recorder):
    """Adds to records by which method a variant was made, and at how many bits."""

    def counted(self, task, variant, metric, value, n=1, **more) -> Record:
        return super().counted(task, variant.name, metric, value, n, **variant.about | more)


record = _Recorder(EXPERIMENT, metrics(__file__) | COMPARED)


def mean(values: np.ndarray, weights: np.ndarray) -> Estimate:
    """A mean, with an interval from resampling the passages."""
    return resampled(float(values.mean()), (weights @ values) / weights.sum(axis=1), len(values))


def resampled(value: float, drawn: np.ndarray, n: int) -> Estimate:
    """A value over n passages, with an interval from the values `drawn` on resamples of them."""
    return Estimate(value, *stats.bootstrap_interval(drawn, value), n)


def size_records(task: Task, variants: Variants) -> list[Record]:
    """Bytes of each variant's files, total and by part; also in the report's KB (1,024 bytes)."""
    records = []
    for variant in variants.values():
        parts = split_bytes(*variant.folders)
        total = sum(parts.values())
        counts = {"size_bytes": total, "size_kb": total / 1024}
        counts |= {f"size_{part}_bytes": parts[part] for part in PARTS}
        records += [record.counted(task, variant, metric, n) for metric, n in counts.items()]
    return records


def judged_records(task: Task, variants: Variants, judged: pd.DataFrame, seed: int) -> list[Record]:
    """Records from `scoring.table`: shares with Wilson intervals, perplexity with a bootstrap one,
    and paired comparisons with the first variant, the parent; for MAIN and `acc` with flips and
    McNemar's test. `gap_growth_k1_k10` is the difference at k = 1 minus the one at k = 10."""
    records: list[Record] = []
    before, whole = {}, np.empty(0)
    for name, rows in scoring.by_variant(judged):
        variant, after = variants[name], scoring.hits(rows)
        weights = stats.resamples(len(rows), DRAWS, seed)
        log_p = rows["log_likelihood"].to_numpy()
        records += [_share(task, variant, metric, hits) for metric, hits in after.items()]
        # exp of the mean negative log-likelihood of a word.
        drawn = np.exp(-(weights @ log_p) / len(rows))
        found = {"perplexity": resampled(scoring.perplexity(log_p), drawn, len(rows))}
        means = {"log_likelihood": log_p}
        if before:
            for metric, hits in after.items():
                flips, difference = stats.paired(before[metric], hits), f"{metric.name}_difference"
                of = partial(record.estimated, task, variant, k=metric.k)
                records.append(of(difference, flips.difference))
                if metric in (MAIN, ACC):
                    prefix = "acc_" if metric == ACC else ""
                    records += record.compared(task, variant, metric.name, flips, prefix)[1:]
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


def _share(task: Task, variant, metric: scoring.Metric, hits: np.ndarray, **more) -> Record:
    e = stats.proportion(int(hits.sum()), len(hits))
    return record.estimated(task, variant, metric.name, e, k=metric.k, **more)


def recovery_records(task: Task, variants: Variants, judged, seed: int) -> list[Record]:
    """What adapters recovered, and what they cost: `acc` with minus without, and its ratio to what
    quantization lost, where the passages show a loss. An adapter also learns the task, so what
    quantization still costs is measured against float with an adapter, where there is one."""
    records: list[Record] = []
    hits = {v: scoring.hits(rows)[ACC] for v, rows in scoring.by_variant(judged)}
    parent, whole = next(iter(hits.items()))
    weights = stats.resamples(len(whole), DRAWS, seed)
    for name, variant in variants.items():
        base = name.removesuffix("_lora")
        if variant.adapter is None or not {name, base} <= set(hits):
            continue
        flips = stats.paired(hits[base], hits[name])
        records.append(record.estimated(task, variant, "recovery_difference", flips.difference))
        alike = hits.get(f"{parent}_lora")
        if alike is not None and base != parent:
            left = stats.paired(alike, hits[name]).difference
            records.append(record.estimated(task, variant, "trained_alike_difference", left))
        if stats.paired(whole, hits[base]).difference.high < 0:
            gain, gap = (hits[v].astype(float) - hits[base] for v in (name, parent))
            lost = weights @ gap
            drawn = np.full(len(lost), np.nan)
            np.divide(weights @ gain, lost, out=drawn, where=lost > 0)
            share = resampled(gain.sum() / gap.sum(), drawn, len(gain))
            records.append(record.estimated(task, variant, "recovered_share", share, seed=seed))
        for metric, value in json.loads((variant.adapter / training.COST).read_text()).items():
            timed = {"seed": seed, "device": task.processor()} if "seconds" in metric else {}
            records.append(record.counted(task, variant, metric, value, **timed))
    return records


def last_sentence_records(task: Task, variants: Variants, judged: pd.DataFrame) -> list[Record]:
    """Shares of right answers given only the last sentences, the condition of these records."""
    return [
        _share(task, variants[name], metric, scoring.hits(rows)[metric], condition=LAST_SENTENCE)
        for name, rows in scoring.by_variant(judged)
        for metric in (FEWEST, MAIN, ACC)
    ]


def part_records(task, variants, sided: dict, layers: dict, judged, seed: int) -> list[Record]:
    """The loss of variants with only some layers quantized, `sided` by (variant, side): the side is
    `part`, its number of layers `k`; `part_difference` is the log-likelihood of one side minus that
    of its neighbour, on the same passages."""
    rows = dict(scoring.by_variant(judged))
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


@torch.no_grad()
def layer_records(task: Task, variants: Variants, progress=iter) -> list[Record]:
    """The relative output error of each linear layer of these variants on the calibration passages:
    `depth` is its block, `part` its name."""
    torch.set_num_threads(task.threads)
    made, n, through = [], len(task.calibration), decoder.Walk(task.folder, task.calibration_tokens)
    read = {v: streaming.dense_reader(one.folder, through.model) for v, one in variants.items()}
    for index, block, groups in through.each(progress):
        last = Counter(name.rpartition(".")[2] for group in groups for name in group)
        for group in groups:
            width = decoder.matrix(block.get_submodule(group[0])).shape[1]
            hessian, entered = torch.zeros(width, width), []
            through.observe(index, group[:1], lambda _, x, __, to=entered: to.append(x))
            for x in (x.flatten(0, -2) for x in entered):
                hessian.addmm_(x.T, x)
            for name, (variant, dense) in itertools.product(group, read.items()):
                linear, short = block.get_submodule(name), name.rpartition(".")[2]
                stored = dense(f"{through.prefix}.{index}.{name}.weight")
                other = decoder.oriented(linear, stored).float()
                error = relative_error(decoder.matrix(linear), other, hessian)
                about = {"depth": index, "part": short if last[short] == 1 else name, "n": n}
                made.append(record.counted(task, variants[variant], "layer_error", error, **about))
    return made


def relative_error(weight: torch.Tensor, other: torch.Tensor, hessian: torch.Tensor) -> float:
    """Relative output error of weights [out, in], with H [in, in]; 0 if the layer gives only 0."""

    def energy(matrix: torch.Tensor) -> float:
        # In float64: the terms nearly cancel where inputs are correlated.
        return float(((matrix @ hessian) * matrix).sum(dtype=torch.float64))

    signal = energy(weight)
    return math.sqrt(max(energy(other - weight), 0.0) / signal) if signal > 0 else 0.0


@torch.no_grad()
def kurtosis_records(task: Task, parent: Variant) -> list[Record]:
    """Mean excess kurtosis (0 for a normal distribution) over a float model's linear layers: that
    of their weights, and that of their inputs on the first calibration passages."""
    torch.set_num_threads(task.threads)
    found, through = [], decoder.Walk(task.folder, task.calibration_tokens[:16])
    for index, block, groups in through.each():
        for group in groups:
            entered: list[torch.Tensor] = []
            through.observe(index, group[:1], lambda _, x, __, to=entered: to.append(x.flatten()))
            inputs = kurtosis(torch.cat(entered).numpy())
            weights = (decoder.matrix(block.get_submodule(n)).numpy() for n in group)
            found += [{"weights": kurtosis(weight.ravel()), "inputs": inputs} for weight in weights]
    return [
        record.counted(task, parent, "kurtosis", mean, len(found), part=part)
        for part, mean in pd.DataFrame(found, dtype=float).mean().items()
    ]
