"""Experiment `llama_gptq` (notebook 02): what quantizing a Llama costs on LAMBADA.

Each function measures one thing and returns records; nothing is drawn here.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from qlab.core import measured, stats
from qlab.core.records import Record
from qlab.core.stats import Estimate
from qlab.language import build, lambada, layer_errors, lora, scoring, sizes, speed, streaming
from qlab.language.build import AUTOROUND, LORA, Variants
from qlab.language.data import Task
from qlab.language.lambada import Passage
from qlab.language.scoring import Scores

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EXPERIMENT = "llama_gptq"
MAIN = "top5_first_token"  # the outcome whose flips and test are recorded for every variant
TOPS = range(1, scoring.TOP + 1)
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
_estimated = partial(measured.estimated, EXPERIMENT)
_counted = partial(measured.counted, EXPERIMENT)
Outcomes = dict[str, np.ndarray]  # metric -> bool[n]


def size_records(task: Task, variants: Variants) -> list[Record]:
    """Bytes of each variant's files, in all and by part; also in the report's KB (1,024 bytes)."""
    records = []
    for name, variant in variants.items():
        parts = sizes.split(*variant.folders)
        total = sum(parts.values())
        records += [
            _counted(task, name, "size_bytes", "byte", total),
            _counted(task, name, "size_kb", "KB", total / sizes.KILOBYTE),
        ]
        for part, count in parts.items():
            records.append(_counted(task, name, f"size_{part}_bytes", "byte", count))
    return records


def outcomes(
    passages: Sequence[Passage], scores: Scores, tokenizer: "PreTrainedTokenizerFast"
) -> Outcomes:
    """Yes or no of each passage, for every way to count an answer as right.

    `acc` is the harness's. `top{k}_first_token`, `top{k}_all_tokens` (each token of the word, given
    those before it), `top{k}_decoded_word` (the report's reading) and `top{k}_last_token` are for
    k = 1 to 10.
    """
    found: Outcomes = {"acc": scores.greedy}
    for k in TOPS:
        found[f"top{k}_first_token"] = scoring.first_token_hits(scores, k)
        found[f"top{k}_all_tokens"] = scoring.all_tokens_hits(scores, k)
        found[f"top{k}_last_token"] = scoring.last_token_hits(scores, k)
        hits = scoring.decoded_word_hits(scores, passages, tokenizer, k)
        found[f"top{k}_decoded_word"] = hits
    return found


def accuracy_records(task: Task, scores: Mapping[str, Scores], seed: int) -> list[Record]:
    """Shares with Wilson intervals, perplexity with a bootstrap one, and paired comparisons.

    Each variant is compared with the parent, the first of `scores`, on the same passages; MAIN and
    `acc` with flips, McNemar's test and the smallest detectable difference. `gap_growth_k1_k10` is
    the difference at k = 1 minus the one at k = 10: below zero where a smaller k widens the gap.
    """
    parent, tokenizer = next(iter(scores)), task.tokenizer
    before = outcomes(task.passages, scores[parent], tokenizer)
    weights = stats.resamples(len(scores[parent].greedy), DRAWS, seed)
    records: list[Record] = []
    for variant, one in scores.items():
        after = outcomes(task.passages, one, tokenizer)
        records += [
            _estimated(task, variant, m, "1", stats.proportion(int(hits.sum()), len(hits)))
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
    value = scoring.perplexity(scores)
    interval = stats.bootstrap_interval(drawn, value)
    e = Estimate(value, *interval, weights.shape[1])
    return _estimated(task, variant, "perplexity", "1", e, seed=seed)


def _comparisons(task: Task, variant: str, before: Outcomes, after: Outcomes) -> list[Record]:
    here = (EXPERIMENT, task, variant)
    records = []
    for metric, hits in after.items():
        flips = stats.paired(before[metric], hits)
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
    return Estimate(value, *stats.bootstrap_interval(weights @ each / n, value), n)


def recovery_records(
    task: Task, scores: Mapping[str, Scores], variants: Variants, seed: int
) -> list[Record]:
    """What training adapters after quantization brought back, and what it cost.

    `recovery_difference` is MAIN with the adapter minus MAIN without it, on the same passages;
    `recovered_share` is that over what quantization had lost, where it had lost anything that the
    passages can show.
    """
    records: list[Record] = []
    whole = _main(next(iter(scores.values())))
    weights = stats.resamples(len(whole), DRAWS, seed)
    for name, variant in variants.items():
        base = name.removesuffix(LORA)
        if variant.adapter is None or not {name, base} <= set(scores):
            continue
        before, after = _main(scores[base]), _main(scores[name])
        flips = stats.paired(before, after)
        records.append(_estimated(task, name, "recovery_difference", "1", flips.difference))
        if stats.paired(whole, before).difference.high < 0:
            share = _recovered(whole, before, after, weights)
            records.append(_estimated(task, name, "recovered_share", "1", share, seed=seed))
        cost = lora.cost(variant.adapter)
        where = {"seed": seed, "device": task.choice.device}
        records += [
            _counted(task, name, "train_seconds", "s", cost.train_seconds, **where),
            _counted(task, name, "trained_parameters", "parameter", cost.parameters),
            _counted(task, name, "adapter_bytes", "byte", cost.adapter_bytes),
        ]
    return records


def _main(scores: Scores) -> np.ndarray:
    return scoring.first_token_hits(scores, 5)


def _recovered(
    whole: np.ndarray, before: np.ndarray, after: np.ndarray, weights: np.ndarray
) -> Estimate:
    """(after - before) / (whole - before), its interval resampling passages."""
    gain, gap = after.astype(float) - before, whole.astype(float) - before
    lost = weights @ gap
    drawn = np.divide(weights @ gain, lost, out=np.full(len(lost), np.nan), where=lost > 0)
    value = gain.sum() / gap.sum()
    return Estimate(value, *stats.bootstrap_interval(drawn, value), len(gain))


def last_sentence_records(task: Task, variants: Variants, progress=iter) -> list[Record]:
    """The parent's figures when it is shown nothing but the last sentence of each passage.

    What it scores so needs no context; the data set's name ends in `_last_sentence`.
    """
    parent = next(iter(variants))
    alone = [lambada.last_sentence(p) for p in task.passages]
    encoded = lambada.encode(alone, task.tokenizer, task.longest)
    with build.reproducible(task):
        model = build.load(task, variants[parent])
        scores = scoring.score(model, encoded, progress=progress)
    found = outcomes(alone, scores, task.tokenizer)
    dataset = f"{task.dataset}_last_sentence"
    return [
        _estimated(
            task, parent, metric, "1",
            stats.proportion(int(found[metric].sum()), len(alone)), dataset=dataset,
        )
        for metric in ("top1_first_token", MAIN, "acc")
    ]  # fmt: skip


def layer_records(task: Task, variants: Variants, progress=iter) -> list[Record]:
    """Relative output error of each linear layer, for TAKEN_APART; the metric names the layer.

    None, which is said, where none of those variants is there.
    """
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
        _counted(
            task, row.variant, f"layer_error_{row.layer:02d}_{row.linear.split('.')[-1]}", "1",
            row.relative_error, n,
        )
        for row in table.itertuples()
    ]  # fmt: skip


def failure_records(task: Task, asked: Iterable[str], made: Iterable[str]) -> list[Record]:
    """One record for each variant that was asked for and ran out of memory."""
    left = [name for name in asked if name not in set(made)]
    return [_counted(task, name, "out_of_memory", "1", 1) for name in left]


def speed_records(task: Task, variants: Variants, profile: str, progress=iter) -> list[Record]:
    """Tokens per second of TIMED on the libraries' own kernels, and their ratio to the parent's.

    What each metric counts is in `token_speed.COUNTS`; medians over rounds in which all variants
    take turns, so that a slow moment of the machine hits all; ratios are within a round.
    """
    parent = next(iter(variants))
    timed = [name for name in variants if name in TIMED]
    rows = [e.tokens[:-1] for e in task.encoded[: TIMED_PASSAGES[profile]]]
    records = []
    for group in _groups(task, variants, timed):
        models = {parent: build.load(task, variants[parent])}
        for name in group:
            models[name] = streaming.load_packed(variants[name].folder, task.choice.device)
        rates = speed.measure(models, rows, repeats=REPEATS[profile], progress=progress)
        known = {(r.variant, r.metric) for r in records}
        for name, by_metric in rates.items():
            for metric, values in by_metric.items():
                if (name, metric) in known:  # the parent, timed with an earlier group
                    continue
                e = stats.median(values)
                records.append(_estimated(task, name, metric, "token/s", e, device=_device(task)))
                if name != parent:
                    ratio = stats.median(values / rates[parent][metric])
                    name_of = f"{metric}_ratio"
                    records.append(
                        _estimated(task, name, name_of, "1", ratio, device=_device(task))
                    )
    return records


def _groups(task: Task, variants: Variants, timed: list[str]) -> list[list[str]]:
    """Variants to hold in memory together: all of a small model's, else one beside the parent."""
    small = sum(sizes.split(task.folder).values()) < 1e9
    return [timed] if small else [[name] for name in timed]


def _device(task: Task) -> str:
    """What a time was measured on; the processor's name is in the provenance."""
    if task.choice.device == "cpu":
        return f"cpu_{task.chosen['threads']}_threads"
    return task.choice.device
