"""What the embedded Llama's training reads, a batch at a time, and how a killed one goes on."""

import random
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from transformers import PreTrainedTokenizerFast

from qlab.core.cache import written_whole
from qlab.language import mini_lambada

LAST_WORD_WEIGHT = 5.0  # the last word's tokens count this often in the loss
Batch = tuple[torch.Tensor, torch.Tensor]  # tokens and targets


def batches(
    words: PreTrainedTokenizerFast, passages: int, batch: int, seed: int, first: int = 0
) -> Iterator[Batch]:
    """Token ids [batch, longest] and loss weights [batch, longest - 1] of each step.

    `first` steps are left out, to resume. Passages of like length share a batch, so that little is
    padding: 50 batches' worth is sorted at a time, and the batches shuffled.
    """
    span = 50 * batch
    for start in range(first // 50 * span, passages, span):
        texts = [
            mini_lambada.passage("train", i) for i in range(start, min(start + span, passages))
        ]
        rows = sorted((_example(words, text) for text in texts), key=lambda row: len(row[0]))
        groups = [rows[i : i + batch] for i in range(0, len(rows) - batch + 1, batch)]
        random.Random(f"{seed} {start}").shuffle(groups)
        for step, group in enumerate(groups, start // batch):
            if step >= first:
                yield _padded(group)


def _example(words: PreTrainedTokenizerFast, text: str) -> tuple[list[int], int]:
    """Token ids of a passage with EOS, and how many of them come before the last word."""
    context = text.rsplit(" ", 1)[0]
    return words(text)["input_ids"] + [words.eos_token_id], len(words(context)["input_ids"])


def _padded(rows: list[tuple[list[int], int]]) -> Batch:
    longest = max(len(ids) for ids, _ in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    weights = torch.zeros(len(rows), longest - 1)
    for row, (ids, context) in enumerate(rows):
        tokens[row, : len(ids)] = torch.tensor(ids)
        weights[row, : len(ids) - 1] = 1.0
        weights[row, context - 1 : len(ids) - 1] = LAST_WORD_WEIGHT
    return tokens, weights


def resume(folder: Path, model, optimizer) -> list[dict]:
    """The history of an earlier run, the model and optimizer as it left them; or none."""
    kept = folder / "checkpoint.pt"
    if not kept.is_file():
        return []
    state = torch.load(kept, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["history"]


def checkpoint(folder: Path, model, optimizer, history: list[dict]) -> None:
    """Keep what `resume` needs; history.csv there has the history to read."""
    parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    with written_whole(folder / "checkpoint.pt") as part:
        torch.save(parts | {"history": history}, part)
    with written_whole(folder / "history.csv") as part:
        pd.DataFrame(history).to_csv(part, index=False)
