"""Experiment `llama_gptq` (notebook 02): what quantizing a Llama costs on LAMBADA.

Each function measures one thing and returns records; nothing is drawn here.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from qlab import lambada, lambada_scoring, llama_sizes, measured, statistics
from qlab.lambada_scoring import Scores
from qlab.language_task import Task
from qlab.records import Record
from qlab.statistics import Estimate

EXPERIMENT = "llama_gptq"
PARENT = "fp32"
MAIN = "top5_first_token"  # the outcome whose flips and test are recorded for every variant
TOPS = range(1, lambada_scoring.TOP + 1)
DRAWS = 2000  # bootstrap resamples of a perplexity or a gap
PACKAGES = ["torch", "transformers", "tokenizers", "auto-gptq", "bitsandbytes", "auto-round"]
PACKAGES += ["peft", "safetensors", "numpy"]

_estimated = partial(measured.estimated, EXPERIMENT)
_counted = partial(measured.counted, EXPERIMENT)
Folders = dict[str, Path]
Outcomes = dict[str, np.ndarray]  # metric -> bool[n]


def size_records(task: Task, folders: Folders) -> list[Record]:
    """Bytes of each variant's files, in all and by part; also in the report's KB (1,024 bytes)."""
    records = []
    for variant, folder in folders.items():
        parts = llama_sizes.split(folder)
        total = sum(parts.values())
        records += [
            _counted(task, variant, "size_bytes", "byte", total),
            _counted(task, variant, "size_kb", "KB", total / llama_sizes.KILOBYTE),
        ]
        for part, count in parts.items():
            records.append(_counted(task, variant, f"size_{part}_bytes", "byte", count))
    return records


def outcomes(task: Task, scores: Scores) -> Outcomes:
    """Yes or no of each passage, for every way to count an answer as right.

    `top{k}_first_token`, `top{k}_all_tokens` (each token of the word, given those before it) and
    `top{k}_decoded_word` (the report's reading) for k = 1 to 10; `acc`, the harness's; and the
    word's last token alone.
    """
    found: Outcomes = {"acc": scores.greedy}
    for k in TOPS:
        found[f"top{k}_first_token"] = lambada_scoring.first_token_hits(scores, k)
        found[f"top{k}_all_tokens"] = lambada_scoring.all_tokens_hits(scores, k)
        found[f"top{k}_decoded_word"] = lambada_scoring.decoded_word_hits(
            scores, task.passages, task.tokenizer, k
        )
        found[f"top{k}_last_token"] = lambada_scoring.last_token_hits(scores, k)
    return found


def accuracy_records(task: Task, scores: Mapping[str, Scores], seed: int) -> list[Record]:
    """Shares with Wilson intervals, perplexity with a bootstrap one, and paired comparisons.

    Each variant is compared with the parent, the first of `scores`, on the same passages; MAIN and
    `acc` with flips, McNemar's test and the smallest detectable difference. `gap_growth_k1_k10` is
    the difference at k = 1 minus the one at k = 10: below zero where a smaller k widens the gap.
    """
    parent = next(iter(scores))
    before = outcomes(task, scores[parent])
    weights = statistics.resamples(len(scores[parent].greedy), DRAWS, seed)
    records: list[Record] = []
    for variant, one in scores.items():
        after = outcomes(task, one)
        records += [
            _estimated(task, variant, m, "1", statistics.proportion(int(hits.sum()), len(hits)))
            for m, hits in after.items()
        ]
        records.append(_perplexity(task, variant, one, weights, seed))
        if variant != parent:
            records += _comparisons(task, variant, before, after)
            growth = _gap_growth(before, after, weights)
            records.append(_estimated(task, variant, "gap_growth_k1_k10", "1", growth, seed=seed))
    return records


def _perplexity(task: Task, variant: str, scores: Scores, weights: np.ndarray, seed: int) -> Record:
    """exp of the mean negative log-likelihood a word; the interval resamples passages."""
    drawn = np.exp(-(weights @ scores.log_likelihood) / weights.shape[1])
    value = lambada_scoring.perplexity(scores)
    interval = statistics.bootstrap_interval(drawn, value)
    e = Estimate(value, *interval, weights.shape[1])
    return _estimated(task, variant, "perplexity", "1", e, seed=seed)


def _comparisons(task: Task, variant: str, before: Outcomes, after: Outcomes) -> list[Record]:
    here = (EXPERIMENT, task, variant)
    records = []
    for metric, hits in after.items():
        flips = statistics.paired(before[metric], hits)
        if metric == MAIN:
            records += measured.compared(*here, metric, "passage", flips)
        elif metric == "acc":
            records += measured.compared(*here, metric, "passage", flips, prefix="acc_")
        else:
            made = _estimated(task, variant, f"{metric}_difference", "1", flips.difference)
            records.append(made)
    return records


def _gap_growth(before: Outcomes, after: Outcomes, weights: np.ndarray) -> Estimate:
    lost = [after[m].astype(float) - before[m] for m in ("top1_first_token", "top10_first_token")]
    each = lost[0] - lost[1]
    value, n = float(each.mean()), len(each)
    return Estimate(value, *statistics.bootstrap_interval(weights @ each / n, value), n)


def last_sentence_records(task: Task, model, progress=iter) -> list[Record]:
    """The parent's figures when it is shown nothing but the last sentence of each passage.

    What it scores here needs no context; the data set's name ends in `_last_sentence`.
    """
    alone = [lambada.last_sentence(p) for p in task.passages]
    encoded = lambada.encode(alone, task.tokenizer, task.context)
    found = outcomes(task, lambada_scoring.score(model, encoded, progress=progress))
    return [
        _estimated(
            task, PARENT, metric, "1",
            statistics.proportion(int(found[metric].sum()), len(found[metric])),
            dataset=f"{task.dataset}_last_sentence",
        )
        for metric in ("top1_first_token", MAIN, "acc")
    ]  # fmt: skip


def layer_records(task: Task, errors: Iterable) -> list[Record]:
    """Relative output error of each quantized linear layer; the metric names layer and kind."""
    return [
        _counted(
            task, row.variant, f"layer_error_{row.layer:02d}_{row.linear.split('.')[-1]}", "1",
            row.relative_error, len(task.calibration),
        )
        for row in errors
    ]  # fmt: skip
