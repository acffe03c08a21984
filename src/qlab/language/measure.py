"""Experiment `llama_gptq` (notebook 02): what quantizing a language model costs on LAMBADA."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from safetensors import safe_open

from qlab.core import stats
from qlab.core.progress import bar
from qlab.core.records import COMPARED, Metric, Record, Recorder
from qlab.core.stats import Estimate
from qlab.language import build, lambada, outcomes, scoring, training
from qlab.language.build import Variant, Variants, reproducible
from qlab.language.data import Task
from qlab.language.outcomes import ACC, LAST_SENTENCE, MAIN

EXPERIMENT = "llama_gptq"
COUNTS = ("tokens_per_s", "tokens_per_s_prefill", "tokens_per_s_decode")  # rates
FLIPS = (*COMPARED, "flips_lost", "flips_gained")
ABOUT = yaml.safe_load(Path(__file__).with_name("metrics.yaml").read_text())  # of each metric
METRICS = {
    name: Metric(**{part: about[part] for part in Metric._fields if part in about})
    for name, about in ABOUT.items()
}
METRICS |= COMPARED
METRICS |= {f"acc_{name}": METRICS[name] for name in FLIPS}
DRAWS = 2000  # bootstrap resamples of a perplexity or a gap
PACKAGES = ["torch", "transformers", "tokenizers", "auto-gptq", "bitsandbytes", "auto-round"]
PACKAGES += ["peft", "safetensors", "numpy"]
FEWEST, MOST = (MAIN._replace(k=k) for k in (1, 10))  # the ends of a curve over k
SOME = "some_layers"  # the condition of records that are not of whole variants
PARTS = ("body", "embedding", "scales", "container")  # of a folder's bytes
# Endings of tensors that describe a quantized weight: GPTQ's, then bitsandbytes'.
_SCALES = (".scales", ".qzeros", ".g_idx", ".SCB", ".weight_format", ".absmax", ".quant_map")
_SCALES += (".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4")
# Parts of the names of embeddings and heads in the families that transformers has.
_EMBEDDINGS = ("embed", "lm_head", "wte", "wpe")
_JSON = ("config.json", "model.safetensors.index.json", "adapter_config.json")


class _Recorder(Recorder):
    """Records that say by which method a variant was made, at how many bits."""

    def counted(self, task, variant, metric, value, n=1, **more) -> Record:
        about = variant.about._asdict()
        return super().counted(task, variant.name, metric, value, n, **about | more)


record = _Recorder(EXPERIMENT, METRICS)


def mean(values: np.ndarray, weights: np.ndarray) -> Estimate:
    """A mean, its interval resampling passages."""
    return resampled(float(values.mean()), (weights @ values) / weights.sum(axis=1), len(values))


def resampled(value: float, drawn: np.ndarray, n: int) -> Estimate:
    """A value of n passages, and its interval by what the resamples of them gave."""
    return Estimate(value, *stats.bootstrap_interval(drawn, value), n)


def split_bytes(*folders: Path) -> dict[str, int]:
    """Bytes by part over all safetensors files of the folders (a model's, an adapter's): `scales`
    is what goes with quantized weights, `container` headers and the JSON a loader needs."""
    found = dict.fromkeys(PARTS, 0)
    for folder in folders:
        files = list(folder.glob("*.safetensors"))
        stored = files + [folder / name for name in _JSON if (folder / name).is_file()]
        found["container"] += sum(file.stat().st_size for file in stored)
        for file in files:
            with safe_open(file, "pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118
                    size = tensors.get_tensor(name).nbytes  # of the map: nothing is read
                    found[_part(name)] += size
                    found["container"] -= size
    return found


def _part(name: str) -> str:
    if name.endswith(_SCALES):
        return "scales"
    return "embedding" if any(end in name for end in _EMBEDDINGS) else "body"


def size_records(task: Task, variants: Variants) -> list[Record]:
    """Bytes of each variant's files, in all and by part; also in the report's KB (1,024 bytes)."""
    records = []
    for variant in variants.values():
        parts = split_bytes(*variant.folders)
        total = sum(parts.values())
        counts = {"size_bytes": total, "size_kb": total / 1024}
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
