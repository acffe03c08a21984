"""What became of each passage: the items that every accuracy of notebook 02 is computed from, and
what kind of thing a wrong answer is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from qlab.language.data import Task
from qlab.language.lambada import Passage
from qlab.language.scoring import TOP, Scores

READINGS = ("first_token", "all_tokens", "decoded_word", "last_token")  # of top-k
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


class Metric(NamedTuple):
    """A way to count an answer as right, as its records name it."""

    name: str  # top_first_token, ..., or acc
    k: int | None = None  # of top-k


ACC = Metric("acc")
MAIN = Metric("top_first_token", 5)  # whose flips and test are recorded for every variant


def table(task: Task, scores: Mapping[str, Scores], passages=None, condition=None) -> pd.DataFrame:
    """A row for each variant and passage (the task's unless others are given): its log-likelihood,
    divergence from float's, whether it is the greedy answer (`acc`), its rank in each of READINGS.
    """
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
    """int[n]: which of the most probable first tokens is, decoded, the whole word; TOP where none
    is: the reading of "top-5" by Caringi and Girardet."""
    words = {t: tokenizer.decode([t]).strip() for t in np.unique(scores.top_tokens).tolist()}
    pairs = zip(passages, scores.top_tokens.tolist(), strict=True)
    right = np.array([[words[t] == passage.word.strip() for t in row] for passage, row in pairs])
    return np.where(right.any(axis=1), right.argmax(axis=1), TOP)


def by_variant(outcomes: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each variant's outcomes, in the order of the passages; the parent, the first one, first."""
    for variant, rows in outcomes.groupby("variant", sort=False, observed=True):
        yield str(variant), rows.sort_values("passage")


def hits(outcomes: pd.DataFrame) -> dict[Metric, np.ndarray]:
    """bool[n] of one variant's passages, for every way to count an answer as right."""
    ranks = {Metric(f"top_{r}", k): outcomes[r].to_numpy() < k for k in TOPS for r in READINGS}
    return {ACC: outcomes["acc"].to_numpy()} | ranks


def kind(piece: str, text: str, passage: Passage) -> str:
    """The kind of a predicted first token, one of KINDS: `piece` is the vocabulary's own writing of
    it, which says whether a word starts here, `text` what it decodes to."""
    plain = text.strip()
    if piece.startswith("<") and piece.endswith(">") or not any(c.isalnum() for c in plain):
        return "punctuation or end"
    if piece[:1] not in _WORD_STARTS:
        return "fragment"
    if passage.word.startswith(plain):
        return "the right beginning"
    if plain.lower() in FUNCTION_WORDS:
        return "function word"
    # The beginning of a word of the context.
    inside = any(word.startswith(plain) for word in passage.context.split())
    return "from the passage" if inside else "another word"


def kinds(scores: Mapping[str, Scores], passages: Sequence[Passage], tokenizer) -> pd.DataFrame:
    """How many of the most probable first tokens are wrong in which way: variant, kind, count, and
    wrong, all wrong answers of the variant."""
    rows = []
    for variant, one in scores.items():
        wrong = np.flatnonzero(one.first_rank > 0)
        spelt = _spelt(one.top_tokens[wrong, 0], tokenizer)
        found = [kind(*said, passages[i]) for said, i in zip(spelt, wrong, strict=True)]
        rows += [(variant, name, found.count(name), len(wrong)) for name in KINDS]
    return pd.DataFrame(rows, columns=["variant", "kind", "count", "wrong"])


def written(tokens: Sequence[int], tokenizer) -> list[str]:
    """Predicted tokens to be read: one that continues a word begins with `·`, a space is `␣`."""
    return [
        text.strip() or "␣" if piece[:1] in _WORD_STARTS else f"·{text}"
        for piece, text in _spelt(tokens, tokenizer)
    ]


def _spelt(tokens: Iterable[int], tokenizer) -> list[tuple[str, str]]:
    """Each token as the vocabulary writes it, and as it is decoded."""
    ids = [int(token) for token in tokens]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return [(piece, tokenizer.decode([i])) for piece, i in zip(pieces, ids, strict=True)]
