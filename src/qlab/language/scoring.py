"""Score a decoder on the last words of LAMBADA passages.

`acc` and `perplexity` are those of lm-evaluation-harness 0.4.13 (task lambada_openai). Passages of
like length share a batch, and only positions that predict a word's token meet the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qlab.core.errors import QlabError
from qlab.language.lambada import Encoded

TOP = 10  # predictions kept per passage, and the longest curve over k
MOST = 2000  # passages whose divergence is computed


@dataclass(frozen=True)
class Scores:
    """What a model said about n passages, in their order.

    A rank counts the vocabulary's more probable tokens, given the true tokens before; a tie counts
    as the better rank. `greedy`: each of the word's tokens is the first most probable one.
    """

    log_likelihood: np.ndarray  # f8[n], of the whole word
    greedy: np.ndarray  # bool[n]
    first_rank: np.ndarray  # i4[n], of the word's first token
    worst_rank: np.ndarray  # i4[n], the largest of the word's tokens
    last_rank: np.ndarray  # i4[n], of the word's last token
    top_tokens: np.ndarray  # i4[n, TOP], most probable first tokens
    top_log_p: np.ndarray  # f4[n, TOP], their log probabilities
    divergence: np.ndarray  # f4[n], of the first token from the float parent's, nats; NaN: not kept


def acc(scores: Scores) -> float:
    """Share of passages whose whole word is the most probable continuation."""
    return float(scores.greedy.mean())


def perplexity(log_likelihood: np.ndarray) -> float:
    """exp of the mean negative log-likelihood per word, not per token; inf where that overflows."""
    with np.errstate(over="ignore"):
        return float(np.exp(-log_likelihood.mean()))


def score(
    model, encoded: Sequence[Encoded], progress=iter, kept=(), batch_tokens: int = 1024
) -> Scores:
    """Score passages with a Hugging Face causal decoder where it is, in its own dtype; log-softmax
    in float32. `batch_tokens`: see `batches`. From `kept`, a `reference`, the Kullback-Leibler
    divergence is computed. QlabError where the logits of a passage are NaN or infinite."""
    groups = batches([len(e.tokens) - 1 for e in encoded], batch_tokens)
    with torch.inference_mode():
        found = [_scored(model, encoded, rows, kept) for rows in progress(groups)]
    order = np.argsort(np.concatenate(groups))
    return Scores(*(np.concatenate(parts)[order] for parts in zip(*found, strict=True)))


def reference(path: Path, shape: tuple[int, int] | None = None) -> np.memmap:
    """The float parent's log probabilities of each word's first token, float32 [passages (MOST),
    vocabulary], in a file: to be read; with `shape`, to be written first."""
    size = shape and (min(shape[0], MOST), shape[1])
    return np.lib.format.open_memmap(path, "w+" if shape else "r", np.float32, size)


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices of `lengths` in batches of at most `batch_tokens`, padding included, or of one; the
    longest first, so that what does not fit into memory shows at once."""
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
    """sum of p (log p - log q) over the vocabulary, float32 [len(rows)], log q being `log_p`, log p
    what a reference has kept, or does now; NaN for passages that it has not."""
    found = np.full(len(rows), np.nan, np.float32)
    for at, row in enumerate(rows):
        if row < len(kept):
            if kept.flags.writeable:
                kept[row] = log_p[at].cpu()
            ours = log_p.new_tensor(kept[row])
            found[at] = float((ours.exp() * (ours - log_p[at])).nansum().clamp(min=0))
    return found


def _logits(model, rows: Sequence[Sequence[int]], wanted: Sequence[int]) -> torch.Tensor:
    """What the model says after the last `wanted[i]` tokens of each row: [sum of wanted, words].

    Other positions are dropped before its head. Rows are padded to the right, where causal
    attention gives the weight 0, by their own last token: 0 times another one's NaN would be NaN.
    """
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
