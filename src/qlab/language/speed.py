"""Tokens per second and memory of language models on the kernels they are used with.

Reading a prompt is bound by arithmetic, writing by memory: each metric says what it counts.
`python -m qlab.language.speed JSON` measures in a fresh process.
"""

import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from transformers import DynamicCache

from qlab.core import stats, timing
from qlab.core.records import Record
from qlab.language import checkpoint, streaming
from qlab.language.build import Variants
from qlab.language.data import Task
from qlab.language.measure import COUNTS, record

Passages = Sequence[Sequence[int]]  # token ids of each
Rates = dict[str, dict[str, np.ndarray]]  # tokens/s by variant and metric of COUNTS, [rounds]


def measure(models: Mapping, passages: Passages, written=32, repeats=5, progress=iter) -> Rates:
    """Tokens/s of `repeats` rounds in which all variants and metrics take turns: all passages are
    read; then the longest, cut to leave room; then `written` tokens are written after it."""
    context = min(checkpoint.context(model.config) for model in models.values())
    prompt = max(passages, key=len)[: context - written]
    sizes = dict(zip(COUNTS, (sum(map(len, passages)), len(prompt), written), strict=True))
    calls = {}
    with torch.inference_mode():
        for variant, model in models.items():
            ids = [torch.tensor([list(p)], device=model.device) for p in (*passages, prompt)]
            reading = (partial(_read, model, some) for some in (ids[:-1], ids[-1:]))
            works = zip(COUNTS, (*reading, _write(model, ids[-1], written)), strict=True)
            calls |= {(variant, metric): work for metric, work in works}
        seconds = timing.interleaved(calls, repeats, 1, progress)
    return {v: {m: sizes[m] / seconds[v, m] for m in COUNTS} for v in models}


def _read(model, passages: Sequence[torch.Tensor]) -> None:
    """Read passages one by one and wait for the token chosen after each."""
    for tokens in passages:
        _next(model, tokens, DynamicCache()).item()


def _write(model, prompt: torch.Tensor, count: int) -> Callable[[], None]:
    """A call that writes `count` tokens after a prompt that was read before."""
    kept = DynamicCache()
    first = _next(model, prompt, kept)

    def call() -> None:
        token = first
        for _ in range(count):
            token = _next(model, token, kept)
        token.item()  # waits for a GPU
        kept.crop(-count)  # back to the prompt, for the next call

    return call


def _next(model, tokens: torch.Tensor, kept: DynamicCache) -> torch.Tensor:
    """The most probable next token, [1, 1], which a GPU may still be computing."""
    last = _last(type(model))
    said = model(input_ids=tokens, past_key_values=kept, use_cache=True, **last)
    return said.logits[:, -1:].argmax(dim=-1)


@cache
def _last(kind: type) -> dict[str, int]:
    """The argument that asks a family for the last token's logits only, where it has one."""
    known = "logits_to_keep" in inspect.signature(kind.forward).parameters
    return {"logits_to_keep": 1} if known else {}


def in_processes(task: Task, variants: Variants, passages, count=5, progress=iter) -> Rates:
    """As `measure`, but [count] medians, one from three rounds in each fresh process; quantized
    variants run packed."""
    found = timing.in_processes(__name__, _told(task, variants, passages), count, progress)
    return {v: {m: np.array([one[v][m] for one in found]) for m in COUNTS} for v in variants}


def memory_records(task: Task, variants: Variants, passages, progress=iter) -> list[Record]:
    """Peak resident bytes of a fresh process that loads a variant, reads a passage and writes."""
    told = {n: json.dumps(_told(task, {n: v}, passages[:1])) for n, v in variants.items()}
    peaks = {n: int(timing.fresh(["-m", __name__, told[n]])) for n in progress(told)}
    return [record.counted(task, variants[n], "peak_memory_bytes", p) for n, p in peaks.items()]


def _told(task: Task, variants: Variants, passages: Passages) -> dict:
    folders = {name: str(variant.folder) for name, variant in variants.items()}
    where = {"device": task.choice.device, "threads": task.given.threads}
    return {"folders": folders, "passages": [list(p) for p in passages], **where}


def _main(told: dict) -> None:
    """The work of the fresh process: print rates if it was given a seed, else its peak memory."""
    torch.set_num_threads(told["threads"])
    models = {n: streaming.load_packed(Path(f), told["device"]) for n, f in told["folders"].items()}
    rates = measure(models, told["passages"], repeats=3 if "seed" in told else 1)
    if "seed" in told:
        print(json.dumps({v: {m: np.median(x) for m, x in of.items()} for v, of in rates.items()}))
    else:
        timing.print_peak_memory()


def records(task: Task, variants: Variants, rates: Rates) -> list[Record]:
    """Geometric means of what `measure` or `in_processes` found, and of ratios within a round."""
    device, parent = task.processor(f"{task.given.threads} threads"), next(iter(rates))
    made: list[Record] = []
    for name, found in rates.items():
        ratios = {f"{m}_ratio": rounds / rates[parent][m] for m, rounds in found.items()}
        for metric, rounds in (found | (ratios if name != parent else {})).items():
            e = stats.geometric_mean(rounds)
            made.append(record.estimated(task, variants[name], metric, e, device=device))
    return made


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
