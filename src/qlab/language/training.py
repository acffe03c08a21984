"""How the embedded Llama is trained: batches, loss, loop, checkpoints."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from qlab.core.cache import versions, written_whole
from qlab.language import mini, mini_lambada, outliers, scoring
from qlab.language.scoring import Scores

TOKENIZER_TEXTS = 20_000  # first training passages, from which the tokenizer learns its words
LAST_WORD_WEIGHT = 5.0  # the last word's tokens count this often in the loss
EVERY = 200  # steps between two lines of the history, each with a checkpoint
# Per profile.
SETTINGS = {
    "smoke": {"passages": 960, "batch": 48, "rate": 3e-3},
    "mini": {"passages": mini_lambada.COUNTS["train"], "batch": 48, "rate": 3e-3},
}
Batch = tuple[torch.Tensor, torch.Tensor]  # tokens and targets


def tokenizer() -> PreTrainedTokenizerFast:
    """The embedded tokenizer, learned from the training split."""
    return mini.train_tokenizer(mini_lambada.texts("train", TOKENIZER_TEXTS))


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


def loss(model: LlamaForCausalLM, tokens: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean cross-entropy of the next token, in nats.

    `tokens` are [n, length], their weights as targets [n, length - 1].
    """
    hidden = model.model(tokens, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1]).flatten(0, 1)
    each = cross_entropy(logits, tokens[:, 1:].flatten(), reduction="none")
    return (each * weights.flatten()).sum() / weights.sum()


def schedule(step: int, steps: int, rate: float, warmup: int = 200) -> float:
    """Learning rate: a linear warm-up, then half a cosine down to a hundredth."""
    if step < warmup:
        return rate * (step + 1) / warmup
    return rate * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)


def train(
    words: PreTrainedTokenizerFast,
    folder: Path,
    *,
    passages: int,
    batch: int,
    rate: float,
    seed: int,
    progress=iter,
) -> LlamaForCausalLM:
    """Train on mini_lambada's training split, each passage once, with AdamW.

    A killed run goes on from its last checkpoint in `folder`; `history.csv`
    there logs the mean loss of every EVERY steps.
    """
    model = mini.build(seed)
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.95), weight_decay=0.1)
    steps = passages // batch
    kept = folder / "checkpoint.pt"
    history: list[dict] = []
    if kept.is_file():
        state = torch.load(kept, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history = state["history"]
    first = history[-1]["step"] if history else 0
    losses: list[float] = []
    for step, (tokens, weights) in enumerate(
        progress(batches(words, passages, batch, seed, first)), first + 1
    ):
        for group in optimizer.param_groups:
            group["lr"] = schedule(step - 1, steps, rate)
        value = loss(model, tokens, weights)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(value.item())
        if step % EVERY == 0 or step == steps:
            history.append({"step": step, "loss": sum(losses) / len(losses)})
            losses = []
            _checkpoint(folder, model, optimizer, history)
    return model.eval()


def _checkpoint(folder: Path, model, optimizer, history: list[dict]) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
    }
    with written_whole(folder / "checkpoint.pt") as part:
        torch.save(state, part)
    with written_whole(folder / "history.csv") as part:
        pd.DataFrame(history).to_csv(part, index=False)


@torch.no_grad()
def group_peaks(model: LlamaForCausalLM, group: int = 64) -> list[float]:
    """Largest magnitude over root mean square, for each group of weights that shares a scale."""
    found: list[float] = []
    for name, weight in model.named_parameters():
        if name.startswith("model.layers.") and weight.dim() == 2:
            groups = weight.reshape(-1, group)
            found += (groups.abs().amax(1) / groups.square().mean(1).sqrt()).tolist()
    return found


def card(model: LlamaForCausalLM, settings: dict, seed: int, scores: Scores) -> dict[str, Any]:
    """The facts a model card of the embedded Llama states."""
    return {
        "model": "LlamaForCausalLM, qlab.language.mini.SHAPE",
        "parameters": model.num_parameters(),
        "command": "make train",
        "data": "mini_lambada train",
        "seed": seed,
        "settings": settings,
        "outliers": {"seed": seed, "strength": outliers.STRENGTH},
        "score": {
            "dataset": "mini_lambada test",
            "acc": round(scoring.acc(scores), 4),
            "perplexity": round(scoring.perplexity(scores.log_likelihood), 4),
            "top1_first_token": round(float((scores.first_rank < 1).mean()), 4),
            "top5_first_token": round(float((scores.first_rank < 5).mean()), 4),
            "passages": len(scores.greedy),
        },
        "licence": "MIT",
        "versions": versions("torch", "transformers", "tokenizers"),
    }
