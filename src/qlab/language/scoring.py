"""Score a decoder on the last words of LAMBADA passages, and keep the outcome of each passage.

`acc` and `perplexity` are those of lm-evaluation-harness 0.4.13 (task lambada_openai). Passages of
similar length share a batch, and only positions that predict a word's token reach the head. Every
accuracy of notebook 02 is computed from these outcomes, its items.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from qlab.core.errors import QlabError
from qlab.language.lambada import Encoded, Passage

TOP = 10  # predictions kept per passage, and the longest curve over k
MOST = 2000  # passages whose divergence is computed
READINGS = ("first_token", "all_tokens", "decoded_word", "last_token")  # ways to read top-k
TOPS = range(1, TOP + 1)
LAST_SENTENCE = "last_sentence"  # the condition in which that is all a model is shown
# The closed classes of English: determiners, pronouns, prepositions, conjunctions, auxiliaries.
FUNCTION_WORDS = frozenset(
    """a an and any are as at be been but by can could did do does for from had has have he her
    him his i if in into is it its me my no not of off on or our out she should so some than that
    the their them then there these they this those to up us was we were what when where which who
    will with would you your""".split()  # noqa: SIM905
)
KINDS = ("the right beginning", "from the passage", "another word", "function word",
         "fragment", "punctuation or end")  # fmt: skip
_WORD_STARTS = "Ġ▁"  # how byte-level BPE and SentencePiece mark a space before a token


@dataclass(frozen=True)
class Scores:
    """A model's scores on n passages, in their order. A rank is the number of tokens in the
    vocabulary that are more probable than the true one, given the true tokens before it; a tie gets
    the better rank. `greedy`: each of the word's tokens is the first most probable one."""

    log_likelihood: np.ndarray  # f8[n], of the whole word
    greedy: np.ndarray  # bool[n]
    first_rank: np.ndarray  # i4[n], of the word's first token
    worst_rank: np.ndarray  # i4[n], the largest of the word's tokens
    last_rank: np.ndarray  # i4[n], of the word's last token
    top_tokens: np.ndarray  # i4[n, TOP], most probable first tokens
    top_log_p: np.ndarray  # f4[n, TOP], their log probabilities
    divergence: np.ndarray  # f4[n], of the first token from the float parent's, nats; NaN: not kept


def perplexity(log_likelihood: np.ndarray) -> float:
    """exp of the mean negative log-likelihood per word, not per token; inf where that overflows."""
    with np.errstate(over="ignore"):
        return float(np.exp(-log_likelihood.mean()))


def score(
    model, encoded: Sequence[Encoded], progress=iter, kept=(), batch_tokens: int = 1024
) -> Scores:
    """Score passages with a Hugging Face causal decoder on its device, in its own dtype;
    log-softmax in float32. `batch_tokens`: see `batches`; `kept`: a `reference`, for the
    Kullback-Leibler divergence. QlabError where a passage's logits are NaN or infinite."""
    groups = batches([len(e.tokens) - 1 for e in encoded], batch_tokens)
    with torch.inference_mode():
        found = [_scored(model, encoded, rows, kept) for rows in progress(groups)]
    order = np.argsort(np.concatenate(groups))
    return Scores(*(np.concatenate(parts)[order] for parts in zip(*found, strict=True)))


def reference(path: Path, shape: tuple[int, int] | None = None) -> np.memmap:
    """The file of the float parent's log probabilities at each word's first token, float32
    [passages (MOST), vocabulary]: opened for reading or, with `shape`, created for writing."""
    size = shape and (min(shape[0], MOST), shape[1])
    return np.lib.format.open_memmap(path, "w+" if shape else "r", np.float32, size)


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices of `lengths` in batches of at most `batch_tokens`, padding included, or of one; the
    longest first, so that running out of memory happens at once."""
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not found or (len(found[-1]) + 1) * lengths[found[-1][0]] > batch_tokens:
            found.append([])
        found[-1].append(i)
    return found


def _scored(model, encoded: Sequence[Encoded], rows: list[int], kept) -> tuple[np.ndarray, ...]:
    """The fields of `Scores` of one batch."""
    batch = [encoded[i] for i in rows]
    counts = [e.targets for e in batch]
    logits = _logits(model, [e.tokens[:-1] for e in batch], counts)
    finite = logits.isfinite().all(dim=-1).cpu().numpy()
    if not finite.all():
        told = f"The model's logits for passage {np.repeat(rows, counts)[finite.argmin()] + 1} are"
        told += f" NaN or infinite in {logits.dtype}; float16 ends at 65,504, so use bfloat16 or"
        raise QlabError(f"{told} float32, or look for them in the weights.")
    targets = torch.tensor([t for e in batch for t in e.tokens[-e.targets :]], device=logits.device)
    ends = np.cumsum(counts) - 1
    starts = ends + 1 - counts
    log_p = logits.float().log_softmax(dim=-1)
    chosen = log_p.gather(1, targets[:, None])
    rank = (log_p > chosen).sum(dim=1).int().cpu().numpy()
    greedy = (log_p.argmax(dim=1) == targets).cpu().numpy()
    top = log_p[starts].topk(TOP, dim=1)
    return (
        np.add.reduceat(chosen[:, 0].double().cpu().numpy(), starts),
        np.logical_and.reduceat(greedy, starts),
        rank[starts],
        np.maximum.reduceat(rank, starts),
        rank[ends],
        top.indices.int().cpu().numpy(),
        top.values.cpu().numpy(),
        _divergence(kept, rows, log_p[starts]),
    )


def _divergence(kept: np.ndarray, rows: Sequence[int], log_p: torch.Tensor) -> np.ndarray:
    """The sum of p (log p - log q) over the vocabulary, float32 [len(rows)]: log q is `log_p`, log
    p what a reference has kept (or keeps now); NaN for passages that it does not have."""
    found = np.full(len(rows), np.nan, np.float32)
    for at, row in enumerate(rows):
        if row < len(kept):
            if kept.flags.writeable:
                kept[row] = log_p[at].cpu()
            ours = log_p.new_tensor(kept[row])
            found[at] = float((ours.exp() * (ours - log_p[at])).nansum().clamp(min=0))
    return found


def _logits(model, rows: Sequence[Sequence[int]], wanted: Sequence[int]) -> torch.Tensor:
    """Logits after each of the last `wanted[i]` tokens of row i: [sum of wanted, words]. Other
    positions are dropped before the head. Rows are padded on the right, where causal attention
    gives weight 0, with their own last token: 0 times another token's NaN would be NaN."""
    longest = max(map(len, rows))
    padded = [[*row, *row[-1:] * (longest - len(row))] for row in rows]

    def keep(_, inputs):
        ends = zip(inputs[0], map(len, rows), wanted, strict=True)
        return torch.cat([states[end - count : end] for states, end, count in ends])[None]

    hook = model.get_output_embeddings().register_forward_pre_hook(keep)
    try:
        return model(input_ids=torch.tensor(padded, device=model.device), use_cache=False).logits[0]
    finally:
        hook.remove()


class Metric(NamedTuple):
    """A way to count an answer as right, as its records name it."""

    name: str  # top_first_token, ..., or acc
    k: int | None = None  # of top-k


ACC = Metric("acc")
MAIN = Metric("top_first_token", 5)  # whose flips and test are recorded for every variant


def table(task, scores: Mapping[str, Scores], passages=None, condition=None) -> pd.DataFrame:
    """One row per variant and passage (the task's unless others are given): the word's
    log-likelihood, the divergence from float, whether the word is the greedy answer (`acc`), and
    its rank in each of READINGS."""
    rows = [
        pd.DataFrame({
            "model": task.model,
            "dataset": task.dataset,
            "condition": condition,
            "variant": variant,
            "passage": np.arange(len(one.greedy), dtype=np.int32),
            "log_likelihood": one.log_likelihood,
            "divergence": one.divergence,
            "acc": one.greedy,
            "first_token": one.first_rank,
            "all_tokens": one.worst_rank,
            "decoded_word": decoded_rank(one, passages or task.passages, task.tokenizer),
            "last_token": one.last_rank,
        })
        for variant, one in scores.items()
    ]  # fmt: skip
    types = {"condition": object} | dict.fromkeys(READINGS, np.int32)
    return pd.concat(rows, ignore_index=True).astype(types)


def decoded_rank(scores: Scores, passages: Sequence[Passage], tokenizer) -> np.ndarray:
    """int[n]: the rank of the most probable first token that decodes to the whole word; TOP where
    none of the first does: the reading of "top-5" by Caringi and Girardet."""
    words = {t: tokenizer.decode([t]).strip() for t in np.unique(scores.top_tokens).tolist()}
    pairs = zip(passages, scores.top_tokens.tolist(), strict=True)
    right = np.array([[words[t] == passage.word.strip() for t in row] for passage, row in pairs])
    return np.where(right.any(axis=1), right.argmax(axis=1), TOP)


def by_variant(outcomes: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each variant's outcomes, in the order of the passages; the parent, the first one, first."""
    for variant, rows in outcomes.groupby("variant", sort=False, observed=True):
        yield str(variant), rows.sort_values("passage")


def hits(outcomes: pd.DataFrame) -> dict[Metric, np.ndarray]:
    """bool[n]: which of one variant's passages are right, by each way to count an answer right."""
    ranks = {Metric(f"top_{r}", k): outcomes[r].to_numpy() < k for k in TOPS for r in READINGS}
    return {ACC: outcomes["acc"].to_numpy()} | ranks


def kind(token: int, passage: Passage, tokenizer) -> str:
    """The kind of a predicted first token, one of KINDS."""
    [piece], plain = tokenizer.convert_ids_to_tokens([token]), tokenizer.decode([token]).strip()
    marked = not piece or piece[0] + piece[-1] == "<>"  # no piece: what pads the vocabulary
    if marked or not any(c.isalnum() for c in plain):
        return "punctuation or end"
    if piece[:1] not in _WORD_STARTS:
        return "fragment"
    if passage.word.startswith(plain):
        return "the right beginning"
    if plain.lower() in FUNCTION_WORDS:
        return "function word"
    inside = any(word.startswith(plain) for word in passage.context.split())
    return "from the passage" if inside else "another word"


def kinds(scores: Mapping[str, Scores], passages: Sequence[Passage], tokenizer) -> pd.DataFrame:
    """How many of the most probable first tokens are wrong in which way. Columns: variant, kind,
    count, and wrong, the number of the variant's wrong answers."""
    rows = []
    for variant, one in scores.items():
        wrong = np.flatnonzero(one.first_rank > 0)
        found = [kind(int(one.top_tokens[i, 0]), passages[i], tokenizer) for i in wrong]
        rows += [(variant, name, found.count(name), len(wrong)) for name in KINDS]
    return pd.DataFrame(rows, columns=["variant", "kind", "count", "wrong"])


def written(tokens: Sequence[int], tokenizer) -> list[str]:
    """Predicted tokens to be shown: one that continues a word begins with `·`, a space is `␣`."""
    texts = [tokenizer.decode([int(token)]) for token in tokens]
    return [
        text.strip() or "␣" if (piece or "")[:1] in _WORD_STARTS else f"·{text}"
        for piece, text in zip(tokenizer.convert_ids_to_tokens(tokens), texts, strict=True)
    ]
