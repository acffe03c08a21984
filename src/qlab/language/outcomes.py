"""What became of each passage: the items that every accuracy of notebook 02 is computed from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from qlab.language.data import Task
from qlab.language.lambada import Passage
from qlab.language.scoring import TOP, Scores

READINGS = ("first_token", "all_tokens", "decoded_word", "last_token")  # of top-k
TOPS = range(1, TOP + 1)
LAST_SENTENCE = "last_sentence"  # the condition in which that is all a model is shown


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
