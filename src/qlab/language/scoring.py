"""Score a decoder on the last words of LAMBADA passages.

`acc` and `perplexity` are those of lm-evaluation-harness 0.4.13 (task lambada_openai). Passages of
like length share a batch, and only positions that predict a word's token meet the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.language.lambada import Encoded

TOP = 10  # predictions kept per passage, and the longest curve over k


@dataclass(frozen=True)
class Scores:
    """What a model said about n passages, in their order.

    A rank counts the vocabulary's more probable tokens, given the true tokens before: 0 is the
    most probable, and a tie counts as the better rank. `greedy` is whether each of the word's
    tokens is the most probable one; of tied ones, the first in the vocabulary.
    """

    log_likelihood: np.ndarray  # f8[n], of the whole word
    greedy: np.ndarray  # bool[n]
    first_rank: np.ndarray  # i4[n], of the word's first token
    worst_rank: np.ndarray  # i4[n], the largest of the word's tokens
    last_rank: np.ndarray  # i4[n], of the word's last token
    top_tokens: np.ndarray  # i4[n, TOP], most probable first tokens; -1 beyond the vocabulary
    top_log_p: np.ndarray  # f4[n, TOP], their log probabilities; -inf beyond the vocabulary
    divergence: np.ndarray  # f4[n], of the first token from the float parent's, nats; NaN: not kept

    def save(self, path: Path) -> None:
        """Write as .npz, whole or not at all."""
        with written_whole(path) as part, part.open("wb") as stream:
            np.savez_compressed(stream, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(**stored)


def acc(scores: Scores) -> float:
    """Share of passages whose whole word is the most probable continuation."""
    return float(scores.greedy.mean())


def perplexity(log_likelihood: np.ndarray) -> float:
    """exp of the mean negative log-likelihood per word, not per token; inf where that overflows."""
    with np.errstate(over="ignore"):
        return float(np.exp(-log_likelihood.mean()))


def score(
    model, encoded: Sequence[Encoded], progress=iter, compare=None, batch_tokens: int = 1024
) -> Scores:
    """Score passages with a Hugging Face causal decoder where it is, in its own dtype.

    `batch_tokens` bounds passages times the longest one in a batch; a longer passage has a batch
    of its own. log-softmax is in float32 whatever the model's dtype. `compare(rows, log_p)` gives
    the Kullback-Leibler divergence [nats] of each of these passages from their log probabilities
    [len(rows), vocabulary] of the word's first token (see `Reference`). Raises QlabError where the
    logits of a passage are NaN or infinite.
    """
    import torch

    if not encoded:
        raise QlabError("There are no passages to score.")
    found = _empty(len(encoded))
    with torch.inference_mode():
        for rows in progress(batches([len(e.tokens) - 1 for e in encoded], batch_tokens)):
            _score_batch(model, rows, [encoded[i] for i in rows], found, compare)
    return Scores(**found)


class Reference:
    """The float parent's log probabilities of the first token of each word, kept in a file, from
    which a variant's divergence is computed: sum of p (log p - log q) over the vocabulary.

    Of the first `MOST` passages; of others it is NaN. float32 [passages, vocabulary].
    """

    MOST = 2000

    def __init__(self, path: Path, shape: tuple[int, int] | None = None):
        """To be read; with `shape`, passages and vocabulary, to be written first."""
        if shape:
            count, words = min(shape[0], self.MOST), shape[1]
            self._all = np.lib.format.open_memmap(path, "w+", np.float32, (count, words))
        else:
            self._all = np.load(path, mmap_mode="r")
        self._writing = bool(shape)

    def __call__(self, rows: Sequence[int], log_p) -> np.ndarray:
        """float32[len(rows)]; a parent's own are written, and 0."""
        found = np.full(len(rows), np.nan, np.float32)
        for at, row in enumerate(rows):
            if row < len(self._all) and self._writing:
                self._all[row], found[at] = log_p[at].cpu(), 0.0
            elif row < len(self._all):
                ours = log_p.new_tensor(self._all[row])
                found[at] = float((ours.exp() * (ours - log_p[at])).nansum().clamp(min=0))
        return found


def _empty(n: int) -> dict[str, np.ndarray]:
    ranks = {f"{name}_rank": np.zeros(n, np.int32) for name in ("first", "worst", "last")}
    top = {"top_tokens": np.full((n, TOP), -1, np.int32)}
    top["top_log_p"] = np.full((n, TOP), -np.inf, np.float32)
    top["divergence"] = np.full(n, np.nan, np.float32)
    return {"log_likelihood": np.zeros(n), "greedy": np.zeros(n, bool), **ranks, **top}


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices of `lengths` in batches of at most `batch_tokens`, padding included; the longest
    first, so that a batch that does not fit into memory shows at once."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    found: list[list[int]] = []
    for i in order:
        if not found or (len(found[-1]) + 1) * lengths[found[-1][0]] > batch_tokens:
            found.append([])
        found[-1].append(i)
    return found


def _score_batch(model, rows: list[int], batch: list[Encoded], found: dict, compare) -> None:
    """Score one batch into `found`'s rows."""
    import torch

    counts = [e.targets for e in batch]
    logits = _logits(model, [e.tokens[:-1] for e in batch], counts)
    owners = np.repeat(rows, counts)
    finite = logits.isfinite().all(dim=-1).cpu().numpy()
    if not finite.all():
        raise QlabError(
            f"The model's logits for passage {owners[finite.argmin()] + 1} are NaN or infinite in "
            f"{logits.dtype}; float16 ends at 65,504, so use bfloat16 or float32, or look for them "
            "in the weights."
        )
    targets = torch.tensor([t for e in batch for t in e.tokens[-e.targets :]], device=logits.device)
    ends = np.cumsum(counts) - 1
    starts = ends + 1 - counts
    log_p = logits.float().log_softmax(dim=-1)
    chosen = log_p.gather(1, targets[:, None])
    rank = (log_p > chosen).sum(dim=1).cpu().numpy()
    greedy = (log_p.argmax(dim=1) == targets).cpu().numpy()
    top = log_p[starts].topk(min(TOP, log_p.shape[1]), dim=1)
    found["log_likelihood"][rows] = np.add.reduceat(chosen[:, 0].double().cpu().numpy(), starts)
    found["greedy"][rows] = np.logical_and.reduceat(greedy, starts)
    found["first_rank"][rows] = rank[starts]
    found["worst_rank"][rows] = np.maximum.reduceat(rank, starts)
    found["last_rank"][rows] = rank[ends]
    found["top_tokens"][rows, : top.indices.shape[1]] = top.indices.cpu()
    found["top_log_p"][rows, : top.values.shape[1]] = top.values.cpu()
    if compare:
        found["divergence"][rows] = compare(rows, log_p[starts])


def _logits(model, rows: Sequence[Sequence[int]], wanted: Sequence[int]):
    """What the model says after the last `wanted[i]` tokens of each row: [sum of wanted, words].

    The model's own forward makes them, with whatever its family does to its logits; before the
    head all other positions are dropped. Shorter rows are padded to the right, where causal
    attention gives padding the weight 0, so no mask is needed. Padding repeats the row's own last
    token: 0 times the NaN of another token's overflow would be NaN.
    """
    import torch

    longest = max(map(len, rows))
    padded = [[*row, *row[-1:] * (longest - len(row))] for row in rows]
    inputs = torch.tensor(padded, device=model.device)

    def keep(_, inputs):
        ends = zip(inputs[0], map(len, rows), wanted, strict=True)
        return torch.cat([states[end - count : end] for states, end, count in ends])[None]

    hook = model.get_output_embeddings().register_forward_pre_hook(keep)
    try:
        return model(input_ids=inputs, use_cache=False).logits[0]
    finally:
        hook.remove()
